import type { Redis } from 'ioredis';
import { OPEN_MS, redisFailure, within } from './redis-connection.ts';
import type { RedisConnection } from './redis-connection.ts';

export type EarEvents = {
  readonly onText: (channel: string, text: string) => void;
  /** Something may not have been heard. */
  readonly onInterrupted: () => void;
};

const PULSE = 'pulse ';
const PULSE_MS = 1_000;
/** A pulse that is not heard by then will not be. */
const DEAF_MS = 2_500;

/**
 * Hears what is published on channels, and knows that it does: it publishes a pulse each second on the first of them, and
 * hears it itself. A connection over which none comes is given up, whatever it looks like: nobody need answer on one that
 * only listens, so a server that hangs, or was cut off, is not told from one where nothing happens.
 */
export class RedisEar {
  readonly #connection: RedisConnection;
  readonly #channels: readonly [own: string, ...others: string[]];
  readonly #events: EarEvents;
  readonly #listener: Redis;
  /** The last that Redis has taken, and the last that was heard. */
  #sent = 0;
  #heard = 0;
  #unheardSinceMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(connection: RedisConnection, channels: readonly [string, ...string[]], events: EarEvents) {
    this.#connection = connection;
    this.#channels = channels;
    this.#events = events;
    this.#listener = connection.listener();
  }

  /** Resolves when it hears. @throws GatewayError 'store-unavailable' */
  async open(): Promise<void> {
    this.#listener.on('message', (channel: string, text: string) => {
      if (channel === this.#channels[0] && text.startsWith(PULSE)) this.#onPulse(Number(text.slice(PULSE.length)));
      else this.#events.onText(channel, text);
    });
    try {
      if (this.#listener.status !== 'ready') {
        const ready = new Promise<void>((resolve) => this.#listener.once('ready', () => resolve()));
        await within(OPEN_MS, ready, ` to listen at ${this.#connection.where}`);
      }
      await this.#listen();
    } catch (error) {
      throw redisFailure(error);
    }
    this.#listener.on('ready', () => {
      this.#listen().then(this.#events.onInterrupted, (error: unknown) =>
        this.#connection.log.warn({ error }, 'node does not hear the others'),
      );
    });
    this.#timer = setInterval(() => this.#beat(), PULSE_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listener.disconnect();
  }

  async #listen(): Promise<void> {
    this.#unheardSinceMs = undefined;
    await this.#listener.subscribe(...this.#channels);
  }

  #beat(): void {
    if (this.#listener.status !== 'ready') return;
    const sinceMs = this.#unheardSinceMs;
    if (sinceMs !== undefined && performance.now() - sinceMs > DEAF_MS) {
      this.#connection.log.warn({ redis: this.#connection.where }, 'node hears nothing, and connects anew');
      this.#unheardSinceMs = undefined;
      this.#listener.disconnect(true);
      return;
    }
    const pulse = this.#sent + 1;
    const sentAtMs = performance.now();
    this.#connection.publish(this.#channels[0], `${PULSE}${pulse}`).then(
      () => {
        this.#sent = Math.max(this.#sent, pulse);
        if (this.#heard < pulse) this.#unheardSinceMs ??= sentAtMs;
      },
      () => undefined, // whoever writes says that Redis is away
    );
  }

  #onPulse(pulse: number): void {
    this.#unheardSinceMs = undefined;
    if (pulse > this.#heard + 1) this.#events.onInterrupted();
    this.#heard = Math.max(this.#heard, pulse);
  }
}
