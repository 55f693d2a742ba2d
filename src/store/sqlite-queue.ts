import type { ErrorCode } from '../core/errors.ts';
import type { HopId, QueueFilter, QueueItem } from '../core/ports.ts';
import type { Operation } from '../cpim/operation.ts';
import type { DeadLetter, QueueMedium } from './embedded-queue.ts';
import type { LiveEntry } from './lanes/lane.ts';
import { RememberedIds } from './remembered-ids.ts';
import type { IdHash } from './remembered-ids.ts';
import type { SqliteConnection, SqliteRow } from './sqlite-driver.ts';
import type { SqliteWriter } from './sqlite-writer.ts';
import { operationFromText } from './stored-operation.ts';

export type SqliteMediumOptions = {
  /** Ids that left are known for at least this long. */
  readonly rememberSeconds: number;
  /** And at most so many of them. */
  readonly rememberMax: number;
  readonly nowMs: () => number;
};

const PAGE_ROWS = 5_000;

/**
 * The medium of the embedded queue: SQLite behind a group commit.
 *
 * What it claims to survive is the end of the process and, as far as the disk keeps what it has synced, of the machine.
 * A delivered entry whose deletion was not yet committed when the process ended comes back with `maybeSent`.
 */
export class SqliteMedium implements QueueMedium {
  readonly #writer: SqliteWriter;
  readonly #rememberMs: number;
  readonly #nowMs: () => number;
  readonly remembered: RememberedIds;
  readonly deadCount: number;
  readonly lastPosition: number;
  #live: LiveEntry[];

  /** Reads everything but the operations. From here on the file counts as in use: see `settle`. */
  constructor(connection: SqliteConnection, writer: SqliteWriter, options: SqliteMediumOptions) {
    this.#writer = writer;
    this.#nowMs = options.nowMs;
    this.#rememberMs = options.rememberSeconds * 1_000;
    const settings = readSettings(connection);
    this.lastPosition = settings('position');
    // A process that ended without a word may have sent anything up to here.
    const suspect = settings('clean') === 1 ? settings('suspect') : this.lastPosition;
    connection.exec(`BEGIN IMMEDIATE;
      UPDATE setting SET value = ${suspect} WHERE name = 'suspect';
      UPDATE setting SET value = 0 WHERE name = 'clean';
      COMMIT`);
    this.#live = readLive(connection, suspect);
    this.deadCount = Number(connection.prepare('SELECT count(*) AS n FROM dead').get()?.['n']);
    const seed = [settings('seed-high'), settings('seed-low')] as const;
    this.remembered = new RememberedIds(seed, options.rememberSeconds, options.rememberMax);
    readRemembered(connection, this.remembered, options.nowMs() - this.#rememberMs);
  }

  takeLive(): LiveEntry[] {
    const live = this.#live;
    this.#live = [];
    return live;
  }

  async add(entry: LiveEntry, operation: string): Promise<void> {
    const { position, id, lane, hop, owner, acceptedAtMs, expiresAtMs, size } = entry;
    await this.#writer.write([
      'add',
      position,
      id,
      lane,
      hop,
      owner,
      wholeMs(acceptedAtMs),
      wholeMs(expiresAtMs),
      size,
      operation,
    ]);
  }

  async load(entries: readonly LiveEntry[]): Promise<void> {
    const byPosition = new Map(entries.map((entry) => [entry.position, entry]));
    const rows = await this.#writer.read(['operations', JSON.stringify([...byPosition.keys()])]);
    for (const row of rows) {
      const entry = byPosition.get(Number(row['position']));
      if (entry !== undefined) entry.operation = operationFromText(row['operation']);
    }
  }

  delivered(position: number, id: IdHash): void {
    this.#writer.writeLater(['gone', position, wholeMs(this.#nowMs()), id.high, id.low]);
  }

  again(entry: LiveEntry): void {
    const { position, attempts, notBeforeMs, code, reason } = entry;
    this.#writer.writeLater(['again', position, attempts, wholeMs(notBeforeMs), code ?? null, reason ?? null]);
  }

  dead(entry: LiveEntry, diedAtMs: number, code: ErrorCode, reason: string, id: IdHash): void {
    this.#writer.writeLater(['dead', entry.position, wholeMs(diedAtMs), code, reason, id.high, id.low]);
  }

  async drop(position: number, id: IdHash): Promise<void> {
    await this.#writer.write(['gone', position, wholeMs(this.#nowMs()), id.high, id.low]);
  }

  async listDead(filter: QueueFilter): Promise<DeadLetter[]> {
    const rows = await this.#writer.read(['dead-list', filter.hop ?? null, filter.owner ?? null, filter.limit]);
    return rows.map(deadLetterOf);
  }

  async showDead(id: string): Promise<(DeadLetter & { readonly operation: Operation }) | undefined> {
    const [row] = await this.#writer.read(['dead-one', id]);
    if (row === undefined) return undefined;
    const operation = operationFromText(row['operation']);
    return operation === undefined ? undefined : { ...deadLetterOf(row), operation };
  }

  async restore(dead: DeadLetter, expiresAtMs: number): Promise<void> {
    await this.#writer.write(['restore', dead.position, wholeMs(expiresAtMs)]);
  }

  async dropDead(position: number): Promise<void> {
    await this.#writer.write(['drop-dead', position]);
  }

  purge(nowMs: number, deadBeforeMs: number): Promise<number> {
    return this.#writer.write(['purge', wholeMs(nowMs - 2 * this.#rememberMs), wholeMs(deadBeforeMs)]);
  }

  async settle(suspects: readonly LiveEntry[]): Promise<void> {
    for (const { position } of suspects) this.#writer.writeLater(['suspect', position]);
    // Behind all others: it is true only if they are written.
    this.#writer.writeLater(['setting', 'clean', 1]);
    await this.#writer.settled();
  }
}

