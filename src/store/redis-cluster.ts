import { Cluster } from 'ioredis';
import type { ClusterNode, ClusterOptions } from 'ioredis';

/** Of ioredis, where answers are mapped as Redis 6 gives them. */
export type SlotClusterOptions = Omit<ClusterOptions, 'redisOptions'> & {
  readonly redisOptions: Omit<NonNullable<ClusterOptions['redisOptions']>, 'replyMapping'>;
};

/**
 * A client of a Cluster all of whose keys are in one slot.
 *
 * While that slot moves from one server to another, some keys are here and some there. A script that was sent after it
 * (ASK) would be carried out where most of what it looks for is missing, and write beside what has yet to come. So none is:
 * as long as the slot moves, what is asked is refused.
 */
export class SlotCluster extends Cluster {
  readonly #places: readonly ClusterNode[];
  readonly #copies = new Set<SlotCluster>();

  constructor(places: readonly ClusterNode[], options: SlotClusterOptions) {
    super([...places], options);
    this.#places = places;
    // What ioredis declares it to return depends on its argument, which no overriding method can say.
    this.duplicate = ((places?: readonly ClusterNode[], more?: Partial<SlotClusterOptions>) =>
      this.#copy(places, more)) as Cluster['duplicate'];
  }

  override handleError(error: Error, tries: { value?: unknown }, handlers: { defaults(): void }): void {
    if (error.message.startsWith('ASK ')) handlers.defaults();
    else super.handleError(error, tries, handlers);
  }

  override disconnect(reconnect = false): void {
    if (!reconnect) for (const copy of this.#copies) copy.disconnect();
    super.disconnect(reconnect);
  }

  /** A copy is let go with its original: BullMQ makes one for its blocking reads. */
  #copy(places: readonly ClusterNode[] = [], more: Partial<SlotClusterOptions> = {}): SlotCluster {
    const options = this.options as SlotClusterOptions;
    const copy = new SlotCluster(places.length > 0 ? places : this.#places, {
      ...options,
      ...more,
      redisOptions: { ...options.redisOptions, ...more.redisOptions },
    });
    this.#copies.add(copy);
    return copy;
  }
}
