import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryNodes } from '../../../support/memory-nodes.ts';
import { nodeLedgerContract } from '../../../contract/node-ledger.ts';
import { nodeWireContract } from '../../../contract/node-wire.ts';

nodeLedgerContract('The ledger in memory', async () => {
  const clock = new FakeClock();
  const medium = new MemoryNodes(clock);
  return {
    ledger: () => medium,
    pass: (ms) => clock.advanceAsync(ms),
    setAway: async (isAway) => void (medium.isAway = isAway),
    lose: async () => medium.lose(),
    close: async () => undefined,
  };
});

nodeWireContract('The wire in memory', async () => {
  const medium = new MemoryNodes(new FakeClock());
  return {
    wire: () => medium.wire(),
    interrupt: async () => medium.interrupt('b'),
    close: async () => undefined,
  };
});
