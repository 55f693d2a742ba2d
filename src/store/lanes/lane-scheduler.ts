import type { AttemptDelivery, AttemptOutcome, Clock, Delivery, HopId } from '../../core/ports.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { DueList } from '../../core/due-list.ts';
import { ExpiryIndex } from './expiry-index.ts';
import { HopLanes } from './hop-lanes.ts';
import { Lane, sequenceOf } from './lane.ts';
import type { LiveEntry } from './lane.ts';
import { OperationMemory } from './operation-memory.ts';
import { OperationReader } from './operation-reader.ts';

/** Where the scheduler writes down what became of an attempt, and finds operations it has no memory for. */
export interface LaneJournal {
  /** Sets `operation` of these entries; one that cannot be read stays without. Rejects when the medium fails. */
  load(entries: readonly LiveEntry[]): Promise<void>;
  delivered(entry: LiveEntry): void;
  again(entry: LiveEntry): void;
  dead(entry: LiveEntry, code: ErrorCode, reason: string): void;
}

export type LaneSchedulerOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: LaneJournal;
  /** Attempts under way towards one hop; further lanes of it wait for one to end. */
  readonly underWayPerHop: number;
  /** Operations kept in memory, in characters of their text; the others are read when their turn comes. */
  readonly operationSizeMax: number;
};

/** Attempts begun before the event loop gets its turn. */
const STARTS_PER_TURN = 128;
const LANES_PER_HOP_PER_TURN = 32;
const LOAD_AT_ONCE = 16;
/** How long an entry past its lifetime waits at most for its attempt, and how often the clock is checked for jumps. */
const TICK_MS = 15_000;
const LOAD_AGAIN_MS = 1_000;
const AFTER_THROW_MS = 60_000;

/**
 * Decides which entry is attempted when: the part of the DeliveryQueue promises (3, 4, 6, 8) that needs no medium.
 *
 * Every entry given to it is durable already. Writing down an outcome is not waited for: a lane goes on at once, and
 * what a crash makes forgotten is attempted again with `maybeSent`.
 */
export class LaneScheduler {
  readonly #options: LaneSchedulerOptions;
  readonly #clock: Clock;
  readonly #lanes = new Map<string, Lane>();
  readonly #hops = new Map<HopId, HopLanes>();
  readonly #readyHops = new Set<HopLanes>();
  readonly #due: DueList<Lane>;
  readonly #memory: OperationMemory;
  readonly #reader: OperationReader;
  readonly #expiry: ExpiryIndex;
  #expired: LiveEntry[] = [];
  #attempt: AttemptDelivery | undefined;
  #window: (hop: HopId) => number = () => 1;
  #stopping = false;
  #underWay = 0;
  #pumping = false;
  /** Attempts that may still be begun before the event loop has its turn. */
  #turnBudget = STARTS_PER_TURN;
  #cancelTick: (() => void) | undefined;
  #tickedAtMs: number;
  #idle: (() => void) | undefined;

