import type { Redis } from 'ioredis';
import { redisFailure } from './redis-connection.ts';
import { REDIS_SCRIPTS, scriptText } from './redis-scripts.ts';
import type { RedisScript } from './redis-scripts.ts';

/** Our scripts and keys in one Redis. Whatever fails is a GatewayError('store-unavailable'). */
export class RedisCommands {
  readonly redis: Redis;
  readonly #keys: string;

  constructor(redis: Redis, prefix: string) {
    this.redis = redis;
    this.#keys = `${prefix}:queue:`;
    for (const name of Object.keys(REDIS_SCRIPTS) as RedisScript[]) {
      redis.defineCommand(`interpres-${name}`, { numberOfKeys: 1, lua: scriptText(name) });
    }
  }

  key(name: string): string {
    return `${this.#keys}${name}`;
  }

  run(name: RedisScript, ...values: Array<string | number>): Promise<unknown> {
    const commands = this.redis as unknown as Record<string, (...values: Array<string | number>) => Promise<unknown>>;
    return this.ask(async () => commands[`interpres-${name}`]?.(this.#keys, ...values));
  }

  async ask<T>(ask: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await ask(this.redis);
    } catch (error) {
      throw redisFailure(error);
    }
  }
}
