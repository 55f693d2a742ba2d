import { existsSync, lstatSync } from 'node:fs';
import { request } from 'node:http';
import { CommandError } from './command-error.ts';
import { printable } from './printable.ts';

export type ControlAnswer = { readonly status: number; readonly body: unknown };

const ANSWER_MS = 10_000;

/**
 * Asks the running server over its control socket; a body goes as JSON.
 *
 * @returns undefined when no server listens there, so that the caller may work on the store itself.
 * @throws CommandError when the socket is there and may not be used, or what answers is not our server.
 */
export function askServer(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<ControlAnswer | undefined> {
  if (!isOurs(socketPath)) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new CommandError(`the server at ${socketPath}: ${reason}`));
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const asked = request({ socketPath, method, path, headers, timeout: ANSWER_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        try {
          const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
          resolve({ status: response.statusCode ?? 500, body });
        } catch {
          fail('its answer is no JSON');
        }
      });
      response.on('error', ({ message }) => fail(message));
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${ANSWER_MS / 1_000} s`)));
    asked.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(undefined);
      else fail(message);
    });
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The fault of an answer that no command expects. */
export function refusalOf(answer: ControlAnswer): CommandError {
  return new CommandError(`the server refused: ${printable(JSON.stringify(answer.body))}`);
}

/**
 * Whether there is a socket made by this user, or by anybody where this is root. Where it lies in the system's
 * temporary folder somebody else could have put one there.
 */
function isOurs(socketPath: string): boolean {
  if (!existsSync(socketPath)) return false;
  const found = lstatSync(socketPath);
  if (!found.isSocket()) return false;
  const user = process.getuid?.();
  if (user === undefined || user === 0 || found.uid === user) return true;
  throw new CommandError(`${socketPath} belongs to another user: run this as the user the server runs as`);
}
