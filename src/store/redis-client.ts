import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';

/** Of ioredis, where answers are mapped as Redis 6 gives them. */
export type LastingRedisOptions = Omit<RedisOptions, 'replyMapping'>;

type Place = { readonly host: string; readonly port: number };

const AGAIN_MS = 100;

/**
 * A client of one server, or of the master behind Sentinels, that goes on until it is let go.
 *
 * ioredis does not: what its failover detector hears of a new master while the client is still looking for one ends the
 * client for good (`SentinelConnector.disconnect` makes the look-up under way throw, and a failed look-up is the end).
 */
export class LastingRedis extends Redis {
  readonly #copies = new Set<LastingRedis>();
  readonly #place: (() => Place | undefined) | undefined;
  #isLetGo = false;

  /** @param place where it connects to when it begins anew; absent: where it did before */
  constructor(options: LastingRedisOptions, place?: () => Place | undefined) {
    super(options);
    this.#place = place;
    this.on('end', () => this.#goOn());
    // What ioredis declares it to return depends on its argument, which no overriding method can say.
    this.duplicate = ((more?: Partial<LastingRedisOptions>) => this.#copy(more)) as Redis['duplicate'];
  }

  override disconnect(reconnect = false): void {
    if (!reconnect) {
      this.#isLetGo = true;
      for (const copy of this.#copies) copy.disconnect();
    }
    super.disconnect(reconnect);
  }

  override quit(): Promise<'OK'> {
    this.#isLetGo = true;
    return super.quit();
  }

  /** A copy is let go with its original: BullMQ makes one for its blocking reads. */
  #copy(more: Partial<LastingRedisOptions> = {}): LastingRedis {
    const copy = new LastingRedis({ ...(this.options as LastingRedisOptions), ...more });
    this.#copies.add(copy);
    copy.on('end', () => {
      if (copy.#isLetGo) this.#copies.delete(copy);
    });
    return copy;
  }

  #goOn(): void {
    if (this.#isLetGo) return;
    setTimeout(() => {
      if (this.#isLetGo) return;
      Object.assign(this.options, this.#place?.());
      this.connect().catch(() => undefined); // `error` has told, and `end` comes again
    }, AGAIN_MS);
  }
}
