import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import type { Membership } from './membership.ts';
import type { NodeBus } from './node-bus.ts';
import type { NodeView } from './node-ports.ts';
import { type HandOver, nextHandOver } from './spread-plan.ts';

/** What came of a request to hand a lease over. */
export type HandOverAnswer = { readonly kind: 'done' } | { readonly kind: 'refused'; readonly reason: string };

/** Hands a lease over in order: nothing is done by it any more when this resolves with `done`. */
export type HandOverTo = (to: NodeView) => Promise<HandOverAnswer>;

/** One that was made, for those who ask. */
export type HandOverReport = {
  readonly lease: string;
  readonly from: string;
  readonly to: string;
  readonly atMs: number;
  readonly reason: string;
};

export type LeaseSpreadDeps = {
  readonly members: Pick<Membership, 'nodes' | 'leases' | 'onChange' | 'isHeard' | 'name' | 'run'>;
  readonly bus: Pick<NodeBus, 'call' | 'serve' | 'tell'>;
  /** Whether this node is the one that decides for all. At most one at a time says so. */
  readonly decides: () => boolean;
  /** Which leases may be handed over at all. */
  readonly isMovable: (lease: string) => boolean;
  /** How long no node must have come or gone, ms. */
  readonly quietMs: number;
  /** Between two hand-overs, and after every other change of an owner, ms. */
  readonly pauseMs: number;
  readonly clock: Clock;
  readonly log: Log;
};

const LOOK_MS = 1_000;
const ASK_MS = 30_000;
/** Whoever refused is not asked again for so long, ms. */
const REFUSED_MS = 600_000;

/**
 * Lets the leases of links spread over nodes that come when others have them all. One node decides, and asks the owner of
 * one lease at a time to hand it over to a node that has clearly fewer; never soon after a node has come or gone, nor soon
 * after an owner has changed, for whatever reason. Which one it is says `nextHandOver`.
 */
export class LeaseSpread {
  readonly #deps: LeaseSpreadDeps;
  readonly #own = new Map<string, HandOverTo>();
  /** By lease and run: until when it is not asked for again. */
  readonly #refused = new Map<string, number>();
  #nodesSeen = '';
  #ownersSeen = '';
  #quietUntilMs: number;
  #pauseUntilMs = 0;
  #isMoving = false;
  #last: HandOverReport | undefined;
  #count = 0;
  #cancelLook: () => void = () => undefined;
  #endListening: () => void = () => undefined;

  constructor(deps: LeaseSpreadDeps) {
    this.#deps = deps;
    this.#quietUntilMs = deps.clock.nowMs() + deps.quietMs;
    deps.bus.serve('spread:hand-over', (value) => {
      const { lease, to } = value as { lease: string; to: string };
      return this.#handOver(lease, to);
    });
    deps.bus.serve('spread:handed', (value) => this.#note(value as HandOverReport));
  }

  /** The last one of all nodes that this node has heard of, and how many since it started. */
  get report(): { readonly count: number; readonly last?: HandOverReport } {
    return { count: this.#count, ...(this.#last === undefined ? {} : { last: this.#last }) };
  }

  start(): void {
    this.#endListening = this.#deps.members.onChange(() => this.#see());
    this.#see();
    this.#arm();
  }

  stop(): void {
    this.#cancelLook();
    this.#endListening();
  }

  /** Says how a lease of this node is handed over, while it may hold it. */
  own(lease: string, handOverTo: HandOverTo): void {
    this.#own.set(lease, handOverTo);
  }

  #arm(): void {
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => {
      void this.#look();
      this.#arm();
    });
  }

  /** Notices when nodes or owners were last others than before. */
  #see(): void {
    const { members, clock, quietMs, pauseMs } = this.#deps;
    const nodes = JSON.stringify(members.nodes.map(({ run, isLeaving }) => [run, isLeaving]));
    const owners = JSON.stringify(members.leases.map(({ name, fence }) => [name, fence]));
    if (nodes !== this.#nodesSeen) this.#quietUntilMs = clock.nowMs() + quietMs;
    if (owners !== this.#ownersSeen) this.#pauseUntilMs = clock.nowMs() + pauseMs;
    this.#nodesSeen = nodes;
    this.#ownersSeen = owners;
  }

  async #look(): Promise<void> {
    const { members, clock, decides, isMovable, log } = this.#deps;
    const nowMs = clock.nowMs();
    if (!members.isHeard) this.#quietUntilMs = nowMs + this.#deps.quietMs;
    if (this.#isMoving || nowMs < this.#quietUntilMs || nowMs < this.#pauseUntilMs || !decides()) return;
    for (const [key, untilMs] of this.#refused) if (untilMs <= nowMs) this.#refused.delete(key);
    const next = nextHandOver(
      members.nodes,
      members.leases,
      (lease, run) => isMovable(lease) && !this.#refused.has(keyOf(lease, run)),
    );
    if (next === undefined) return;
    this.#isMoving = true;
    const reason = `node ${next.from.name} has ${next.has.from}, node ${next.to.name} has ${next.has.to}`;
    const fields = { lease: next.lease, from: next.from.name, to: next.to.name };
    const answer = await this.#asked(next);
    this.#isMoving = false;
    this.#pauseUntilMs = Math.max(this.#pauseUntilMs, clock.nowMs() + this.#deps.pauseMs);
    if (answer.kind === 'done') {
      log.info({ ...fields, reason }, 'lease was handed over to spread the load');
      const report = { ...fields, atMs: clock.nowMs(), reason };
      this.#note(report);
      this.#deps.bus.tell('spread:handed', report);
    } else {
      this.#refused.set(keyOf(next.lease, next.to.run), clock.nowMs() + REFUSED_MS);
      log.info({ ...fields, reason: answer.reason }, 'lease was not handed over');
    }
  }

  async #asked({ lease, from, to }: HandOver): Promise<HandOverAnswer> {
    try {
      const answer = await this.#deps.bus.call(from.name, 'spread:hand-over', { lease, to: to.run }, ASK_MS);
      return answer as HandOverAnswer;
    } catch (thrown) {
      // An owner that has gone, or that is of a version that knows nothing of this.
      return refused(GatewayError.of(thrown).message);
    }
  }

  #handOver(lease: string, toRun: string): Promise<HandOverAnswer> | HandOverAnswer {
    const to = this.#deps.members.nodes.find(({ run }) => run === toRun);
    const handOverTo = this.#own.get(lease);
    if (to === undefined || to.isLeaving) return refused('the node that was to have it is not there');
    return handOverTo === undefined ? refused('this node does not hand it over') : handOverTo(to);
  }

  #note(report: HandOverReport): void {
    this.#last = report;
    this.#count += 1;
  }
}

export function refused(reason: string): HandOverAnswer {
  return { kind: 'refused', reason };
}

function keyOf(lease: string, run: string): string {
  return `${run} ${lease}`;
}
