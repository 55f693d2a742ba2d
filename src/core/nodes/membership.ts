import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import type { LedgerAnswer, LedgerRequest, LeaseView, NodeLedger, NodeView } from './node-ports.ts';

export type LeaseEvents = {
  /** It is ours from now on. Must not throw. */
  readonly gained: (fence: number) => void;
  /** It is, or may soon be, somebody else's: everything done by it ends within the call. Must not throw. */
  readonly lost: (reason: string) => void;
};

/** A wish to hold a lease. */
export type LeaseWish = {
  /** What this node holds it by; undefined while it does not. */
  readonly fence: () => number | undefined;
  /** Says something about the thing to all nodes; kept for as long as the lease is held. */
  note(note: unknown): void;
  /**
   * Gives it up, when nothing is done by it any more, and wants it no longer.
   *
   * @param to the run of the node that is to have it, where it is there and wants it; absent: whoever wants it
   */
  release(to?: string): Promise<void>;
};

export type MembershipDeps = {
  readonly ledger: NodeLedger;
  /** Tells the other nodes to look into the ledger now. */
  readonly nudge: () => void;
  readonly self: Pick<NodeView, 'name' | 'run' | 'startedAtMs' | 'version'>;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a node that is not heard of counts as there; ms. */
  readonly termMs?: number;
  /** How often it is heard of; ms. */
  readonly everyMs?: number;
};

const TERM_MS = 3_500;
const EVERY_MS = 1_000;
/** So long before its term is over a holder stops: the others must not begin while it still does something. */
const MARGIN_MS = 500;
/** An answer that takes longer is not waited for. */
const ANSWER_MS = 1_500;

type Want = { readonly name: string; readonly events: LeaseEvents; fence: number | undefined; note: unknown };

/**
 * This node among the others: heard of each second, and with leases on what only one node may do at a time.
 *
 * A holder that cannot renew in time stops before its term is over, by a clock that nobody sets, so that there are never
 * two. One exception: a node that was alone when the medium went away keeps what it holds, since there is nobody to take
 * it over, and ending every link would help nobody; should another one have come in the meantime all the same, the first
 * answer of the medium ends it, and until then what it writes is refused by its fence.
 */
