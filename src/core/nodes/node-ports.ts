/**
 * What several nodes on one medium share: a ledger of who is there and who holds what, and a wire between them. The
 * rules are in `membership.ts` and `node-bus.ts`; these ports only carry them.
 */

/** A node as all others see it. */
export type NodeView = {
  /** The name in the configuration; one node at a time has it. */
  readonly name: string;
  /** Of this process alone: a node that starts again has another one. */
  readonly run: string;
  readonly startedAtMs: number;
  readonly version: string;
  /** Where it listens for SIP, `udp:192.0.2.1:5060`. */
  readonly addresses: readonly string[];
  /** It is about to end and takes nothing new. */
  readonly isLeaving: boolean;
  /** The leases it would hold. */
  readonly wants: readonly string[];
};

/** A lease that somebody holds. */
export type LeaseView = {
  readonly name: string;
  readonly node: string;
  readonly run: string;
  /** Grows with every change of holder, over all leases. */
  readonly fence: number;
  /** What the holder says about the thing: plain data. */
  readonly note?: unknown;
};

export type HeldLease = { readonly name: string; readonly fence: number; readonly note?: unknown };

/** One that is given up: to whoever wants it, or to the node of one run. */
export type GivenLease = HeldLease & { readonly to?: string };

export type LedgerRequest = {
  readonly self: NodeView;
  readonly termMs: number;
  /** What it holds, to be kept for another term. */
  readonly holds: readonly HeldLease[];
  /** What it has seen others hold within the last term. */
  readonly seen: ReadonlyArray<{ readonly name: string; readonly fence: number }>;
  /** What it holds and gives up. */
  readonly releases: readonly GivenLease[];
  /** It ends: its entry goes, too. */
  readonly isLast?: true;
};

export type LedgerAnswer =
  /** Another process has the name: nothing was done. */
  | { readonly kind: 'taken'; readonly by: NodeView }
  | {
      readonly kind: 'done';
      readonly nodes: readonly NodeView[];
      /** Those that are held, with what this request has gained, and without what it has lost. */
      readonly leases: readonly LeaseView[];
    };

/**
 * The ledger of nodes and leases.
 *
 * 1. `tick` enters the node for the term and answers with all nodes and leases whose terms are not over, itself included.
 * 2. While a node's term lasts, nobody else enters under its name: 'taken' says who has it, and changes nothing.
 * 3. A lease has one holder at a time: it goes to a node that wants it when nobody holds it or its holder's term is over,
 *    with a fence above every earlier one.
 * 4. A free lease goes to that node among those who want it and do not leave that holds the fewest.
 * 5. `holds` keeps what is still the node's own, with its fence, for another term; also when the term was over and nobody
 *    has taken it. What is not its own any more is missing in the answer, or has another fence.
 * 6. `releases` frees at once; `isLast` takes the node out as well. With `to` the lease goes to the node of that run, with
 *    a fence above every earlier one, where that is there, wants it and does not leave; else it is free.
 * 7. All of a request happens at once or not at all. Time is that of the medium, one for all nodes.
 * 8. Should the ledger lose what it had, whoever holds something keeps it, with its fence, and no node that has `seen` it
 *    in other hands gets it for a term.
 * 9. When the medium cannot be had it rejects with GatewayError('store-unavailable'); whether it was done is then not known.
 */
export interface NodeLedger {
  tick(request: LedgerRequest): Promise<LedgerAnswer>;
}

export type WireEvents = {
  readonly onText: (text: string) => void;
  /** Something may have been lost on the way here. */
  readonly onInterrupted: () => void;
};

/**
 * Carries texts between nodes.
 *
 * 1. What one node sends to another arrives in the order of the calls, once at most.
 * 2. `send` resolves with false when nobody listens under this run; it may resolve with true and get lost all the same.
 * 3. `sendAll` reaches every node that listens, the sender excepted.
 * 4. After anything may have been lost on the way to this node, `onInterrupted` runs as soon as it listens again.
 * 5. `send` rejects with GatewayError('store-unavailable') when the medium cannot be had; it may have been sent all the same.
 */
export interface NodeWire {
  open(run: string, events: WireEvents): Promise<void>;
  send(run: string, text: string): Promise<boolean>;
  sendAll(text: string): void;
  close(): Promise<void>;
}
