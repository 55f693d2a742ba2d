import { Worker } from 'node:worker_threads';
import { SqliteWrites } from './sqlite-writes.ts';
import type { Batch, BatchResult } from './sqlite-writes.ts';

/** Runs one batch after the other; rejects only when whatever runs them is lost. */
export interface BatchExecutor {
  run(batch: Batch): Promise<BatchResult>;
  close(): Promise<void>;
}

/** Runs batches where it is called: the command line, which has nothing else to do meanwhile. */
export function directExecutor(file: string, pragmas = ''): BatchExecutor {
  const writes = new SqliteWrites(file, pragmas);
  return {
    run: (batch) => Promise.resolve(writes.run(batch)),
    close: () => {
      writes.close();
      return Promise.resolve();
    },
  };
}

/**
 * Runs batches in a thread of its own, so that nobody waits for the disk. A thread that is lost is started anew.
 *
 * Measured against committing on the main thread with the same batches (`test/bench/queue.ts`, two cores): at full
 * rate it delivers more (57,000 against 25,000 to 48,000 per second) for less CPU (17 against 22 microseconds each, both
 * threads counted). At 6,000 per second it costs 47 against 32 microseconds, because waking a thread costs something
 * for each batch; but the event loop is then away for 10 ms at most, against up to 120 ms when the disk is busy, and
 * everything else of the server lives on that loop.
 */
export function threadExecutor(file: string, pragmas = ''): BatchExecutor {
  let worker: Worker | undefined;
  let waiting: { resolve: (result: BatchResult) => void; reject: (error: Error) => void } | undefined;

  const lost = (error: Error): void => {
    worker = undefined;
    waiting?.reject(error);
    waiting = undefined;
  };
  const started = (): Worker => {
    const thread = newThread({ file, pragmas });
    thread.on('message', (result: BatchResult) => {
      waiting?.resolve(result);
      waiting = undefined;
    });
    thread.on('error', lost);
    thread.on('exit', () => lost(new Error('the thread of the store has ended')));
    return thread;
  };

  worker = started();
  return {
    run: (batch) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        worker ??= started();
        worker.postMessage(batch);
      }),
    close: async () => {
      const thread = worker;
      if (thread === undefined) return;
      const ended = new Promise((resolve) => thread.once('exit', resolve));
      thread.postMessage('close');
      await ended;
    },
  };
}

function newThread(workerData: { readonly file: string; readonly pragmas: string }): Worker {
  const options = { workerData, name: 'store' };
  if (import.meta.url.endsWith('.js'))
    return new Worker(new URL('./sqlite-writer-worker.js', import.meta.url), options);
  // From source, in tests: a thread does not inherit the loader of the process before Node 22.
  const steps = [
    `const { register } = await import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})`,
    'register()',
    `await import(${JSON.stringify(new URL('./sqlite-writer-worker.ts', import.meta.url).href)})`,
  ];
  return new Worker(`(async () => { ${steps.join(';')} })()`, { ...options, eval: true });
}
