import { parentPort, workerData } from 'node:worker_threads';
import { SqliteWrites } from './sqlite-writes.ts';
import type { Batch } from './sqlite-writes.ts';

/** The thread of the writer: takes batches one by one, commits, answers. */
const { file, pragmas } = workerData as { file: string; pragmas: string };
const writes = new SqliteWrites(file, pragmas);

parentPort?.on('message', (batch: Batch | 'close') => {
  if (batch === 'close') {
    writes.close();
    parentPort?.close();
    return;
  }
  parentPort?.postMessage(writes.run(batch));
});
