import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../core/ports.ts';

/** Nonce counts below the highest that may still come: UDP reorders a few requests, no more. */
const WINDOW = 32;
const TIME_BYTES = 6;
const STAMP_BYTES = 12;
const MAC_BYTES = 12;
const NONCE_LENGTH = ((STAMP_BYTES + MAC_BYTES) / 3) * 4;
/** How far a nonce may seem to come from the future after the wall clock was set back. */
const CLOCK_SLACK_MS = 1_000;

/** Nonce counts seen of one nonce: the highest, and which of the 32 up to it, bit 0 the highest itself. */
type Counts = { highest: number; seen: number; readonly issuedAtMs: number };

/** One use of a nonce, as nodes tell it to each other. */
export type NonceUse = { readonly nonce: string; readonly realm: string; readonly count?: number };

export type NonceOptions = {
  readonly clock: Pick<Clock, 'nowMs'>;
  /** How long a nonce is good after its issue; 300,000 when absent. */
  readonly lifetimeMs?: number;
  /** Nonces whose counts are remembered; 100,000 when absent. */
  readonly rememberedMax?: number;
  /** Known to all nodes, so that each takes what another has issued; absent: one of this process alone. */
  readonly secret?: Uint8Array;
  /** Told of each use, so that no other node takes the same one. */
  readonly onUsed?: (use: NonceUse) => void;
};

/**
 * Nonces of digest authentication, good for one realm, one time and one use of each count (RFC 7616, section 5.4).
 *
 * Issuing keeps nothing: a nonce carries its time and a seal made with a secret of this process or of all nodes, so that no number of
 * unanswered challenges grows a table, and one from before a restart is simply stale. Counts are kept only of nonces
 * that somebody has used with the right password; where there are too many, the oldest become stale, never reusable.
 */
export class Nonces {
  readonly #secret: Uint8Array;
  readonly #onUsed: (use: NonceUse) => void;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #lifetimeMs: number;
  readonly #rememberedMax: number;
  readonly #counts = new Map<string, Counts>();
  /** Nonces issued up to here are stale unless their counts are remembered. */
  #forgottenUpToMs = 0;
  #issued = 0;

  constructor(options: NonceOptions) {
    this.#clock = options.clock;
    this.#secret = options.secret ?? randomBytes(32);
    this.#onUsed = options.onUsed ?? (() => undefined);
    this.#lifetimeMs = options.lifetimeMs ?? 300_000;
    this.#rememberedMax = options.rememberedMax ?? 100_000;
  }

  /** A fresh nonce for a realm: 32 characters of base64url. */
  issue(realm: string): string {
    const stamp = Buffer.allocUnsafe(STAMP_BYTES);
    stamp.writeUIntBE(this.#clock.nowMs(), 0, TIME_BYTES);
    stamp.writeUIntBE(this.#issued, TIME_BYTES, STAMP_BYTES - TIME_BYTES);
    this.#issued += 1;
    return Buffer.concat([stamp, this.#seal(stamp, realm)]).toString('base64url');
  }

  /**
   * Uses a nonce once; call only after the response has proved right.
   *
   * @param count the nonce count; undefined without `qop`, and then the nonce is good for one request only
   * @returns whether it may be used: it is ours, of this realm, young enough, and the count is new
   */
  use(nonce: string, realm: string, count: number | undefined): boolean {
    if (!this.usedElsewhere(nonce, realm, count)) return false;
    this.#onUsed({ nonce, realm, ...(count === undefined ? {} : { count }) });
    return true;
  }

  /** Another node has used it: here it may not be used with this count any more. @returns whether it could have been */
  usedElsewhere(nonce: string, realm: string, count: number | undefined): boolean {
    const nowMs = this.#clock.nowMs();
    const issuedAtMs = this.#issuedAtMs(nonce, realm);
    if (issuedAtMs === undefined) return false;
    if (nowMs - issuedAtMs >= this.#lifetimeMs || issuedAtMs > nowMs + CLOCK_SLACK_MS) return false;
    const counts = this.#counts.get(nonce);
    if (counts !== undefined) return count !== undefined && takeCount(counts, count);
    if (issuedAtMs <= this.#forgottenUpToMs) return false;
    this.#makeRoom(nowMs);
    // Without a count nothing tells a second use from a replay: a highest that no count can pass.
    const highest = count ?? Number.MAX_SAFE_INTEGER;
    this.#counts.set(nonce, { highest, seen: 1, issuedAtMs });
    return true;
  }

  /** Nonces whose counts are remembered, for the bound's test. */
  get remembered(): number {
    return this.#counts.size;
  }

  #makeRoom(nowMs: number): void {
    for (const [nonce, { issuedAtMs }] of this.#counts) {
      const isOver = nowMs - issuedAtMs >= this.#lifetimeMs;
      if (!isOver && this.#counts.size < this.#rememberedMax) return;
      this.#counts.delete(nonce);
      if (!isOver) this.#forgottenUpToMs = Math.max(this.#forgottenUpToMs, issuedAtMs);
    }
  }

  #issuedAtMs(nonce: string, realm: string): number | undefined {
    if (nonce.length !== NONCE_LENGTH) return undefined;
    const bytes = Buffer.from(nonce, 'base64url');
    // Another spelling of the same bytes would be a nonce of its own in the table.
    if (bytes.length !== STAMP_BYTES + MAC_BYTES || bytes.toString('base64url') !== nonce) return undefined;
    const stamp = bytes.subarray(0, STAMP_BYTES);
    if (!timingSafeEqual(bytes.subarray(STAMP_BYTES), this.#seal(stamp, realm))) return undefined;
    return stamp.readUIntBE(0, TIME_BYTES);
  }

  #seal(stamp: Buffer, realm: string): Buffer {
    return createHmac('sha256', this.#secret).update(stamp).update(realm).digest().subarray(0, MAC_BYTES);
  }
}

/** Marks a count as seen; false when it was, or is so far below the highest that nobody knows. */
function takeCount(counts: Counts, count: number): boolean {
  if (count > counts.highest) {
    const step = count - counts.highest;
    counts.seen = step >= WINDOW ? 1 : (counts.seen << step) | 1;
    counts.highest = count;
    return true;
  }
  const behind = counts.highest - count;
  if (behind >= WINDOW || (counts.seen & (1 << behind)) !== 0) return false;
  counts.seen |= 1 << behind;
  return true;
}