  constructor(options: LaneSchedulerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#tickedAtMs = options.clock.nowMs();
    this.#expiry = new ExpiryIndex(this.#tickedAtMs);
    this.#memory = new OperationMemory(options.operationSizeMax);
    this.#reader = new OperationReader((entries) => options.journal.load(entries));
    this.#due = new DueList(options.clock, TICK_MS, (lane) => {
      lane.dueAtMs = Infinity;
      this.#makeReady(lane);
    });
  }

  get underWay(): number {
    return this.#underWay;
  }

  insert(entry: LiveEntry): void {
    let lane = this.#lanes.get(entry.lane);
    if (lane === undefined) this.#lanes.set(entry.lane, (lane = new Lane(entry.lane)));
    const mustWait = !lane.isEmpty;
    lane.insert(entry);
    const hop = this.#hopOf(entry.hop);
    hop.live += 1;
    if (entry.notBeforeMs > 0) {
      lane.putBack += 1;
      hop.waiting.add(lane);
    }
    this.#expiry.add(entry);
    this.#memory.count(entry);
    // What is attempted at once is not worth forgetting first.
    if (mustWait) this.#memory.forgetIfMany(entry);
    if (!lane.queued) this.#makeReady(lane);
  }

  start(attempt: AttemptDelivery, window: (hop: HopId) => number): void {
    this.#attempt = attempt;
    this.#window = window;
    for (const lane of this.#lanes.values()) this.#makeReady(lane);
    this.#tick();
  }

  wake(id: HopId, lanesMax?: number): void {
    const hop = this.#hops.get(id);
    if (hop === undefined) return;
    if (lanesMax === undefined) hop.wakes += 1;
    for (const lane of hop.release(lanesMax ?? Infinity)) this.#makeReady(lane);
  }

  /** Lets the entry, and what stands before it in its lane, go now. */
  retry(entry: LiveEntry): void {
    const lane = this.#lanes.get(entry.lane);
    if (lane === undefined || entry.gone) return;
    lane.release(entry);
    this.#makeReady(lane);
  }

  /** Takes an entry out; what its attempt under way, if any, comes to is then ignored. */
  remove(entry: LiveEntry): void {
    if (entry.gone) return;
    this.#takeOut(entry);
    const lane = this.#lanes.get(entry.lane);
    if (lane !== undefined) this.#makeReady(lane);
  }

  /** Whether the entry waits for a wake, itself or because of the one at the head of its lane. */
  isHeld(entry: LiveEntry): boolean {
    return entry.notBeforeMs === Infinity || this.#lanes.get(entry.lane)?.head()?.notBeforeMs === Infinity;
  }

  /** Starts nothing new; resolves when all under way have ended, with true, or when the time is over, with false. */
  async stop(graceMs: number): Promise<boolean> {
    this.#stopping = true;
    this.#cancelTick?.();
    this.#due.stop();
    if (this.#underWay === 0) return true;
    if (graceMs <= 0) return false;
    return new Promise((resolve) => {
      const cancel = this.#clock.after(graceMs, () => {
        this.#idle = undefined;
        resolve(false);
      });
      this.#idle = () => {
        cancel();
        resolve(true);
      };
    });
  }

  #hopOf(id: HopId): HopLanes {
    let hop = this.#hops.get(id);
    if (hop === undefined) this.#hops.set(id, (hop = new HopLanes(id)));
    return hop;
  }

  #makeReady(lane: Lane): void {
    if (lane.queued || lane.loading || this.#attempt === undefined || this.#stopping) return;
    const head = lane.head();
    if (head === undefined) return;
    lane.queued = true;
    const hop = this.#hopOf(head.hop);
    hop.ready.push(lane);
    this.#readyHops.add(hop);
    this.#pumpSoon();
  }

  #pumpSoon(): void {
    if (this.#pumping || this.#turnBudget <= 0) return;
    this.#pumping = true;
    // After whoever awaits the add has been told: his answer goes out first.
    queueMicrotask(() => this.#pump());
  }

  /** Begins attempts until nothing is ready, the hops are full, or this turn of the event loop has had its share. */
  #pump(): void {
    this.#pumping = false;
    if (this.#stopping) return;
    if (this.#turnBudget === STARTS_PER_TURN) {
      setImmediate(() => {
        this.#turnBudget = STARTS_PER_TURN;
        if (this.#readyHops.size > 0 || this.#expired.length > 0) this.#pumpSoon();
      });
    }
    if (this.#expired.length > 0) this.#beginExpired();
    for (const hop of this.#readyHops) {
      if (this.#turnBudget <= 0) return;
      this.#readyHops.delete(hop);
      for (let lanes = LANES_PER_HOP_PER_TURN; lanes > 0 && this.#turnBudget > 0 && this.#hasRoom(hop); lanes -= 1) {
        const lane = hop.ready.shift();
        if (lane === undefined) break;
        lane.queued = false;
        this.#turnBudget -= Math.max(1, this.#goOn(lane));
      }
      if (hop.ready.length > 0 && this.#hasRoom(hop)) this.#readyHops.add(hop);
    }
  }

  #hasRoom(hop: HopLanes): boolean {
    return hop.inFlight < this.#options.underWayPerHop;
  }

  /** Begins what the lane may begin now, or sees to it that somebody comes back to it. @returns how many it began */
  #goOn(lane: Lane): number {
    let begun = 0;
    if (lane.loading) return begun;
    if (lane.stopped) {
      if (lane.inFlight > 0) return begun;
      lane.stopped = false;
      lane.cursor = lane.first;
    }
    for (;;) {
      const entry = lane.next();
      // Its end comes back to the lane.
      if (entry === undefined || entry.underWay) return begun;
      if (lane.inFlight === 0) lane.runHop = entry.hop;
      else if (lane.runHop !== entry.hop || lane.inFlight >= this.#window(entry.hop)) return begun;
      if (entry.notBeforeMs > 0 && entry.notBeforeMs > this.#clock.nowMs()) {
        if (entry.notBeforeMs !== Infinity) this.#remind(lane, entry.notBeforeMs);
        return begun;
      }
      if (entry.operation === undefined) {
        this.#loadFrom(lane, entry);
        return begun;
      }
      lane.cursor += 1;
      begun += 1;
      this.#begin(entry, lane);
    }
  }

  #beginExpired(): void {
    const expired = this.#expired;
    this.#expired = expired.splice(this.#turnBudget);
    this.#turnBudget -= expired.length;
    for (const entry of expired) {
      const lane = this.#lanes.get(entry.lane);
      if (lane === undefined || entry.gone) continue;
      // Looked at again with every tick as long as it is there.
      this.#expiry.add(entry);
      if (entry.underWay || lane.loading) continue;
      if (entry.operation !== undefined) {
        this.#begin(entry, lane);
        continue;
      }
      this.#load([entry], entry.hop, lane, () => {
        if (entry.operation === undefined) return;
        this.#expired.push(entry);
        this.#pumpSoon();
      });
    }
  }

  #begin(entry: LiveEntry, lane: Lane): void {
    const { operation } = entry;
    if (this.#attempt === undefined || operation === undefined) return;
    const hop = this.#hopOf(entry.hop);
    entry.underWay = true;
    entry.wakesSeen = hop.wakes;
    lane.inFlight += 1;
    hop.inFlight += 1;
    this.#underWay += 1;
    const delivery: Delivery = {
      id: entry.id,
      lane: entry.lane,
      hop: entry.hop,
      owner: entry.owner,
      expiresAtMs: entry.expiresAtMs,
      operation,
      sequence: sequenceOf(entry.position),
      attempt: entry.attempts + 1,
      maybeSent: entry.maybeSent,
    };
    attempted(this.#attempt, delivery).then(
      (outcome) => this.#ended(entry, lane, hop, outcome),
      (error: unknown) => {
        // The promise of AttemptDelivery is broken; ours still holds: nothing is lost.
        this.#options.log.error({ messageId: entry.id, error }, 'attempt threw');
        this.#ended(entry, lane, hop, { kind: 'again', atMs: this.#clock.nowMs() + AFTER_THROW_MS });
      },
    );
  }

  #ended(entry: LiveEntry, lane: Lane, hop: HopLanes, outcome: AttemptOutcome): void {
    entry.underWay = false;
    lane.inFlight -= 1;
    hop.inFlight -= 1;
    this.#underWay -= 1;
    if (!entry.gone) this.#settle(entry, lane, hop, outcome);
    if (hop.ready.length > 0 && !this.#stopping) {
      this.#readyHops.add(hop);
      this.#pumpSoon();
    }
    if (lane.isEmpty && lane.inFlight === 0) this.#forgetLane(lane);
    else this.#makeReady(lane);
    this.#forgetHopIfUnused(hop);
    if (this.#underWay === 0) this.#idle?.();
  }

  #settle(entry: LiveEntry, lane: Lane, hop: HopLanes, outcome: AttemptOutcome): void {
    const { journal } = this.#options;
    switch (outcome.kind) {
      case 'delivered':
        this.#takeOut(entry);
        journal.delivered(entry);
        return;
      case 'dead':
        this.#takeOut(entry);
        journal.dead(entry, outcome.code, outcome.reason);
        return;
      case 'again':
        entry.attempts += 1;
        entry.maybeSent = true;
        entry.code = outcome.code;
        entry.reason = outcome.reason;
        this.#putBack(entry, lane, hop, Math.max(1, outcome.atMs));
        journal.again(entry);
        return;
      case 'held':
        // A wake that came while the attempt was on its way to this answer must not be lost.
        this.#putBack(entry, lane, hop, hop.wakes === entry.wakesSeen ? Infinity : 0);
    }
  }

  #putBack(entry: LiveEntry, lane: Lane, hop: HopLanes, notBeforeMs: number): void {
    lane.stopped = true;
    lane.setNotBefore(entry, notBeforeMs);
    if (notBeforeMs > 0) hop.waiting.add(lane);
    this.#memory.forgetIfMany(entry);
  }

  #takeOut(entry: LiveEntry): void {
    const lane = this.#lanes.get(entry.lane);
    const hop = this.#hopOf(entry.hop);
    lane?.remove(entry);
    hop.live -= 1;
    this.#expiry.remove(entry);
    this.#memory.forget(entry);
    if (lane?.isEmpty === true && lane.inFlight === 0) this.#forgetLane(lane);
    if (lane?.putBack === 0) hop.waiting.delete(lane);
    this.#forgetHopIfUnused(hop);
  }

  #forgetLane(lane: Lane): void {
    if (this.#lanes.get(lane.key) === lane) this.#lanes.delete(lane.key);
  }

  #forgetHopIfUnused(hop: HopLanes): void {
    if (hop.isUnused) this.#hops.delete(hop.id);
  }

  /** Reads the operations of the next entries of a lane, then lets it go on. */
  #loadFrom(lane: Lane, next: LiveEntry): void {
    const max = Math.min(LOAD_AT_ONCE, this.#window(next.hop));
    const wanted = [next];
    for (let at = lane.cursor + 1; at < lane.entries.length && wanted.length < max; at += 1) {
      const entry = lane.entries[at];
      if (entry !== undefined && !entry.gone && entry.operation === undefined) wanted.push(entry);
    }
    this.#load(wanted, next.hop, lane, () => undefined);
  }

  #load(wanted: readonly LiveEntry[], hopId: HopId, lane: Lane, andThen: () => void): void {
    const hop = this.#hopOf(hopId);
    lane.loading = true;
    // A lane that reads takes one of its hop's places, so that not all of a backlog is read at once.
    hop.inFlight += 1;
    this.#reader.read(wanted, (isRead) => {
      // The medium fails: not now. Whoever writes to it says so in the log.
      const againAtMs = this.#clock.nowMs() + LOAD_AGAIN_MS;
      for (const entry of wanted) {
        if (isRead) this.#loaded(entry);
        else if (!entry.gone) this.#putBack(entry, lane, hop, againAtMs);
      }
      hop.inFlight -= 1;
      lane.loading = false;
      if (this.#stopping) return;
      andThen();
      // Not by way of the ready list: others would read theirs first and crowd memory.
      this.#goOn(lane);
      if (hop.ready.length > 0) this.#readyHops.add(hop);
      if (this.#readyHops.size > 0) this.#pumpSoon();
      this.#forgetHopIfUnused(hop);
    });
  }

  #loaded(entry: LiveEntry): void {
    if (entry.gone) {
      entry.operation = undefined;
    } else if (entry.operation !== undefined) {
      this.#memory.count(entry);
    } else {
      this.#options.log.error({ messageId: entry.id }, 'queue entry cannot be read');
      this.#takeOut(entry);
      this.#options.journal.dead(entry, 'internal', 'the stored operation cannot be read');
    }
  }

  #remind(lane: Lane, atMs: number): void {
    if (atMs >= lane.dueAtMs) return;
    lane.dueAtMs = atMs;
    this.#due.add(atMs, lane);
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    // The wall clock went back: what waits for a time would wait for much longer than was meant.
    if (nowMs < this.#tickedAtMs - TICK_MS) this.#releaseTimed();
    this.#tickedAtMs = nowMs;
    for (const entry of this.#expiry.take(nowMs)) this.#expired.push(entry);
    if (this.#expired.length > 0) this.#pumpSoon();
    this.#cancelTick = this.#clock.after(TICK_MS, () => this.#tick());
  }

  #releaseTimed(): void {
    for (const hop of this.#hops.values()) {
      for (const lane of hop.waiting) {
        const head = lane.head();
        if (head === undefined || head.notBeforeMs === Infinity) continue;
        lane.release();
        this.#makeReady(lane);
      }
    }
  }
}

/** An attempt that throws instead of rejecting is one that rejects. */
async function attempted(attempt: AttemptDelivery, delivery: Delivery): Promise<AttemptOutcome> {
  return attempt(delivery);
}
