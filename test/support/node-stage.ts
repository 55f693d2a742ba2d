import type { TestContext } from 'node:test';
import { LeaseSpread } from '../../src/core/nodes/lease-spread.ts';
import { Membership } from '../../src/core/nodes/membership.ts';
import { NodeBus } from '../../src/core/nodes/node-bus.ts';
import type { Clock } from '../../src/core/ports.ts';
import { MemoryNodes } from './memory-nodes.ts';
import { RecordingLog } from './recording-log.ts';

export type StagedNode = {
  readonly members: Membership;
  readonly bus: NodeBus;
  readonly spread: LeaseSpread;
  leave(): Promise<void>;
};

/** Nodes must have stood still for so long, and owners for so long, before a link is handed over; ms. */
export const STAGED_PACE = { quietMs: 30_000, pauseMs: 5_000 };

/** Nodes on one medium in memory, each with its membership and its bus. */
export class NodeStage {
  readonly medium: MemoryNodes;
  readonly log = new RecordingLog();
  readonly #clock: Clock;
  readonly #t: Pick<TestContext, 'after'> | undefined;

  constructor(clock: Clock, t?: Pick<TestContext, 'after'>) {
    this.#clock = clock;
    this.#t = t;
    this.medium = new MemoryNodes(clock);
  }

  async join(name: string): Promise<StagedNode> {
    const { medium, log } = this;
    const clock = this.#clock;
    const self = { name, run: `run-of-${name}`, startedAtMs: clock.nowMs(), version: '1' };
    const members: Membership = new Membership({ ledger: medium, nudge: () => bus.nudge(), self, clock, log });
    const bus: NodeBus = new NodeBus({
      wire: medium.wire(),
      self,
      nodeOf: (other) => members.node(other),
      onNudge: () => void members.look(),
      clock,
      log,
    });
    await bus.open();
    await members.join();
    members.onChange(() => bus.nodesChanged(new Set(members.nodes.map(({ run }) => run))));
    // The first one by name that is there decides.
    const decides = (): boolean => members.nodes.every((other) => members.name <= other.name);
    const isMovable = (lease: string): boolean => lease.startsWith('link:');
    const spread = new LeaseSpread({ members, bus, decides, isMovable, ...STAGED_PACE, clock, log });
    spread.start();
    const leave = async (): Promise<void> => {
      spread.stop();
      await members.leave();
      await bus.close();
    };
    this.#t?.after(() => {
      spread.stop();
      members.abandon();
    });
    return { members, bus, spread, leave };
  }
}