/** The columns are whole numbers; a time without end becomes the largest there is. */
function wholeMs(ms: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(ms));
}

function readSettings(connection: SqliteConnection): (name: string) => number {
  const rows = connection.prepare('SELECT name, value FROM setting').all();
  const settings = new Map(rows.map((row) => [row['name'], Number(row['value'])]));
  return (name) => settings.get(name) ?? 0;
}

function readLive(connection: SqliteConnection, suspect: number): LiveEntry[] {
  const page = connection.prepare(
    `SELECT position, id, lane, hop, owner, accepted_at_ms, expires_at_ms, attempts, not_before_ms, maybe_sent, code,
     reason, size FROM entry WHERE position > ? ORDER BY position LIMIT ${PAGE_ROWS}`,
  );
  const found: LiveEntry[] = [];
  // A backlog repeats the same few lanes, hops and owners a hundred thousand times.
  const texts = new Map<string, string>();
  const shared = (text: unknown): string => {
    const known = texts.get(String(text));
    if (known !== undefined) return known;
    texts.set(String(text), String(text));
    return String(text);
  };
  for (let after = 0; ;) {
    const rows = page.all(after);
    for (const row of rows) {
      const position = Number(row['position']);
      found.push({
        position,
        id: String(row['id']),
        lane: shared(row['lane']),
        hop: shared(row['hop']) as HopId,
        owner: shared(row['owner']),
        acceptedAtMs: Number(row['accepted_at_ms']),
        expiresAtMs: Number(row['expires_at_ms']),
        attempts: Number(row['attempts']),
        notBeforeMs: Number(row['not_before_ms']),
        maybeSent: row['maybe_sent'] === 1 || position <= suspect,
        underWay: false,
        gone: false,
        wakesSeen: 0,
        bucket: -1,
        operation: undefined,
        size: Number(row['size']),
        code: textOf(row['code']),
        reason: textOf(row['reason']),
      });
      after = position;
    }
    if (rows.length < PAGE_ROWS) return found;
  }
}

function readRemembered(connection: SqliteConnection, remembered: RememberedIds, sinceMs: number): void {
  const page = connection.prepare(
    `SELECT number, at_ms, hashes FROM remembered WHERE number > ? AND at_ms >= ? ORDER BY number LIMIT ${PAGE_ROWS}`,
  );
  for (let after = 0; ;) {
    const rows = page.all(after, sinceMs);
    for (const row of rows) {
      after = Number(row['number']);
      const { hashes } = row;
      if (!(hashes instanceof Uint8Array)) continue;
      const view = new DataView(hashes.buffer, hashes.byteOffset, hashes.byteLength - (hashes.byteLength % 8));
      for (let at = 0; at < view.byteLength; at += 8) {
        remembered.add({ high: view.getUint32(at, true), low: view.getUint32(at + 4, true) }, Number(row['at_ms']));
      }
    }
    if (rows.length < PAGE_ROWS) return;
  }
}

function deadLetterOf(row: SqliteRow): DeadLetter {
  const item: QueueItem = {
    id: String(row['id']),
    state: 'dead',
    hop: String(row['hop']) as HopId,
    lane: String(row['lane']),
    owner: String(row['owner']),
    acceptedAtMs: Number(row['accepted_at_ms']),
    expiresAtMs: Number(row['expires_at_ms']),
    attempts: Number(row['attempts']),
    code: String(row['code']),
    reason: String(row['reason']),
  };
  return { position: Number(row['position']), item };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
