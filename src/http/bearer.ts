import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../core/log.ts';

const REALM = 'interpres';
/** One line for all failures of so long: somebody who guesses is seen, and does not fill the disk. */
const LOG_EVERY_MS = 10_000;

export type BearerOptions = {
  readonly token: string;
  readonly log: Log;
  /** A clock that never jumps, ms; that of the process when absent. */
  readonly nowMs?: () => number;
};

type Guard = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/**
 * Lets requests pass that carry the token (RFC 6750, section 2.1); answers all others with 401 and what is missing.
 *
 * The comparison takes the same time whatever was sent. Failures are logged as a rate, never with what was sent.
 */
export function bearerGuard({ token, log, nowMs = () => performance.now() }: BearerOptions): Guard {
  const expected = digestOf(token);
  let failures = 0;
  let loggedAtMs = -Infinity;
  const failed = (peer: string): void => {
    failures += 1;
    const now = nowMs();
    if (now - loggedAtMs < LOG_EVERY_MS) return;
    log.info({ peer, failures }, 'http requests without the token');
    loggedAtMs = now;
    failures = 0;
  };

  return async (request, reply) => {
    const { authorization } = request.headers;
    const sent = authorization === undefined ? undefined : /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
    if (sent !== undefined && timingSafeEqual(digestOf(sent), expected)) return undefined;
    failed(request.ip);
    // RFC 6750, section 3: no error code for one who brought nothing.
    const error =
      authorization === undefined ? '' : `, error="${sent === undefined ? 'invalid_request' : 'invalid_token'}"`;
    return reply
      .code(401)
      .header('WWW-Authenticate', `Bearer realm="${REALM}"${error}`)
      .send({ error: 'sender-unauthenticated' });
  };
}

/** Of one length whatever the text, as the comparison needs it. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
