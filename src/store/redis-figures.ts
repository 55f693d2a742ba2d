import type { QueueFigures } from '../core/ports.ts';
import type { RedisCommands } from './redis-commands.ts';

/**
 * The figures of the queue as this process last heard them: every script that changes them says the new ones, and each beat
 * of this process those of all entries.
 */
export class RedisFigures {
  readonly #commands: RedisCommands;
  readonly #perHop = new Map<string, number>();
  #live = 0;
  #dead = 0;
  #oldestAtMs: number | undefined;

  constructor(commands: RedisCommands) {
    this.#commands = commands;
  }

  /** Asks Redis: others may have added and delivered. */
  async refresh(): Promise<void> {
    const key = (name: string): string => this.#commands.key(name);
    const [live, dead, hops, [first]] = await this.#commands.ask((redis) =>
      Promise.all([
        redis.zcard(key('live')),
        redis.zcard(key('dead')),
        redis.hgetall(key('hops')),
        redis.zrange(key('live'), 0, '0'),
      ]),
    );
    this.#live = live;
    this.#dead = dead;
    this.#perHop.clear();
    for (const [hop, count] of Object.entries(hops)) this.#perHop.set(hop, Number(count));
    this.#oldestAtMs = undefined;
    if (first === undefined) return;
    const acceptedAt = await this.#commands.ask((redis) => redis.hget(key(`entry:${first}`), 'acceptedAt'));
    if (acceptedAt !== null) this.#oldestAtMs = Number(acceptedAt);
  }

  /** @param figures what a script says: live, dead, hop, live entries of the hop */
  heard(figures: unknown): void {
    if (!Array.isArray(figures)) return;
    const [live, dead, hop, count] = figures as unknown[];
    this.#live = Number(live);
    this.#dead = Number(dead);
    if (this.#live === 0) this.#oldestAtMs = undefined;
    if (typeof hop !== 'string' || hop === '') return;
    if (Number(count) > 0) this.#perHop.set(hop, Number(count));
    else this.#perHop.delete(hop);
  }

  /** @param acceptedAtMs when the oldest of all live entries was accepted, as Redis says it, or '' */
  heardAll(figures: unknown, acceptedAtMs: unknown): void {
    this.heard(figures);
    if (this.#live > 0 && acceptedAtMs !== '') this.#oldestAtMs = Number(acceptedAtMs);
  }

  added(acceptedAtMs: number): void {
    this.#oldestAtMs ??= acceptedAtMs;
  }

  figures(underWay: number): QueueFigures {
    return {
      live: this.#live,
      dead: this.#dead,
      underWay,
      perHop: Object.fromEntries(this.#perHop),
      ...(this.#oldestAtMs === undefined ? {} : { oldestAtMs: this.#oldestAtMs }),
    };
  }
}
