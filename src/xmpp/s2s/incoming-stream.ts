import type { Socket } from 'node:net';
import type { XmlElement } from '../../cpim/xml.ts';
import { type Ends, IncomingNegotiation, type IncomingOptions, type IncomingStep } from './incoming-negotiation.ts';
import type { Verdict } from './outgoing-stream.ts';
import { pairKey, StanzaStream, type StreamDeps } from './stanza-stream.ts';
import { proofOf, S2sWire, type StreamEnd } from './wire.ts';

export type IncomingDeps = StreamDeps &
  Omit<IncomingOptions, 'resume' | 'newResumeId' | 'resumeSeconds'> & {
    /** Asks the peer's own server about a key. Never rejects. */
    readonly check: (ends: Ends, streamId: string, key: string) => Promise<Verdict>;
    readonly onProved: (stream: IncomingStream, ends: Ends) => void;
    /** A peer has not proved its domain. `peer`: whom it says to be. */
    readonly onUnproved: (peer: string, address: string, reason: string) => void;
    /** A stream of these ends that was lost, by the id under which it may be taken up again. */
    readonly lostStream: (id: string) => IncomingStream | undefined;
    readonly newResumeId: () => string;
    /** Whether a lost stream may wait until it is taken up again. */
    readonly mayWait: (stream: IncomingStream) => boolean;
  };

/** A stream that a peer, or somebody who says to be one, has opened to us. */
export class IncomingStream extends StanzaStream {
  readonly direction = 'in';
  /** Where it came from. */
  readonly address: string;
  readonly #deps: IncomingDeps;
  #negotiation: IncomingNegotiation;
  #isBidi = false;
  #isLost = false;
  #ageMs = 0;
  #resumeId: string | undefined;
  /** The stream that goes on over this connection, where this one has only brought it. */
  #successor: IncomingStream | undefined;
  #cancelLost: () => void = () => undefined;

