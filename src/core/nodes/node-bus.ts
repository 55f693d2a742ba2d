import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import { DueList } from '../due-list.ts';
import type { NodeView, NodeWire } from './node-ports.ts';
import { errorFrom, isPlainError, plainError, type PlainError } from './plain-error.ts';

/** Answers what other nodes ask for. Its failures reach whoever asked. */
export type NodeService = (request: unknown, fromNode: string) => unknown;

export type NodeBusDeps = {
  readonly wire: NodeWire;
  readonly self: Pick<NodeView, 'name' | 'run'>;
  /** The node of this name, while it is there. */
  readonly nodeOf: (name: string) => Pick<NodeView, 'run'> | undefined;
  /** Another node wants this one to look into the ledger. */
  readonly onNudge: () => void;
  readonly clock: Clock;
  readonly log: Log;
};

/** What the bus itself says of a call: no failure of the far service. */
export class NodeGone extends GatewayError {
  /** Whether it was surely not carried out. */
  readonly isNotDone: boolean;

  constructor(message: string, isNotDone: boolean) {
    super(isNotDone ? 'peer-unreachable' : 'peer-timeout', message);
    this.isNotDone = isNotDone;
  }
}

const CALL_MS = 10_000;
const LOOK_MS = 1_000;
const PENDING_MAX = 20_000;

type Envelope =
  /** A call: the `n`th of this stream of calls from one node to another. */
  | { k: 'call'; run: string; node: string; id: number; stream: number; n: number; service: string; value: unknown }
  | { k: 'done'; run: string; id: number; value: unknown }
  | { k: 'failed'; run: string; id: number; error: PlainError }
  /** A call of the stream got lost: this one, and all later ones of it, are not carried out. */
  | { k: 'gap'; run: string; id: number; stream: number }
  | { k: 'tell'; run: string; node: string; service: string; value: unknown }
  | { k: 'nudge'; run: string };

type Pending = {
  readonly id: number;
  readonly run: string;
  readonly stream: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: GatewayError) => void;
};

type Stream = { readonly stream: number; n: number };

/**
 * Calls between nodes.
 *
 * 1. A call is carried out once at most, and those of one node by another in the order they were made.
 * 2. When one got lost, none that was made after it, and before that was known, is carried out: all of them reject.
 * 3. It resolves with the answer, rejects with the GatewayError of the far service as it was thrown there, and with
 *    NodeGone when there is no answer: 'peer-unreachable' when it was surely not carried out, else 'peer-timeout'.
 * 4. A call to a node that is not there, or goes away, rejects as soon as that is known, not at its deadline.
 * 5. `tell` reaches every other node that can be reached at the moment, and says to nobody whether it did.
 *
 * Values are plain data.
 */
export class NodeBus {
  readonly #deps: NodeBusDeps;
  readonly #services = new Map<string, NodeService>();
  readonly #pending = new Map<number, Pending>();
  readonly #due: DueList<Pending>;
  /** By the run of the far node: calls to it, and calls from it. */
  readonly #outgoing = new Map<string, Stream>();
  readonly #incoming = new Map<string, Stream>();
  #ids = 0;
  #streams = 0;
  #isClosed = false;

