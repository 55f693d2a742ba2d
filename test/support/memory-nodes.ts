import { GatewayError } from '../../src/core/errors.ts';
import type {
  LeaseView,
  LedgerAnswer,
  LedgerRequest,
  NodeLedger,
  NodeView,
  NodeWire,
  WireEvents,
} from '../../src/core/nodes/node-ports.ts';
import type { Clock } from '../../src/core/ports.ts';

/** The medium of several nodes in memory: the ledger, and a wire that can be cut. */
export class MemoryNodes implements NodeLedger {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #members = new Map<string, NodeView & { untilMs: number }>();
  readonly #leases = new Map<string, LeaseView & { untilMs: number }>();
  readonly #listeners = new Map<string, WireEvents>();
  #fence = 0;
  #lostUntilMs = 0;
  /** No ledger and no wire. */
  isAway = false;
  /** Says which texts get lost on the way, by whom they are for. */
  loses: (run: string, text: string) => boolean = () => false;

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  tick({ self, termMs, holds, seen, releases, isLast }: LedgerRequest): Promise<LedgerAnswer> {
    if (this.isAway) return Promise.reject(new GatewayError('store-unavailable', 'away'));
    const nowMs = this.#clock.nowMs();
    const untilMs = nowMs + termMs;
    for (const [name, member] of this.#members) if (member.untilMs <= nowMs) this.#members.delete(name);
    const known = this.#members.get(self.name);
    if (known !== undefined && known.run !== self.run) return Promise.resolve({ kind: 'taken', by: known });
    const highest = Math.max(this.#fence, ...[...holds, ...seen].map(({ fence }) => fence));
    if (highest > this.#fence) this.#lostUntilMs = untilMs;
    this.#fence = highest;
    const isLost = this.#lostUntilMs > nowMs;
    const isOwn = ({ name, fence }: { name: string; fence: number }): boolean => {
      const lease = this.#leases.get(name);
      return lease?.run === self.run && lease.fence === fence;
    };
    for (const released of releases) {
      if (!isOwn(released)) continue;
      const { name, to } = released;
      this.#leases.delete(name);
      const next = [...this.#members.values()].find(({ run }) => run === to);
      if (next === undefined || next.isLeaving || !next.wants.includes(name)) continue;
      this.#leases.set(name, { name, node: next.name, run: next.run, fence: ++this.#fence, untilMs });
    }
    if (isLast === true) this.#members.delete(self.name);
    else this.#members.set(self.name, { ...self, untilMs });
    const kept = new Set<string>();
    for (const hold of holds) {
      if (!isOwn(hold) && !(isLost && !this.#leases.has(hold.name))) continue;
      kept.add(hold.name);
      this.#leases.set(hold.name, { ...hold, node: self.name, run: self.run, untilMs });
    }
    const countOf = (run: string): number =>
      [...this.#leases.values()].filter((lease) => lease.run === run && lease.untilMs > nowMs).length;
    for (const name of isLast === true || self.isLeaving ? [] : self.wants) {
      const lease = this.#leases.get(name);
      const isFree =
        lease === undefined
          ? !(isLost && seen.some((other) => other.name === name))
          : lease.untilMs <= nowMs || (lease.run === self.run && !kept.has(name));
      const mine = countOf(self.run);
      const isFewest = [...this.#members.values()].every(
        ({ run, wants, isLeaving }) => isLeaving || !wants.includes(name) || countOf(run) >= mine,
      );
      if (!isFree || !isFewest) continue;
      kept.add(name);
      this.#leases.set(name, { name, node: self.name, run: self.run, fence: ++this.#fence, untilMs });
    }
    const leases = [...this.#leases.values()].filter((lease) => lease.untilMs > nowMs);
    return Promise.resolve({
      kind: 'done',
      nodes: [...this.#members.values()].map(withoutTerm),
      leases: leases.map(withoutTerm),
    });
  }

  wire(): NodeWire {
    let own = '';
    const deliver = (run: string, text: string): void => {
      setImmediate(() => {
        if (!this.isAway && !this.loses(run, text)) this.#listeners.get(run)?.onText(text);
      });
    };
    return {
      open: (run, events) => {
        own = run;
        this.#listeners.set(run, events);
        return Promise.resolve();
      },
      send: (run, text) => {
        if (this.isAway) return Promise.reject(new GatewayError('store-unavailable', 'away'));
        deliver(run, text);
        return Promise.resolve(this.#listeners.has(run));
      },
      sendAll: (text) => {
        for (const run of this.#listeners.keys()) if (run !== own) deliver(run, text);
      },
      close: () => {
        this.#listeners.delete(own);
        return Promise.resolve();
      },
    };
  }

  /** The ledger loses what it had. */
  lose(): void {
    this.#members.clear();
    this.#leases.clear();
    this.#fence = 0;
    this.#lostUntilMs = 0;
  }

  interrupt(run: string): void {
    this.#listeners.get(run)?.onInterrupted();
  }
}

function withoutTerm<T extends { untilMs: number }>(entry: T): Omit<T, 'untilMs'> {
  const { untilMs, ...rest } = structuredClone(entry);
  return untilMs === 0 ? entry : rest;
}
