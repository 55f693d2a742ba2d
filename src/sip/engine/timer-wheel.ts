import type { Clock } from '../../core/ports.ts';

const TICK_MS = 20;
/** 2048 slots of 20 ms are 41 s: the 32 s of most SIP timers need no second round. */
const SLOTS = 2048;
/** Time that passes between two ticks counts at most this much, so that a wall clock that is set costs a second. */
const LEAP_MS_MAX = 1_000;

/** Something that waits for one point in time at once; the wheel links it in without allocating. */
export abstract class Timed {
  /** The wheel's own: neighbours in the slot. A node that points to itself waits for nothing. */
  wheelPrevious: Timed = this;
  wheelNext: Timed = this;
  wheelRounds = 0;

  abstract onTimer(): void;
}

class Slot extends Timed {
  override onTimer(): void {
    // the head of a slot's ring is never due itself
  }
}

function unlink(node: Timed): void {
  node.wheelPrevious.wheelNext = node.wheelNext;
  node.wheelNext.wheelPrevious = node.wheelPrevious;
  node.wheelPrevious = node;
  node.wheelNext = node;
}

/**
 * All timers of the engine on one timer of the system: setting and stopping one is a few pointer writes, so that tens
 * of thousands of transactions a second can each have theirs.
 *
 * A timer runs no earlier than asked and, while the process keeps up, at most 40 ms later.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: Slot[] = Array.from({ length: SLOTS }, () => new Slot());
  #cursor = 0;
  #armed = 0;
  #ticks = 0;
  #cancelTick: (() => void) | undefined;
  #lastMs = 0;
  /** Part of a tick that has passed but was not enough to move on. */
  #restMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Time that has passed while timers were waiting, ms: for measuring how long ago something was, as long as a timer
   * waits in between. Never goes back.
   */
  get elapsedMs(): number {
    return this.#ticks * TICK_MS;
  }

  /** How many timers wait. */
  get armed(): number {
    return this.#armed;
  }

  /** Sets or moves a timer. */
  arm(timer: Timed, delayMs: number): void {
    if (timer.wheelNext !== timer) unlink(timer);
    else this.#armed++;
    if (this.#cancelTick === undefined) {
      this.#lastMs = this.#clock.nowMs();
      this.#restMs = 0;
      this.#cancelTick = this.#clock.after(TICK_MS, this.#tick);
    }
    // One tick more, since the one under way is already partly over.
    const ticks = Math.max(1, Math.ceil(delayMs / TICK_MS) + 1);
    timer.wheelRounds = Math.floor((ticks - 1) / SLOTS);
    const slot = this.#slotAt((this.#cursor + ticks) % SLOTS);
    timer.wheelPrevious = slot.wheelPrevious;
    timer.wheelNext = slot;
    slot.wheelPrevious.wheelNext = timer;
    slot.wheelPrevious = timer;
  }

  /** Stops a timer; one that does not wait is left alone. */
  disarm(timer: Timed): void {
    if (timer.wheelNext === timer) return;
    unlink(timer);
    this.#armed--;
  }

  /** Forgets all timers. */
  stop(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    for (const slot of this.#slots) {
      while (slot.wheelNext !== slot) this.disarm(slot.wheelNext);
    }
  }

  readonly #tick = (): void => {
    const nowMs = this.#clock.nowMs();
    const passedMs = Math.min(Math.max(nowMs - this.#lastMs, TICK_MS), LEAP_MS_MAX) + this.#restMs;
    this.#lastMs = nowMs;
    const ticks = Math.floor(passedMs / TICK_MS);
    this.#restMs = passedMs - ticks * TICK_MS;
    // Set first: what runs below may throw, and the timers must go on.
    this.#cancelTick = this.#clock.after(TICK_MS, this.#tick);
    for (let tick = 0; tick < ticks; tick++) this.#advance();
    if (this.#armed === 0) {
      this.#cancelTick();
      this.#cancelTick = undefined;
    }
  };

  #slotAt(index: number): Slot {
    const slot = this.#slots[index];
    if (slot === undefined) throw new RangeError('no such slot');
    return slot;
  }

  #advance(): void {
    this.#cursor = (this.#cursor + 1) % SLOTS;
    this.#ticks++;
    const slot = this.#slotAt(this.#cursor);
    if (slot.wheelNext === slot) return;
    // What is set from here on lands in later slots, except after a whole round: so only those there now are looked at.
    const last = slot.wheelPrevious;
    for (let node = slot.wheelNext; ;) {
      const isLast = node === last;
      const next = node.wheelNext;
      if (node.wheelRounds > 0) node.wheelRounds--;
      else this.#due.push(node);
      if (isLast) break;
      node = next;
    }
    // Due ones may stop each other, so each is unlinked only when its turn comes.
    const due = this.#due;
    this.#due = [];
    for (const node of due) {
      if (node.wheelNext === node) continue;
      unlink(node);
      this.#armed--;
      node.onTimer();
    }
  }

  #due: Timed[] = [];
}