  constructor(deps: NodeBusDeps) {
    this.#deps = deps;
    this.#due = new DueList(deps.clock, LOOK_MS, (pending) =>
      this.#fail(pending, new NodeGone('the other node has not answered in time', false)),
    );
  }

  open(): Promise<void> {
    const { wire, self } = this.#deps;
    return wire.open(self.run, {
      onText: (text) => this.#receive(text),
      onInterrupted: () => this.#failAll(() => true, 'answers of other nodes may have got lost'),
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#due.stop();
    this.#failAll(() => true, 'this node ends');
    await this.#deps.wire.close();
  }

  /** Carries out what others ask for under this name; calls come in the order they were made. */
  serve(service: string, handler: NodeService): void {
    this.#services.set(service, handler);
  }

  call(node: string, service: string, value: unknown, timeoutMs = CALL_MS): Promise<unknown> {
    const { wire, self, clock, nodeOf } = this.#deps;
    const run = nodeOf(node)?.run;
    if (run === undefined || this.#isClosed) return Promise.reject(notThere(node));
    if (run === self.run) return this.#served(service, value, self.name);
    if (this.#pending.size >= PENDING_MAX) {
      return Promise.reject(new NodeGone('too many calls to other nodes are under way', true));
    }
    const stream = this.#streamTo(run);
    stream.n += 1;
    const id = ++this.#ids;
    const answered = new Promise<unknown>((resolve, reject) => {
      const pending: Pending = { id, run, stream: stream.stream, resolve, reject };
      this.#pending.set(id, pending);
      this.#due.add(clock.nowMs() + timeoutMs, pending);
    });
    const { n } = stream;
    const envelope: Envelope = {
      k: 'call',
      run: self.run,
      node: self.name,
      id,
      stream: stream.stream,
      n,
      service,
      value,
    };
    wire.send(run, JSON.stringify(envelope)).then(
      (isHeard) => {
        if (!isHeard) this.#breakStream(run, stream.stream, id, `node ${node} does not listen`);
      },
      (error: unknown) => this.#breakStream(run, stream.stream, undefined, GatewayError.of(error).message),
    );
    return answered;
  }

  /** Tells all other nodes. */
  tell(service: string, value: unknown): void {
    if (this.#isClosed) return;
    const { wire, self } = this.#deps;
    wire.sendAll(JSON.stringify({ k: 'tell', run: self.run, node: self.name, service, value } satisfies Envelope));
  }

  nudge(): void {
    if (!this.#isClosed)
      this.#deps.wire.sendAll(JSON.stringify({ k: 'nudge', run: this.#deps.self.run } satisfies Envelope));
  }

  /** To be called after nodes have come or gone: calls to those that are gone fail. */
  nodesChanged(runs: ReadonlySet<string>): void {
    this.#failAll(({ run }) => !runs.has(run), 'the other node is gone');
    for (const run of this.#outgoing.keys()) if (!runs.has(run)) this.#outgoing.delete(run);
    for (const run of this.#incoming.keys()) if (!runs.has(run)) this.#incoming.delete(run);
  }

  #streamTo(run: string): Stream {
    let stream = this.#outgoing.get(run);
    if (stream === undefined) this.#outgoing.set(run, (stream = { stream: ++this.#streams, n: 0 }));
    return stream;
  }

  /**
   * A call was not heard: those after it are not carried out either.
   *
   * @param unheard the one of which that is certain
   */
  #breakStream(run: string, stream: number, unheard: number | undefined, reason: string): void {
    if (this.#outgoing.get(run)?.stream === stream) this.#outgoing.delete(run);
    for (const pending of [...this.#pending.values()]) {
      if (pending.run !== run || pending.stream !== stream) continue;
      const isSure = unheard !== undefined && pending.id >= unheard;
      this.#fail(pending, new NodeGone(reason, isSure));
    }
  }

  #failAll(which: (pending: Pending) => boolean, reason: string): void {
    for (const pending of [...this.#pending.values()]) {
      if (!which(pending)) continue;
      // What is still on its way must not be carried out before something that is asked anew.
      this.#outgoing.delete(pending.run);
      this.#fail(pending, new NodeGone(reason, false));
    }
  }

  #fail(pending: Pending, error: GatewayError): void {
    if (this.#pending.delete(pending.id)) pending.reject(error);
  }

  /** Never throws: a text of another version, or of somebody else who may write there, ends no node. */
  #receive(text: string): void {
    const envelope = envelopeFrom(text);
    if (envelope === undefined) {
      const remedy = 'see that nothing but these servers uses the prefix of `store`, all in one version';
      // Not what it says: a password may be in it.
      this.#deps.log.warn({ length: text.length, remedy }, 'what another node said cannot be read');
      return;
    }
    switch (envelope.k) {
      case 'call':
        void this.#answer(envelope);
        return;
      case 'done':
      case 'failed': {
        const pending = this.#pending.get(envelope.id);
        if (pending?.run !== envelope.run) return;
        if (envelope.k === 'failed') this.#fail(pending, errorFrom(envelope.error));
        else if (this.#pending.delete(pending.id)) pending.resolve(envelope.value);
        return;
      }
      case 'gap':
        this.#breakStream(envelope.run, envelope.stream, envelope.id, 'a call to the other node got lost');
        return;
      case 'tell':
        void this.#told(envelope);
        return;
      case 'nudge':
        this.#deps.onNudge();
        return;
    }
  }

  async #answer({ run, node, id, stream, n, service, value }: Extract<Envelope, { k: 'call' }>): Promise<void> {
    const known = this.#incoming.get(run);
    const isNext = known?.stream === stream ? n === known.n + 1 : n === 1;
    if (!isNext) {
      this.#reply(run, { k: 'gap', run: this.#deps.self.run, id, stream });
      return;
    }
    this.#incoming.set(run, { stream, n });
    try {
      const answer = await this.#served(service, value, node);
      this.#reply(run, { k: 'done', run: this.#deps.self.run, id, value: answer });
    } catch (thrown) {
      const error = plainError(thrown);
      if (error.code === 'internal')
        this.#deps.log.error({ service, node, error: thrown }, 'call of another node failed');
      this.#reply(run, { k: 'failed', run: this.#deps.self.run, id, error });
    }
  }

  async #told({ service, value, node }: Extract<Envelope, { k: 'tell' }>): Promise<void> {
    try {
      await this.#served(service, value, node);
    } catch (error) {
      this.#deps.log.error({ service, node, error }, 'word of another node failed');
    }
  }

  async #served(service: string, value: unknown, node: string): Promise<unknown> {
    const handler = this.#services.get(service);
    if (handler === undefined) throw new GatewayError('feature-unsupported', `no service ${service} on this node`);
    return await handler(value, node);
  }

  #reply(run: string, envelope: Envelope): void {
    if (this.#isClosed) return;
    // Whoever asked hears nothing then, and gives up at his deadline.
    this.#deps.wire.send(run, JSON.stringify(envelope)).catch((error: unknown) => {
      this.#deps.log.debug({ error }, 'answer to another node was not sent');
    });
  }
}

/** @returns undefined for what no node of this version has said */
function envelopeFrom(text: string): Envelope | undefined {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof read !== 'object' || read === null) return undefined;
  const { k, run, node, id, stream, n, service, error } = read as Readonly<Record<string, unknown>>;
  const isCall = typeof service === 'string' && typeof node === 'string';
  const isRight: Record<Envelope['k'], boolean> = {
    call: isCall && isCount(id) && isCount(stream) && isCount(n),
    tell: isCall,
    done: isCount(id),
    failed: isCount(id) && isPlainError(error),
    gap: isCount(id) && isCount(stream),
    nudge: true,
  };
  const isKnown = typeof k === 'string' && Object.hasOwn(isRight, k);
  return isKnown && typeof run === 'string' && isRight[k as Envelope['k']] ? (read as Envelope) : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function notThere(node: string): NodeGone {
  return new NodeGone(`node ${node} is not there`, true);
}
