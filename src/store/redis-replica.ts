import type { RedisChange } from './redis-change-scripts.ts';

/** A record as it stands in Redis: the batch that made it, and its JSON. */
export type StoredRecord = { readonly version: number; readonly text: string };

type Entry = { version: number; readonly text: string };
/** `isOwn`: this process has made the change. */
export type ReplicaListener = (key: string, text: string | undefined, isOwn: boolean) => void;

/** Removals are remembered so long, to be made again should Redis lose them. */
const REMOVALS_KEPT_MS = 60_000;
const REMOVALS_MAX = 20_000;

/**
 * All records as this process knows them, by kind: what it has itself stored, and what others have.
 *
 * Both come by ways of their own, so that an older state may come after a newer one: versions tell them apart. A record
 * never goes back to an older version, and one that was removed does not come back by what was read before.
 */
export class RedisReplica {
  readonly #kinds = new Map<string, Map<string, Entry>>();
  readonly #removed = new Map<string, { version: number; readonly change: RedisChange; readonly atMs: number }>();
  readonly #listeners = new Map<string, Set<ReplicaListener>>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The live map of a kind: it changes while it is looked at. */
  kind(kind: string): ReadonlyMap<string, { readonly text: string }> {
    return this.#of(kind);
  }

  /** 0: not there. */
  versionOf(kind: string, key: string): number {
    return this.#kinds.get(kind)?.get(key)?.version ?? 0;
  }

  /** @returns stops listening */
  onChange(kind: string, listener: ReplicaListener): () => void {
    const listeners = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Takes in what a record was made by this version: by this process, or as found in Redis. */
  put(kind: string, key: string, { version, text }: StoredRecord, isOwn: boolean): void {
    const records = this.#of(kind);
    const known = records.get(key);
    const removed = this.#removed.get(`${kind}\n${key}`);
    if ((known?.version ?? 0) >= version || (removed?.version ?? 0) >= version) return;
    const isNew = known?.text !== text;
    this.#removed.delete(`${kind}\n${key}`);
    records.set(key, { version, text });
    if (isNew) this.#tell(kind, key, text, isOwn);
  }

  /** Takes in that a record is not there, as of this version. */
  remove(kind: string, key: string, version: number, isOwn: boolean): void {
    const records = this.#of(kind);
    const known = records.get(key);
    if (known !== undefined && known.version > version) return;
    this.#remember(kind, key, version);
    if (!records.delete(key)) return;
    this.#tell(kind, key, undefined, isOwn);
  }

  /**
   * Takes in a whole kind as it was read, which began when `since` was the last version: what is not in it, and is no
   * newer, has been removed.
   */
  replace(kind: string, found: ReadonlyMap<string, StoredRecord>, since: number): void {
    for (const [key, record] of found) this.put(kind, key, record, false);
    for (const [key, { version }] of this.#of(kind)) {
      if (!found.has(key) && version <= since) this.remove(kind, key, since, false);
    }
  }

  kinds(): Iterable<string> {
    return this.#kinds.keys();
  }

  /** What was changed after a version, in the order of the changes: what a Redis that stands at it has lost. */
  newerThan(version: number): RedisChange[] {
    const newer: Array<{ readonly version: number; readonly change: RedisChange }> = [];
    for (const [kind, records] of this.#kinds) {
      for (const [key, entry] of records) {
        if (entry.version > version) newer.push({ version: entry.version, change: { kind, key, text: entry.text } });
      }
    }
    for (const removed of this.#removed.values()) if (removed.version > version) newer.push(removed);
    return newer
      .sort((one, other) => one.version - other.version)
      .map(({ change }) => ({ ...change, ifUpTo: version }));
  }

  /** Redis went back to an earlier state: versions are counted anew from `version` on. */
  restart(version: number): void {
    for (const records of this.#kinds.values()) {
      for (const entry of records.values()) entry.version = Math.min(entry.version, version);
    }
    for (const removed of this.#removed.values()) removed.version = Math.min(removed.version, version);
  }

  #of(kind: string): Map<string, Entry> {
    let records = this.#kinds.get(kind);
    if (records === undefined) this.#kinds.set(kind, (records = new Map<string, Entry>()));
    return records;
  }

  #remember(kind: string, key: string, version: number): void {
    const id = `${kind}\n${key}`;
    const nowMs = this.#nowMs();
    this.#removed.delete(id);
    this.#removed.set(id, { version, change: { kind, key, text: undefined }, atMs: nowMs });
    for (const [old, { atMs }] of this.#removed) {
      if (this.#removed.size <= REMOVALS_MAX && nowMs - atMs < REMOVALS_KEPT_MS) break;
      this.#removed.delete(old);
    }
  }

  #tell(kind: string, key: string, text: string | undefined, isOwn: boolean): void {
    for (const listener of this.#listeners.get(kind) ?? []) listener(key, text, isOwn);
  }
}

/** Reads a value of a hash of records; undefined for what is not in our form. */
export function storedRecord(value: string): StoredRecord | undefined {
  const space = value.indexOf(' ');
  const version = Number(value.slice(0, Math.max(0, space)));
  return space > 0 && Number.isSafeInteger(version) ? { version, text: value.slice(space + 1) } : undefined;
}