export class Membership {
  readonly #deps: MembershipDeps;
  readonly #termMs: number;
  readonly #everyMs: number;
  readonly #wants = new Map<string, Want>();
  /** In other hands when last heard of: by name, its fence, and until when its term lasts. */
  readonly #elsewhere = new Map<string, { readonly fence: number; readonly untilMs: number }>();
  readonly #listeners = new Set<() => void>();
  /** Gained by a request that was under way when they were given up. */
  #strays: LedgerRequest['releases'] = [];
  #addresses: readonly string[] = [];
  #nodes: readonly NodeView[] = [];
  #leases: ReadonlyMap<string, LeaseView> = new Map();
  #seen = '';
  #isLeaving = false;
  #isEnded = false;
  #isAway = false;
  #turn: Promise<void> = Promise.resolve();
  #isQueued = false;
  #cancelNext: (() => void) | undefined;
  #cancelDeadline: (() => void) | undefined;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
    this.#termMs = deps.termMs ?? TERM_MS;
    this.#everyMs = deps.everyMs ?? EVERY_MS;
  }

  get name(): string {
    return this.#deps.self.name;
  }

  get run(): string {
    return this.#deps.self.run;
  }

  /**
   * Enters the ledger. Where the name is taken it waits for as long as a process that was killed would still be there.
   *
   * @throws GatewayError 'conflict' when another node has the name; 'store-unavailable'.
   */
  async join(): Promise<void> {
    const { clock, ledger } = this.#deps;
    for (let waitedMs = 0; ; waitedMs += this.#everyMs) {
      const request = this.#request();
      const answer = await ledger.tick(request);
      if (answer.kind === 'done') {
        this.#take(answer, request);
        this.#arm();
        return;
      }
      if (waitedMs > this.#termMs + this.#everyMs) throw nameTaken(answer.by);
      await new Promise<void>((resolve) => clock.after(this.#everyMs, resolve));
    }
  }

  /** Where this node listens for SIP, known once it does. */
  setAddresses(addresses: readonly string[]): void {
    this.#addresses = addresses;
  }

  /** Wishes to hold a lease from now on. */
  want(name: string, events: LeaseEvents): LeaseWish {
    const want: Want = { name, events, fence: undefined, note: undefined };
    this.#wants.set(name, want);
    void this.look();
    return {
      fence: () => want.fence,
      note: (note) => {
        want.note = note;
        if (want.fence !== undefined) void this.look().then(() => this.#deps.nudge());
      },
      release: (to) => this.#release(want, to),
    };
  }

  /** Who holds a lease, as last heard. */
  holderOf(name: string): LeaseView | undefined {
    return this.#leases.get(name);
  }

  get nodes(): readonly NodeView[] {
    return this.#nodes;
  }

  get leases(): readonly LeaseView[] {
    return [...this.#leases.values()];
  }

  /** Whether the medium answered when it was last asked. */
  get isHeard(): boolean {
    return !this.#isAway;
  }

  node(name: string): NodeView | undefined {
    return this.#nodes.find((node) => node.name === name);
  }

  /** Runs `listener` after each change of nodes, holders or notes. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks into the ledger now; resolves when it has, whatever came of it. */
  look(): Promise<void> {
    // One that waits for its turn sees everything that is so by then.
    if (this.#isQueued) return this.#turn;
    this.#isQueued = true;
    this.#turn = this.#turn.then(() => {
      this.#isQueued = false;
      return this.#isEnded ? undefined : this.#tick();
    });
    return this.#turn;
  }

  /** Takes nothing new from now on: others are to take what is free. */
  prepareToLeave(): Promise<void> {
    this.#isLeaving = true;
    return this.look();
  }

  /** Gives up everything that is left and is there no more. */
  async leave(): Promise<void> {
    this.#cancelNext?.();
    await this.#turn;
    this.#isEnded = true;
    this.#cancelNext?.();
    this.#cancelDeadline?.();
    const request = this.#request();
    for (const want of this.#wants.values()) this.#lose(want, 'this node ends');
    // Where the medium is away its terms run out.
    await this.#asked({ ...request, holds: [], releases: request.holds, isLast: true }).catch(() => undefined);
    this.#deps.nudge();
  }

  /** As a process that is killed: nobody is told, and its terms run out. */
  abandon(): void {
    this.#isEnded = true;
    this.#cancelNext?.();
    this.#cancelDeadline?.();
  }

  async #release(want: Want, to?: string): Promise<void> {
    if (this.#wants.get(want.name) !== want) return;
    this.#wants.delete(want.name);
    const { name, fence } = want;
    want.fence = undefined;
    if (fence === undefined || this.#isEnded) return;
    const given = { name, fence, ...(to === undefined ? {} : { to }) };
    this.#turn = this.#turn.then(() => this.#tick([given]));
    await this.#turn;
    this.#deps.nudge();
  }

  #request(releases: LedgerRequest['releases'] = []): LedgerRequest {
    const { name, run, startedAtMs, version } = this.#deps.self;
    const holds: Array<LedgerRequest['holds'][number]> = [];
    for (const { name: lease, fence, note } of this.#wants.values()) {
      if (fence !== undefined) holds.push({ name: lease, fence, ...(note === undefined ? {} : { note }) });
    }
    const wants = this.#isLeaving ? [] : [...this.#wants.keys()];
    const seen = wants.flatMap((lease) => this.#seenElsewhere(lease));
    const self = { name, run, startedAtMs, version, addresses: this.#addresses, isLeaving: this.#isLeaving, wants };
    return { self, termMs: this.#termMs, holds, seen, releases: [...releases, ...this.#strays] };
  }

  #seenElsewhere(name: string): LedgerRequest['seen'] {
    const last = this.#elsewhere.get(name);
    return last !== undefined && last.untilMs > this.#deps.clock.nowMs() ? [{ name, fence: last.fence }] : [];
  }

  async #tick(releases: LedgerRequest['releases'] = []): Promise<void> {
    const { clock, log } = this.#deps;
    this.#cancelNext?.();
    // Counted from before it is sent: the medium cannot have begun the term any earlier.
    const cancelDeadline = clock.after(this.#termMs - MARGIN_MS, () => this.#onDeadline());
    const request = this.#request(releases);
    try {
      const answer = await this.#asked(request);
      this.#cancelDeadline?.();
      this.#cancelDeadline = cancelDeadline;
      if (this.#isAway) log.info({ node: this.name }, 'node is heard of again');
      this.#isAway = false;
      if (answer.kind === 'done') this.#take(answer, request);
      else {
        log.error({ node: this.name, run: answer.by.run }, 'another process runs under the name of this node');
        this.#loseAll('another process runs under the name of this node');
      }
    } catch (thrown) {
      cancelDeadline();
      if (!this.#isAway) log.warn({ node: this.name, error: thrown }, 'node cannot be heard of');
      this.#isAway = true;
    }
    this.#arm();
  }

  #asked(request: LedgerRequest): Promise<LedgerAnswer> {
    const { clock, ledger } = this.#deps;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(ANSWER_MS, () => reject(new GatewayError('store-unavailable', 'no answer in time')));
      ledger.tick(request).then(
        (answer) => {
          cancel();
          resolve(answer);
        },
        (error: unknown) => {
          cancel();
          reject(GatewayError.of(error));
        },
      );
    });
  }

  #arm(): void {
    this.#cancelNext?.();
    if (!this.#isEnded) this.#cancelNext = this.#deps.clock.after(this.#everyMs, () => void this.look());
  }

  #onDeadline(): void {
    const isAlone = this.#nodes.every(({ run }) => run === this.run);
    if (this.#isAway && isAlone) {
      this.#deps.log.warn({ node: this.name }, 'node keeps what it holds, nobody else is there');
      return;
    }
    this.#loseAll('the lease could not be renewed in time');
  }

  #loseAll(reason: string): void {
    for (const want of this.#wants.values()) this.#lose(want, reason);
    // Nothing is known of anybody: whoever asks hears that nobody holds anything.
    this.#nodes = [];
    this.#leases = new Map();
    this.#tellChange();
  }

  #lose(want: Want, reason: string): void {
    if (want.fence === undefined) return;
    want.fence = undefined;
    want.note = undefined;
    want.events.lost(reason);
  }

  #take({ nodes, leases }: Extract<LedgerAnswer, { kind: 'done' }>, asked: LedgerRequest): void {
    this.#nodes = nodes;
    this.#leases = new Map(leases.map((lease) => [lease.name, lease]));
    this.#strays = leases.filter(({ name, run }) => run === this.run && !this.#wants.has(name));
    let hasGained = false;
    const untilMs = this.#deps.clock.nowMs() + this.#termMs;
    for (const { name, run, fence } of leases) {
      if (run === this.run) this.#elsewhere.delete(name);
      else this.#elsewhere.set(name, { fence, untilMs });
    }
    for (const want of [...this.#wants.values()]) {
      const lease = this.#leases.get(want.name);
      const fence = lease?.run === this.run ? lease.fence : undefined;
      if (want.fence !== undefined && want.fence !== fence) this.#lose(want, 'another node holds the lease');
      // Not what was given up since it was asked for.
      if (fence === undefined || want.fence === fence || !asked.self.wants.includes(want.name)) continue;
      want.fence = fence;
      hasGained = true;
      want.events.gained(fence);
    }
    this.#tellChange();
    if (hasGained) this.#deps.nudge();
  }

  #tellChange(): void {
    const seen = JSON.stringify([this.#nodes, [...this.#leases.values()]]);
    if (seen === this.#seen) return;
    this.#seen = seen;
    for (const listener of this.#listeners) listener();
  }
}

function nameTaken({ name, startedAtMs, addresses }: NodeView): GatewayError {
  const since = new Date(startedAtMs).toISOString();
  const where = addresses.length === 0 ? '' : ` at ${addresses.join(', ')}`;
  return new GatewayError(
    'conflict',
    `a node with the name ${name} runs already, since ${since}${where}: give each node a name of its own, with \`node\` in its configuration`,
  );
}
