import type { Clock } from '../ports.ts';
import { DueList, LOOK_MS } from '../due-list.ts';
import type { NotifyOutcome } from './subscription.ts';

/** What the fan-out keeps of each of those it tells; it alone writes these fields. */
export type Telling = {
  /** There is something to tell that no notification under way carries. */
  isDue: boolean;
  /** It must not wait for the interval. */
  isUrgent: boolean;
  isUnderWay: boolean;
  /** Stands in the queue of those to be told now. */
  isQueued: boolean;
  /** Waits for `wake`. */
  isHeld: boolean;
  /** The far end asked for a pause; nothing is urgent enough to break it. */
  isPausing: boolean;
  /** No sooner than this, unless it is urgent; ms since the epoch. */
  notBeforeMs: number;
  /** When the due list will look at it; 0: it is not there. */
  timedAtMs: number;
  /** When it is told again, changed or not; 0: never. */
  repeatAtMs: number;
};

export type FanOutDeps<T extends Telling> = {
  readonly clock: Clock;
  /** One of them is told no sooner than so long after the last time; 0: no limit. */
  readonly intervalOf: (item: T) => number;
  /** And no later than so long after it, whether something has changed or not; absent: no limit. */
  readonly repeatOf: (item: T) => number | undefined;
  /** Nothing has changed for that long. */
  readonly repeat: (item: T) => void;
  /** Tells one of them the newest there is. Must not reject. */
  readonly tell: (item: T) => Promise<NotifyOutcome>;
  /** One has been told everything there is, or cannot be told any more. */
  readonly settled: (item: T, outcome: NotifyOutcome & { kind: 'told' | 'gone' }) => void;
  /** What its notifications go over, for `wake`. */
  readonly wayOf: (item: T) => string;
  /** Answers awaited at once; those that are late count no longer. 512 when absent. */
  readonly outstandingMax?: number;
};

const OUTSTANDING_MAX = 512;
/** All of them, the late ones too: each holds a transaction. */
const UNANSWERED_MAX = 50_000;
/** After so long without an answer a notification no longer keeps others back. */
const LATE_MS = 500;
/** The same where nobody at all has answered for so long: far ends that are only slow do answer something. */
const STALL_MS = 100;
const SWEEP_MS = 50;

type Slot = { readonly startedAtMs: number; isOpen: boolean };

/** None of it due: how a Telling begins. */
export function untold(): Telling {
  return {
    isDue: false,
    isUrgent: false,
    isUnderWay: false,
    isQueued: false,
    isHeld: false,
    isPausing: false,
    notBeforeMs: 0,
    timedAtMs: 0,
    repeatAtMs: 0,
  };
}

/**
 * Decides when whom to tell: one notification at a time to each, the newest state wins while one is outstanding, no
 * more than one per interval (RFC 3856, section 6.10) with the last state never left out, and no more at once than the
 * far ends answer. A change costs work for those it is marked for and nobody else.
 */
export class FanOut<T extends Telling> {
  readonly #deps: FanOutDeps<T>;
  readonly #outstandingMax: number;
  readonly #due: DueList<T>;
  /** First in, first out; `#first` is where it begins. */
  #queue: T[] = [];
  #first = 0;
  #slots: Slot[] = [];
  #open = 0;
  #unanswered = 0;
  #answeredAtMs = 0;
  readonly #held = new Map<string, Set<T>>();
  #cancelPump: (() => void) | undefined;
  #cancelSweep: (() => void) | undefined;
  /** Whether anybody is told; what is marked before waits for `start`. */
  #isOpen = false;
  #idle: Array<() => void> = [];

