import type { HopId } from '../../core/ports.ts';
import type { Operation } from '../../cpim/operation.ts';

/** One live entry as the embedded queue holds it in memory. */
export type LiveEntry = {
  /** Place in the order of acceptance; never used twice, not even across restarts. */
  readonly position: number;
  readonly id: string;
  readonly lane: string;
  readonly hop: HopId;
  readonly owner: string;
  readonly acceptedAtMs: number;
  readonly expiresAtMs: number;
  /** Attempts that ended with 'again'. */
  attempts: number;
  /** 0: may go as soon as its turn comes; Infinity: waits for a wake; else ms since the epoch. */
  notBeforeMs: number;
  maybeSent: boolean;
  underWay: boolean;
  /** Delivered, dead or dropped: no longer part of its lane. */
  gone: boolean;
  /** Full wakes its hop had seen when the attempt under way began. */
  wakesSeen: number;
  /** Which bucket of the expiry index holds it; -1 none. */
  bucket: number;
  /** Absent when memory is short: read from the medium when its turn comes. */
  operation: Operation | undefined;
  /** Size of the operation as text, in characters. */
  readonly size: number;
  code: string | undefined;
  reason: string | undefined;
};

/** 2^31 - 1 is the largest CSeq that every SIP stack takes (RFC 3261, section 8.1.1.5). */
const SEQUENCE_MAX = 2 ** 31 - 1;

/** Entries begun over with 1 after 2^31 - 1 of them; the position behind it never does. */
export function sequenceOf(position: number): number {
  return ((position - 1) % SEQUENCE_MAX) + 1;
}

/**
 * The entries of one lane in order, and how far the present run of attempts has come.
 *
 * `entries[first ..]` are live or gone; `entries[.. cursor)` have been begun in this run. A run ends when one of its
 * attempts puts its entry back (`stopped`) and the last one under way has ended; the next begins at the first entry
 * that is still there.
 */
export class Lane {
  readonly key: string;
  entries: LiveEntry[] = [];
  first = 0;
  cursor = 0;
  inFlight = 0;
  stopped = false;
  /** An operation is being read from the medium. */
  loading = false;
  /** Stands in the ready list of a hop. */
  queued = false;
  /** Entries with a notBeforeMs above 0. */
  putBack = 0;
  /** The earliest time the due list has for this lane; Infinity none. */
  dueAtMs = Infinity;
  /** The hop of what is under way: entries of another hop wait until it has ended. */
  runHop: HopId | undefined;

  constructor(key: string) {
    this.key = key;
  }

  get isEmpty(): boolean {
    return this.first === this.entries.length;
  }

  /** The oldest live entry. */
  head(): LiveEntry | undefined {
    return this.entries[this.first];
  }

  /** Puts the entry in its place by position: at the end, but for one that comes back from the dead. */
  insert(entry: LiveEntry): void {
    const { entries } = this;
    const last = entries[entries.length - 1];
    if (last === undefined || last.position < entry.position) {
      entries.push(entry);
      return;
    }
    let at = entries.length;
    while (at > this.first && (entries[at - 1]?.position ?? 0) > entry.position) at -= 1;
    entries.splice(at, 0, entry);
    // It belongs before entries that were begun already: finish those, then start over with it.
    if (at < this.cursor) this.stopped = true;
  }

  /** Marks the entry gone and forgets the gone ones in front. */
  remove(entry: LiveEntry): void {
    entry.gone = true;
    if (entry.notBeforeMs > 0) this.putBack -= 1;
    const { entries } = this;
    while (this.first < entries.length && entries[this.first]?.gone === true) this.first += 1;
    if (this.cursor < this.first) this.cursor = this.first;
    if (this.first === entries.length || (this.first >= 32 && this.first * 2 >= entries.length)) {
      this.entries = entries.slice(this.first);
      this.cursor -= this.first;
      this.first = 0;
    }
  }

  /** The entry whose turn it is, by order alone; undefined when all have been begun. */
  next(): LiveEntry | undefined {
    const { entries } = this;
    while (this.cursor < entries.length) {
      const entry = entries[this.cursor];
      if (entry !== undefined && !entry.gone) return entry;
      this.cursor += 1;
    }
    return undefined;
  }

  setNotBefore(entry: LiveEntry, notBeforeMs: number): void {
    this.putBack += Number(notBeforeMs > 0) - Number(entry.notBeforeMs > 0);
    entry.notBeforeMs = notBeforeMs;
  }

  /** Lets every entry up to `last` (all, when absent) go without waiting for its time. */
  release(last?: LiveEntry): void {
    for (let at = this.first; at < this.entries.length && this.putBack > 0; at += 1) {
      const entry = this.entries[at];
      if (entry === undefined) return;
      if (!entry.gone && entry.notBeforeMs > 0) this.setNotBefore(entry, 0);
      if (entry === last) return;
    }
  }
}
