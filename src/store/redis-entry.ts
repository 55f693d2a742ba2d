import { GatewayError } from '../core/errors.ts';
import type { HopId, QueueEntry, QueueItem } from '../core/ports.ts';
import { isOperation } from './stored-operation.ts';

/** An entry as a script hands it out for an attempt. */
export type TakenEntry = {
  readonly id: string;
  /** Absent when what Redis holds is not of the shape it was written in. */
  readonly entry: QueueEntry | undefined;
  /** Attempts that ended with 'again'. */
  readonly attempts: number;
  /** Whether an attempt had been begun before. */
  readonly wasSent: boolean;
  /** Place in the order of acceptance. */
  readonly position: number;
};

/** What is kept of an entry that died. */
export type RedisLetter = {
  readonly position: number;
  readonly item: QueueItem & { readonly code: string; readonly reason: string };
  readonly entry: QueueEntry;
};

/** Reads `id data attempts sent sequence expiresAt` as a script gives them. */
export function takenEntry(row: unknown): TakenEntry {
  if (!Array.isArray(row) || row.length < 6) throw malformed('an entry');
  const [id, data, attempts, sent, sequence, expiresAt] = row as unknown[];
  const entry = entryFromText(data);
  const expiresAtMs = Number(expiresAt);
  return {
    id: String(id),
    // A retry by the operator may have given it more time than it was added with.
    entry: entry === undefined || !Number.isFinite(expiresAtMs) ? undefined : { ...entry, expiresAtMs },
    attempts: Number(attempts) || 0,
    wasSent: sent !== '0',
    position: Number(sequence),
  };
}

export function entryFromText(text: unknown): QueueEntry | undefined {
  return entryFrom(fromJson(text));
}

function entryFrom(value: unknown): QueueEntry | undefined {
  if (!isObject(value)) return undefined;
  const { id, lane, hop, owner, expiresAtMs, operation, node } = value;
  if (![id, lane, hop, owner].every((part) => typeof part === 'string')) return undefined;
  if (!isHop(hop) || typeof expiresAtMs !== 'number' || !isOperation(operation)) return undefined;
  const entry = { id: String(id), lane: String(lane), hop, owner: String(owner), expiresAtMs, operation };
  return typeof node === 'string' ? { ...entry, node } : entry;
}

export function letterFromText(text: unknown): RedisLetter | undefined {
  const value = fromJson(text);
  if (!isObject(value) || typeof value['position'] !== 'number') return undefined;
  const entry = entryFrom(value['entry']);
  const { attempts, code, reason } = value;
  if (entry === undefined || typeof attempts !== 'number') return undefined;
  if (typeof code !== 'string' || typeof reason !== 'string') return undefined;
  const item = { ...deadItemOf(entry, attempts), code, reason };
  return { position: value['position'], item, entry };
}

export function letterText(
  entry: QueueEntry,
  position: number,
  attempts: number,
  code: string,
  reason: string,
): string {
  return JSON.stringify({ position, attempts, code, reason, entry });
}

/** Reads a live entry's hash as the operator sees it. */
export function itemFromHash(hash: Readonly<Record<string, string>>, isUnderWay: boolean): QueueItem | undefined {
  const entry = entryFromText(hash['data']);
  if (entry === undefined) return undefined;
  const notBefore = hash['notBefore'] ?? '0';
  const { code, reason } = hash;
  return {
    ...deadItemOf(entry, Number(hash['attempts']) || 0),
    state: isUnderWay ? 'under-way' : notBefore === 'held' ? 'held' : 'waiting',
    expiresAtMs: Number(hash['expiresAt']) || entry.expiresAtMs,
    ...(notBefore !== 'held' && Number(notBefore) > 0 ? { notBeforeMs: Number(notBefore) } : {}),
    ...(code === undefined || code === '' ? {} : { code }),
    ...(reason === undefined || reason === '' ? {} : { reason }),
  };
}

/** What a script answers is an array; anything else is not our script, or not our Redis. */
export function rowsOf(answer: unknown): readonly unknown[] {
  if (!Array.isArray(answer)) throw malformed('an answer');
  return answer as unknown[];
}

function deadItemOf(entry: QueueEntry, attempts: number): QueueItem {
  return {
    id: entry.id,
    state: 'dead',
    hop: entry.hop,
    lane: entry.lane,
    owner: entry.owner,
    acceptedAtMs: entry.operation.acceptedAtMs,
    expiresAtMs: entry.expiresAtMs,
    attempts,
  };
}

function isHop(value: unknown): value is HopId {
  return typeof value === 'string' && /^(?:link|sip|user):/.test(value);
}

function fromJson(text: unknown): unknown {
  if (typeof text !== 'string') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(what: string): GatewayError {
  return new GatewayError('store-unavailable', `Redis holds ${what} that is not in our form`);
}
