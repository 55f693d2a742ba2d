import type { Clock } from './core/ports.ts';

/** The system's clock: wall time for stamps, monotonic timers for waiting. A waiting timer keeps no process alive. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
