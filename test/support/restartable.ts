import type { TestProcess } from './process.ts';

/** A program that a test stops, or kills, and starts again with what it had. */
export interface Restartable {
  /** The process that runs now. */
  process(): TestProcess;
  /** Ends it in good order; what it has stored stays. */
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again on the same ports with the same data. */
  start(): Promise<void>;
}

/** Starts a program, once `launch` has told when it is ready; `graceMs`: how long its own way out may take. */
export async function restartable(launch: () => Promise<TestProcess>, graceMs?: number): Promise<Restartable> {
  let running = await launch();
  return {
    process: () => running,
    async stop() {
      await running.stop(graceMs);
    },
    async kill() {
      await running.kill();
    },
    async start() {
      running = await launch();
    },
  };
}
