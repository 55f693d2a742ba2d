import { chmodSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { fastify, type FastifyInstance, type FastifyReply } from 'fastify';
import { GatewayError, type ErrorCode } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { healthRoutes, type HealthDeps } from './routes-health.ts';
import { bearerGuard } from './bearer.ts';
import { accountRoutes, type AccountsDeps } from './routes-accounts.ts';
import { profileRoutes, type ProfilesDeps } from './routes-profiles.ts';
import { nodeRoutes, type NodesDeps } from './routes-nodes.ts';
import { queueRoutes, type QueueDeps } from './routes-queue.ts';
import { watcherRoutes, type WatchersDeps } from './routes-watchers.ts';

/** What the HTTP side answers for each failure that can reach it; all others are 500. */
const HTTP_STATUS: Partial<Record<ErrorCode, number>> = {
  'request-malformed': 400,
  'address-malformed': 400,
  'recipient-unknown': 404,
  'content-too-large': 413,
  'policy-violated': 403,
  'not-allowed': 403,
  conflict: 409,
  'store-unavailable': 503,
  'queue-full': 503,
  'shutting-down': 503,
};

const BODY_BYTES_MAX = 64 * 1024;
/** An address whose every byte is escaped, and escaped again for the URL. */
const PARAM_LENGTH_MAX = 6_000;

export type OperatorDoorOptions = {
  /** Where `/health` listens, `host:port`; absent: it does not. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** With it, who sends it there may do everything that the control socket allows. */
  readonly token?: string;
  /** Path of the control socket: everything an operator may do, open to whoever may open the file. */
  readonly controlSocket: string;
  readonly log: Log;
  readonly health: HealthDeps;
  readonly queue: QueueDeps;
  readonly watchers?: WatchersDeps;
  readonly profiles?: ProfilesDeps;
  readonly accounts?: AccountsDeps;
  readonly nodes?: NodesDeps;
};

/**
 * The operator's two doors: TCP, with health for anybody who may reach it and control for whoever sends the token,
 * where there is one; and a local socket that only the user of the process may open (mode 0600), with everything and no
 * password of its own.
 */
export class OperatorDoor {
  readonly #options: OperatorDoorOptions;
  readonly #doors: FastifyInstance[] = [];

  constructor(options: OperatorDoorOptions) {
    this.#options = options;
  }

  /** Listens. @returns the port of the health door, where there is one. @throws when a door cannot be opened. */
  async open(): Promise<number | undefined> {
    const { listen, controlSocket, token, log } = this.#options;
    // A socket file that nobody listens on any more is left by a process that was killed; the folder's lock says
    // that no other server is alive.
    await rm(controlSocket, { force: true });
    const control = this.#door();
    await this.#registerControl(control);
    await control.register(healthRoutes, this.#options.health);
    await control.listen({ path: controlSocket });
    chmodSync(controlSocket, 0o600);

    if (listen === undefined) return undefined;
    const open = this.#door();
    await open.register(healthRoutes, this.#options.health);
    if (token !== undefined) {
      await open.register(async (guarded) => {
        guarded.addHook('onRequest', bearerGuard({ token, log }));
        await this.#registerControl(guarded);
      });
    }
    await open.listen({ host: listen.host, port: listen.port });
    const address = open.server.address();
    return typeof address === 'object' && address !== null ? address.port : undefined;
  }

  async close(): Promise<void> {
    await Promise.all(this.#doors.map((door) => door.close()));
    await rm(this.#options.controlSocket, { force: true });
  }

  async #registerControl(door: FastifyInstance): Promise<void> {
    const { queue, watchers, profiles, accounts, nodes } = this.#options;
    await door.register(queueRoutes, queue);
    if (watchers !== undefined) await door.register(watcherRoutes, watchers);
    if (profiles !== undefined) await door.register(profileRoutes, profiles);
    if (accounts !== undefined) await door.register(accountRoutes, accounts);
    if (nodes !== undefined) await door.register(nodeRoutes, nodes);
  }

  #door(): FastifyInstance {
    const door = fastify({
      bodyLimit: BODY_BYTES_MAX,
      requestTimeout: 10_000,
      connectionTimeout: 30_000,
      keepAliveTimeout: 5_000,
      forceCloseConnections: true,
      routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
      // What is asked for and not known is refused, not passed over.
      ajv: { customOptions: { removeAdditional: false } },
      // What fails before there is a route passes by the hooks below; its own words would show the path again.
      frameworkErrors: (_error, _request, reply: FastifyReply) => {
        void reply.code(400).header('X-Content-Type-Options', 'nosniff').send({ error: 'request-malformed' });
      },
    });
    door.addHook('onSend', async (_request, reply) => {
      reply.header('X-Content-Type-Options', 'nosniff').header('Cache-Control', 'no-store');
    });
    door.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ error: 'not found' }));
    // The one place on this side that catches: what a caller sees is a code, never the inside of the server.
    door.setErrorHandler(async (thrown: unknown, _request, reply) => {
      if (isClientFault(thrown)) return reply.code(thrown.statusCode).send({ error: thrown.message });
      const error = GatewayError.of(thrown);
      const status = HTTP_STATUS[error.code] ?? 500;
      if (status === 500) this.#options.log.error({ error }, 'http request failed');
      const { text } = error.details;
      return reply.code(status).send({ error: error.code, ...(text === undefined ? {} : { text }) });
    });
    this.#doors.push(door);
    return door;
  }
}

/** Fastify's own refusals (malformed JSON, too large, schema) carry a status below 500 and a message made for callers. */
function isClientFault(thrown: unknown): thrown is Error & { statusCode: number } {
  return (
    thrown instanceof Error &&
    !(thrown instanceof GatewayError) &&
    'statusCode' in thrown &&
    typeof thrown.statusCode === 'number' &&
    thrown.statusCode < 500
  );
}
