import type { HopId } from '../../core/ports.ts';
import { Fifo } from './fifo.ts';
import type { Lane } from './lane.ts';

/** What the scheduler knows of one next hop: which of its lanes may go on, and which wait. */
export class HopLanes {
  readonly id: HopId;
  /** Lanes that may go on, in the order in which they became ready. */
  readonly ready = new Fifo<Lane>();
  /** Lanes with entries that wait for their time or for a wake, in the order in which they began to wait. */
  readonly waiting = new Set<Lane>();
  /** Attempts under way, and lanes that are reading their operations. */
  inFlight = 0;
  live = 0;
  /** Full wakes so far. */
  wakes = 0;

  constructor(id: HopId) {
    this.id = id;
  }

  get isUnused(): boolean {
    return this.live === 0 && this.inFlight === 0 && this.ready.length === 0;
  }

  /** Takes at most this many waiting lanes, those that have waited longest, and lets their entries go. */
  release(lanesMax: number): Lane[] {
    const released: Lane[] = [];
    for (const lane of this.waiting) {
      if (released.length >= lanesMax) break;
      this.waiting.delete(lane);
      // What had waited may be gone by now; such a lane must not use up a place.
      if (lane.putBack === 0) continue;
      lane.release();
      released.push(lane);
    }
    return released;
  }
}
