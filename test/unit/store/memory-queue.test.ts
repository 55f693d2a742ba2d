import { deliveryQueueContract } from '../../contract/delivery-queue.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { MemoryMedium, memoryQueue } from '../../support/memory-queue.ts';

for (const operationSizeMax of [16_000_000, 0]) {
  deliveryQueueContract(`MemoryQueue (${operationSizeMax} in memory)`, async (options) => {
    const clock = new FakeClock();
    const medium = new MemoryMedium(options.rememberSeconds ?? 900);
    const open = () => memoryQueue({ ...options, clock, medium, operationSizeMax });
    return {
      queue: open(),
      expirySeconds: 60,
      nowMs: () => clock.nowMs(),
      pass: (ms) => clock.advanceAsync(ms),
      until: async (probe, what) => {
        for (let turn = 0; turn < 100; turn += 1) {
          if (probe()) return;
          await settled();
        }
        throw new Error(`never: ${what}`);
      },
      crash: async () => open(),
      reopen: async () => open(),
      setFailing: async (isFailing) => {
        medium.isFailing = isFailing;
      },
      close: async () => undefined,
    };
  });
}
