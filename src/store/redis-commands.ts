import type { RedisClient, RedisConnection } from './redis-connection.ts';
import { REDIS_SCRIPTS, scriptText } from './redis-scripts.ts';
import type { RedisScript } from './redis-scripts.ts';

/** The queue's scripts and keys. Whatever fails is a GatewayError('store-unavailable'). */
export class RedisCommands {
  readonly #connection: RedisConnection;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    for (const name of Object.keys(REDIS_SCRIPTS) as RedisScript[])
      connection.define(`queue-${name}`, scriptText(name));
  }

  get isReady(): boolean {
    return this.#connection.isReady;
  }

  /** See `RedisConnection.interruptions`. */
  get interruptions(): number {
    return this.#connection.interruptions;
  }

  key(name: string): string {
    return this.#connection.key(`queue:${name}`);
  }

  run(name: RedisScript, ...values: Array<string | number>): Promise<unknown> {
    return this.#connection.run(`queue-${name}`, ...values);
  }

  ask<T>(ask: (client: RedisClient) => Promise<T>): Promise<T> {
    return this.#connection.ask(ask);
  }
}
