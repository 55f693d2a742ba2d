import type { SipReply, SipRequest } from './message.ts';
import type { SipHandler } from './stack.ts';

export type PaceOptions = {
  /** Begun in one turn of the event loop. */
  readonly perTurn: number;
  /** Begun and not answered, as while they are being stored. */
  readonly underWayMax: number;
};

/** A few milliseconds of work, and no more than a commit or two carries beside what others want to have stored. */
export const PRESENCE_PACE: PaceOptions = { perTurn: 32, underWayMax: 512 };

/**
 * Makes handlers that together leave time for others: what comes in a storm waits, in its order, while everything else
 * that has come is handled. With nothing to do a request is handled at once. How many may wait is bounded by the engine,
 * which counts them as under way.
 */
export function paced({ perTurn, underWayMax }: PaceOptions): (handler: SipHandler) => SipHandler {
  let waiting: Array<() => void> = [];
  /** Where in `waiting` the one stands who waits longest. */
  let first = 0;
  let begun = 0;
  let underWay = 0;
  let hasTurn = false;

  const mayBegin = (): boolean => begun < perTurn && underWay < underWayMax;

  const turn = (): void => {
    hasTurn = false;
    begun = 0;
    for (let next = waiting[first]; next !== undefined && mayBegin(); next = waiting[first]) {
      first += 1;
      next();
    }
    if (first === waiting.length || first > 10_000) {
      waiting = waiting.slice(first);
      first = 0;
    }
    if (waiting.length > first && underWay < underWayMax) soon();
  };

  const soon = (): void => {
    if (hasTurn) return;
    hasTurn = true;
    setImmediate(turn);
  };

  const begin = async (handler: SipHandler, request: SipRequest): Promise<SipReply> => {
    begun += 1;
    underWay += 1;
    soon();
    try {
      return await handler(request);
    } finally {
      underWay -= 1;
      if (waiting.length > first) soon();
    }
  };

  return (handler) => (request) => {
    if (waiting.length === first && mayBegin()) return begin(handler, request);
    return new Promise((resolve) => {
      waiting.push(() => resolve(begin(handler, request)));
      if (underWay < underWayMax) soon();
    });
  };
}
