import type { Clock, Records } from '../ports.ts';

export type LastSeenDeps = {
  /** Kind `last-seen`; the key is the address key of the user. */
  readonly records: Records<SeenRecord>;
  /** Whether he has a contact, or a publication, at present. */
  readonly isThere: (userKey: string) => boolean;
  readonly clock: Pick<Clock, 'nowMs'>;
};

type SeenRecord = { readonly atMs: number };

/** Users of whom it is known when they left; over it whoever left first is forgotten. */
const SEEN_MAX = 200_000;

/**
 * When users of ours were there last: the end of their last registration or publication. Outlives restarts; a process
 * that is killed forgets those who left within its last milliseconds.
 */
export class LastSeen {
  readonly #deps: LastSeenDeps;
  /** Whoever left first is first. */
  readonly #left = new Map<string, number>();

  constructor(deps: LastSeenDeps) {
    this.#deps = deps;
    const stored = [...deps.records.all()].sort(([, a], [, b]) => a.atMs - b.atMs);
    for (const [userKey, { atMs }] of stored) this.#left.set(userKey, atMs);
  }

  /** To be called when contacts or publications of a user have changed. */
  changed(userKey: string): void {
    const { isThere, records, clock } = this.#deps;
    if (isThere(userKey)) return;
    const atMs = clock.nowMs();
    this.#left.delete(userKey);
    this.#left.set(userKey, atMs);
    records.putLater(userKey, { atMs });
    if (this.#left.size <= SEEN_MAX) return;
    const [oldest] = this.#left.keys();
    if (oldest !== undefined) this.forget(oldest);
  }

  /** ms since the epoch; undefined where it is not known. */
  of(userKey: string): number | undefined {
    return this.#left.get(userKey);
  }

  forget(userKey: string): void {
    if (this.#left.delete(userKey)) this.#deps.records.removeLater(userKey);
  }
}