  constructor(deps: FanOutDeps<T>) {
    this.#deps = deps;
    this.#outstandingMax = deps.outstandingMax ?? OUTSTANDING_MAX;
    this.#due = new DueList(deps.clock, LOOK_MS, (item) => {
      // An older entry for another time.
      if (item.timedAtMs === 0 || deps.clock.nowMs() < item.timedAtMs) return;
      item.timedAtMs = 0;
      item.isPausing = false;
      if (item.isUnderWay || item.isQueued || item.isHeld) return;
      if (item.isDue) this.#place(item);
      else if (item.repeatAtMs > deps.clock.nowMs()) this.#time(item, item.repeatAtMs);
      else if (item.repeatAtMs !== 0) deps.repeat(item);
    });
  }

  /** Begins to tell: once, when there are ways out. */
  start(): void {
    this.#isOpen = true;
    this.#schedule();
  }

  /** There is something new to tell. `isUrgent`: it is the first word, the last, or an answer. */
  mark(item: T, isUrgent: boolean): void {
    item.isDue = true;
    if (isUrgent) item.isUrgent = true;
    if (item.isUnderWay || item.isQueued || item.isHeld || item.isPausing) return;
    this.#place(item);
  }

  /** What is held for this way goes. */
  wake(way: string): void {
    const held = this.#held.get(way);
    if (held === undefined) return;
    this.#held.delete(way);
    for (const item of held) {
      item.isHeld = false;
      if (item.isDue) this.#enqueue(item);
    }
  }

  /** Forgets one: nothing more is told, whatever was due. */
  drop(item: T): void {
    item.isDue = false;
    item.isUrgent = false;
    if (!item.isHeld) return;
    item.isHeld = false;
    this.#held.get(this.#deps.wayOf(item))?.delete(item);
  }

  /** How many notifications have no answer yet. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Tells nobody any more; resolves when what is under way has ended, or after the grace. */
  stop(graceMs: number): Promise<void> {
    this.#isOpen = false;
    this.#due.stop();
    this.#cancelPump?.();
    this.#cancelSweep?.();
    if (this.#unanswered === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(graceMs, resolve);
      this.#idle.push(() => {
        cancel();
        resolve();
      });
    });
  }

  #place(item: T): void {
    const isFree = item.isUrgent || item.notBeforeMs === 0;
    if (isFree || item.notBeforeMs <= this.#deps.clock.nowMs()) this.#enqueue(item);
    else this.#time(item, item.notBeforeMs);
  }

  #enqueue(item: T): void {
    item.isQueued = true;
    this.#queue.push(item);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#cancelPump !== undefined || !this.#isOpen) return;
    // Not from within the call: an answer that is being given now must leave before what follows it.
    this.#cancelPump = this.#deps.clock.after(0, () => {
      this.#cancelPump = undefined;
      this.#pump();
    });
  }

  #time(item: T, atMs: number): void {
    if (item.timedAtMs !== 0 && item.timedAtMs <= atMs) return;
    item.timedAtMs = atMs;
    this.#due.add(atMs, item);
  }

  #pump(): void {
    while (this.#isOpen && this.#open < this.#outstandingMax && this.#unanswered < UNANSWERED_MAX) {
      const item = this.#queue[this.#first];
      if (item === undefined) break;
      this.#first += 1;
      item.isQueued = false;
      if (item.isDue) this.#start(item);
    }
    if (this.#first === this.#queue.length || this.#first > 10_000) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
  }

  #start(item: T): void {
    const slot: Slot = { startedAtMs: this.#deps.clock.nowMs(), isOpen: true };
    this.#slots.push(slot);
    this.#open += 1;
    this.#unanswered += 1;
    item.isDue = false;
    item.isUrgent = false;
    item.isUnderWay = true;
    this.#armSweep();
    void this.#deps.tell(item).then((outcome) => {
      item.isUnderWay = false;
      this.#unanswered -= 1;
      this.#answeredAtMs = this.#deps.clock.nowMs();
      if (slot.isOpen) {
        slot.isOpen = false;
        this.#open -= 1;
      }
      this.#ended(item, outcome);
      if (this.#unanswered === 0) for (const resolve of this.#idle.splice(0)) resolve();
      if (this.#first < this.#queue.length) this.#pump();
    });
  }

  #ended(item: T, outcome: NotifyOutcome): void {
    const { intervalOf, clock, settled, wayOf } = this.#deps;
    switch (outcome.kind) {
      case 'told': {
        const intervalMs = intervalOf(item);
        item.notBeforeMs = intervalMs === 0 ? 0 : clock.nowMs() + intervalMs;
        if (item.isDue) this.#place(item);
        else this.#rest(item, outcome);
        return;
      }
      case 'gone':
        item.isDue = false;
        settled(item, outcome);
        return;
      case 'again':
        item.isDue = true;
        item.isPausing = true;
        item.notBeforeMs = clock.nowMs() + outcome.afterMs;
        item.timedAtMs = item.notBeforeMs;
        this.#due.add(item.notBeforeMs, item);
        return;
      case 'held': {
        item.isDue = true;
        item.isHeld = true;
        const way = wayOf(item);
        let held = this.#held.get(way);
        if (held === undefined) this.#held.set(way, (held = new Set()));
        held.add(item);
        return;
      }
    }
  }

  #rest(item: T, outcome: NotifyOutcome & { kind: 'told' }): void {
    const { repeatOf, clock, settled } = this.#deps;
    const repeatMs = repeatOf(item);
    item.repeatAtMs = repeatMs === undefined ? 0 : clock.nowMs() + repeatMs;
    if (repeatMs !== undefined) this.#time(item, item.repeatAtMs);
    settled(item, outcome);
  }

  #armSweep(): void {
    if (this.#cancelSweep !== undefined || !this.#isOpen) return;
    this.#cancelSweep = this.#deps.clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
    });
  }

  /** Gives back the places of those that are late: far ends that are dead must not keep the living waiting. */
  #sweep(): void {
    const nowMs = this.#deps.clock.nowMs();
    const isStalled = nowMs - this.#answeredAtMs >= STALL_MS;
    const lateBeforeMs = nowMs - (isStalled ? STALL_MS : LATE_MS);
    let past = 0;
    for (const slot of this.#slots) {
      if (slot.isOpen) {
        if (slot.startedAtMs > lateBeforeMs) break;
        slot.isOpen = false;
        this.#open -= 1;
      }
      past += 1;
    }
    this.#slots = this.#slots.slice(past);
    this.#pump();
    if (this.#slots.length > 0) this.#armSweep();
  }
}