  constructor(deps: IncomingDeps, socket: Socket) {
    super(deps, { answers: false, isMute: false });
    this.#deps = deps;
    this.address = socket.remoteAddress ?? '';
    this.#negotiation = new IncomingNegotiation(
      {
        ...deps,
        resume: (id, ends) => this.#resumable(id, ends)?.sender.received,
        newResumeId: () => (this.pairs.size === 1 ? deps.newResumeId() : undefined),
        resumeSeconds: Math.floor(deps.limits.resumeMs / 1_000),
      },
      proofOf(socket),
    );
    const self = (): IncomingStream => this.#successor ?? this;
    const wire = new S2sWire(socket, deps.tls, deps.clock, {
      onHeader: (name, attrs) => self().#run(self().#negotiation.header(name, attrs)),
      onElement: (element) => self().#element(element),
      onDrain: () => self().sender.flushSoon(),
      onEnd: (end) => {
        const stream = self();
        // Not of a connection that another one has taken the place of.
        if (stream.wire === wire) stream.#ended(end);
      },
    });
    this.wire = wire;
  }

  get isAuthenticated(): boolean {
    return this.#negotiation.isAuthenticated;
  }

  get maySend(): boolean {
    return this.#isBidi && !this.isOver;
  }

  /** Whether it waits to be taken up again. */
  get isLost(): boolean {
    return this.#isLost;
  }

  get resumeId(): string | undefined {
    return this.#resumeId;
  }

  override tick(ms: number): void {
    this.#ageMs += ms;
    if (!this.isAuthenticated && this.#ageMs >= this.deps.limits.authenticateMs) {
      this.wire?.fail('connection-timeout', 'nobody has proved who he is in time');
      return;
    }
    super.tick(ms);
  }

  /** Says no before anything else: there are too many of them. */
  refuse(text: string): void {
    this.wire?.fail('resource-constraint', text);
  }

  #element(element: XmlElement): void {
    this.#run(this.#negotiation.element(element));
  }

  #run(steps: readonly IncomingStep[]): void {
    for (const step of steps) this.#do(step);
  }

  #do(step: IncomingStep): void {
    const { wire } = this;
    if (wire === undefined || wire.isOver) return;
    switch (step.do) {
      case 'open':
        wire.open(step.attrs);
        break;
      case 'write':
        wire.writeElement(step.element);
        break;
      case 'secure':
        wire.secure('server', undefined, (proof) => this.#run(this.#negotiation.secured(proof)));
        break;
      case 'restart':
        wire.restart();
        break;
      case 'proved':
        this.#proved(step.ends, step.by, step.isBidi);
        break;
      case 'unproved':
        this.#deps.onUnproved(step.peer, this.address, step.reason);
        break;
      case 'check':
        void this.#deps.check(step.ends, step.streamId, step.key).then((verdict) => {
          const condition = verdict.type === 'error' ? verdict.condition : undefined;
          if (verdict.type !== 'valid') this.#deps.onUnproved(step.ends.peer, this.address, unprovedReason(verdict));
          this.#run(this.#negotiation.answered(step.ends, step.streamId, verdict.type, condition));
        });
        break;
      case 'managed':
        this.sender.manage();
        this.#resumeId = step.resumeId;
        break;
      case 'resumed':
        this.#handOver(wire, step.id, step.taken);
        break;
      case 'stanza':
        this.stanza(step.element);
        break;
      case 'acknowledge':
        this.acknowledge();
        break;
      case 'acknowledged':
        this.acknowledged(step.taken);
        break;
      case 'fail':
        this.deps.log.info({ address: this.address, reason: step.reason, condition: step.condition }, 'stream refused');
        wire.fail(step.condition, step.reason, step.text);
        break;
    }
  }

  #proved(ends: Ends, by: 'certificate' | 'dialback', isBidi: boolean): void {
    this.add(ends);
    if (isBidi && !this.#isBidi) {
      this.#isBidi = true;
      if (this.wire !== undefined) this.sender.attach(this.wire);
    }
    const fields = { peer: ends.peer, own: ends.own, address: this.address, by, isSecure: this.#negotiation.isSecure };
    this.deps.log.info(fields, 'peer has proved its domain');
    this.#deps.onProved(this, ends);
  }

  #resumable(id: string, ends: Ends | undefined): IncomingStream | undefined {
    const lost = this.#deps.lostStream(id);
    if (lost === undefined || lost === this || ends === undefined) return undefined;
    return lost.pairs.size === 1 && lost.pairs.has(pairKey(ends)) && !lost.isOver ? lost : undefined;
  }

  #handOver(wire: S2sWire, id: string, taken: number): void {
    const lost = this.#resumable(id, [...this.pairs.values()][0]);
    if (lost !== undefined) lost.#goOnAs(this, wire, taken);
  }

  /** This lost stream goes on over the connection of another one, whose peer has proved to be the same. */
  #goOnAs(bringer: IncomingStream, wire: S2sWire, taken: number): void {
    this.#cancelLost();
    const old = this.wire;
    this.wire = wire;
    this.#isLost = false;
    this.#negotiation = bringer.#negotiation;
    bringer.#successor = this;
    bringer.wire = undefined;
    if (old !== undefined && !old.isOver) old.abort('taken up again over another connection');
    this.add([...this.pairs.values()][0] ?? { own: '', peer: '' });
    if (!this.sender.resume(wire, taken)) {
      wire.fail('undefined-condition', 'the peer acknowledged more than it was sent');
    }
    bringer.over({ reason: 'goes on as an earlier stream', isClean: true });
  }

  #ended(end: StreamEnd): void {
    const mayResume = !end.isClean && end.condition === undefined && this.#resumeId !== undefined;
    if (mayResume && this.pairs.size === 1 && !this.#isLost && this.#deps.mayWait(this)) {
      this.#isLost = true;
      this.wire = undefined;
      this.sender.detach();
      this.#cancelLost = this.deps.clock.after(this.deps.limits.resumeMs, () => this.over(end));
      return;
    }
    if (!this.#isLost) this.over(end);
  }
}

/** Why dialback has not proved a peer, and where to look. */
function unprovedReason(verdict: Exclude<Verdict, { readonly type: 'valid' }>): string {
  if (verdict.type === 'invalid') {
    return 'the server that DNS or `nextHop` gives for it does not know its dialback key: somebody else may have used its name, or that is not its server';
  }
  return `its dialback key could not be checked with its server (${verdict.reason ?? verdict.condition}): it must be reached from here, by DNS or \`nextHop\``;
}
