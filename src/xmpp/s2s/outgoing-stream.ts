import type { Socket } from 'node:net';
import type { XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Random } from '../../core/ports.ts';
import type { DnsQueries } from '../../dns/dns-queries.ts';
import { type DialbackKeys, dialbackElement, readDialback } from './dialback.ts';
import type { Ends } from './incoming-negotiation.ts';
import { type Established, OutgoingNegotiation, type OutgoingStep } from './outgoing-negotiation.ts';
import { type NextHop, type PeerTarget, peerTargets, targetKey } from './peer-targets.ts';
import { type PeerSecurity, provesDomain, type TlsProof } from './policy.ts';
import { pairKey, StanzaStream, type StreamDeps } from './stanza-stream.ts';
import { isStanzaName } from '../stanza-content.ts';
import { stanzaCount } from '../stanza-count.ts';
import { expandedName, NS } from './stream-elements.ts';
import type { PingHabit } from './stream-sender.ts';
import { connectTo, proofOf, S2sWire, type StreamEnd } from './wire.ts';

export type OutgoingDeps = StreamDeps & {
  readonly dns: DnsQueries;
  readonly random: Random;
  readonly keys: DialbackKeys;
  readonly onUp: (stream: OutgoingStream) => void;
};

export type OutgoingOptions = Ends & {
  readonly security: PeerSecurity;
  readonly purpose: 'stanzas' | 'verify';
  readonly nextHop?: NextHop;
  readonly habit: PingHabit;
};

/** What a peer's own server says of a key. */
export type Verdict =
  | { readonly type: 'valid' }
  | { readonly type: 'invalid' }
  /** `reason`: why there was no answer, in words for the log. */
  | { readonly type: 'error'; readonly condition: string; readonly reason?: string };

/** One place is given so long to take a connection, ms. */
const CONNECT_MS = 5_000;

/** How often a lost stream is tried to be taken up on a connection that is lost as well. */
const RESUME_TRIES = 3;

/** Stanzas that may overtake the end of the negotiation. */
const EARLY_MAX = 1_000;

type Waiting<T> = { readonly resolve: (value: T) => void };

/** A stream that we open to a peer: found, dialled, negotiated; taken up again once where it is lost and may be. */
export class OutgoingStream extends StanzaStream {
  readonly direction = 'out';
  readonly ends: Ends;
  readonly #deps: OutgoingDeps;
  readonly #options: OutgoingOptions;
  #negotiation: OutgoingNegotiation | undefined;
  #header: Readonly<Record<string, string>> = {};
  #targets: PeerTarget[] = [];
  #target: PeerTarget | undefined;
  #proof: TlsProof | undefined;
  #stage: 'opening' | 'up' | 'resuming' | 'over' = 'opening';
  #established: Established | undefined;
  #resumeTries = 0;
  readonly #early: XmlElement[] = [];
  #lastFault = 'no place to connect to';
  #cancelDeadline: () => void = () => undefined;
  readonly #dialling = new AbortController();
  readonly #proving = new Map<string, Waiting<Verdict>>();
  readonly #asking = new Map<string, Waiting<Verdict>>();
  #questions: Array<{ readonly key: string; readonly element: XmlElement }> = [];
  #mayAsk = false;

  constructor(deps: OutgoingDeps, options: OutgoingOptions) {
    super(deps, options.habit);
    this.#deps = deps;
    this.#options = options;
    this.ends = { own: options.own, peer: options.peer };
  }

  get maySend(): boolean {
    return this.#stage === 'up' || this.#stage === 'resuming';
  }

  /** Whether the peer may write stanzas to us over it (XEP-0288). */
  get isBothWays(): boolean {
    return this.#established?.isBidi === true;
  }

  /** Whether more pairs of domains may be proved on it. */
  get mayMultiplex(): boolean {
    return this.#stage === 'up' && this.#established?.mayMultiplex === true;
  }

  /** Whether its far side is at one of these places, and has shown that it is this domain too where that is asked. */
  isAlso(peer: string, security: PeerSecurity, targets: readonly PeerTarget[]): boolean {
    if (this.#target === undefined) return false;
    const place = targetKey(this.#target);
    if (!targets.some((target) => targetKey(target) === place)) return false;
    if (security === 'dialback') return true;
    return security === 'dialback-over-tls' ? this.#proof !== undefined : provesDomain(this.#proof, peer);
  }

  /** Begins; what becomes of it is told by `onUp` and `onEnd`. */
  open(): void {
    this.#dial(this.deps.limits.openMs);
  }

  /** Proves one more pair of domains on this stream (XEP-0220, section 2.5). Never rejects. */
  prove(ends: Ends): Promise<Verdict> {
    const key = pairKey(ends);
    const id = this.#header['id'] ?? '';
    const proof = this.#deps.keys.keyFor({ originating: ends.own, receiving: ends.peer, streamId: id });
    return new Promise((resolve) => {
      const done = (verdict: Verdict): void => {
        cancel();
        this.#proving.delete(key);
        if (verdict.type === 'valid') this.add(ends);
        resolve(verdict);
      };
      const cancel = this.deps.clock.after(this.deps.limits.openMs, () =>
        done({ type: 'error', condition: 'remote-server-timeout' }),
      );
      this.#proving.set(key, { resolve: done });
      this.wire?.writeElement(dialbackElement({ kind: 'result', from: ends.own, to: ends.peer, key: proof }));
    });
  }

  /** Asks the peer whether a key is its own; only on a stream of purpose `verify`, which ends with the last answer. */
  ask(streamId: string, key: string): Promise<Verdict> {
    const { own, peer } = this.#options;
    const element = dialbackElement({ kind: 'verify', from: own, to: peer, id: streamId, key });
    return new Promise((resolve) => {
      this.#asking.set(streamId, { resolve });
      if (this.#mayAsk) this.wire?.writeElement(element);
      else this.#questions.push({ key: streamId, element });
    });
  }

  #dial(withinMs: number): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.deps.clock.after(withinMs, () => {
      if (this.#stage !== 'up') this.#failed('no answer from the peer in time', false);
    });
    const { peer, nextHop } = this.#options;
    const { dns, random } = this.#deps;
    peerTargets(peer, { dns, random, ...(nextHop === undefined ? {} : { nextHop }) }).then(
      (targets) => {
        this.#targets = [...targets];
        this.#next();
      },
      (thrown: unknown) => this.#failed(GatewayError.of(thrown).message, false),
    );
  }

  #next(): void {
    if (this.#stage === 'over' || this.#stage === 'up') return;
    const target = this.#targets.shift();
    if (target === undefined) {
      this.#failed(this.#lastFault, false);
      return;
    }
    const { clock, tls } = this.deps;
    const { signal } = this.#dialling;
    connectTo(target, this.#options.peer, { context: tls.context, clock, timeoutMs: CONNECT_MS, signal }).then(
      (socket) => {
        if (this.#stage === 'over') {
          socket.destroy();
          return;
        }
        this.#target = target;
        this.#converse(socket);
      },
      (thrown: unknown) => {
        const why = thrown instanceof Error ? thrown.message : 'no connection';
        this.#lastFault = `${target.address}:${target.port}: ${why}`;
        this.#next();
      },
    );
  }

  #converse(socket: Socket): void {
    const { tls, clock } = this.deps;
    const { own, peer, security, purpose } = this.#options;
    this.#proof = proofOf(socket);
    const sm = this.#established?.sm;
    const negotiation = new OutgoingNegotiation(
      {
        own,
        peer,
        security,
        purpose,
        hasCertificate: tls.hasCertificate,
        keyFor: (streamId) => this.#deps.keys.keyFor({ originating: own, receiving: peer, streamId }),
        ...(sm?.id === undefined ? {} : { resume: { id: sm.id, received: this.sender.received } }),
      },
      this.#proof,
    );
    this.#negotiation = negotiation;
    const wire = new S2sWire(socket, tls, clock, {
      onHeader: (name, attrs) => {
        this.#header = attrs;
        this.#run(negotiation.header(name, attrs));
      },
      onElement: (element) => {
        if (this.#stage === 'up') this.#element(element);
        else if (this.#mayAsk) this.#answer(element);
        else this.#run(negotiation.element(element));
      },
      onDrain: () => this.sender.flushSoon(),
      onEnd: (end) => this.#ended(end),
    });
    this.wire = wire;
    this.#run(negotiation.begin());
  }

  #run(steps: readonly OutgoingStep[]): void {
    for (const step of steps) this.#do(step);
  }

  #do(step: OutgoingStep): void {
    const { wire } = this;
    if (wire === undefined || wire.isOver) return;
    switch (step.do) {
      case 'open':
        wire.restart();
        wire.open(step.attrs);
        break;
      case 'write':
        wire.writeElement(step.element);
        break;
      case 'secure':
        wire.secure('client', this.#options.peer, (proof) => {
          this.#proof = proof;
          this.#run(this.#negotiation?.secured(proof) ?? []);
        });
        break;
      case 'ask':
        this.#mayAsk = true;
        for (const { element } of this.#questions.splice(0)) wire.writeElement(element);
        break;
      case 'up':
        this.#up(step);
        break;
      case 'stanza':
        this.#early.push(step.element);
        if (this.#early.length > EARLY_MAX)
          this.#failed('too many stanzas before the stream was up', false, 'policy-violation');
        break;
      case 'fail':
        this.#failed(step.reason, step.isRefusal, step.condition);
        break;
    }
  }

  #up(established: Established): void {
    const { wire } = this;
    if (wire === undefined) return;
    this.#cancelDeadline();
    const wasResuming = this.#stage === 'resuming';
    if (wasResuming && (established.resumed === undefined || !this.sender.resume(wire, established.resumed))) {
      // What was on the way is lost with the old stream, and a new one is opened for what comes.
      this.#failed('the peer does not take the lost stream up again', false);
      return;
    }
    this.#stage = 'up';
    this.#established = established;
    this.add(this.ends);
    // Those that overtook the end of the negotiation are counted by neither side.
    for (const element of this.#early.splice(0)) this.stanza(element);
    this.#resumeTries = 0;
    if (wasResuming) return;
    this.sender.attach(wire);
    if (established.sm !== undefined) this.sender.manage();
    this.#deps.onUp(this);
  }

  #element(element: XmlElement): void {
    const { name, namespace } = expandedName(element, this.#header);
    switch (namespace) {
      case NS.server:
        if (this.#established?.isBidi === true && isStanzaName(name)) this.stanza(element);
        else this.wire?.fail('not-authorized', 'stanza over a stream that is ours alone');
        break;
      case NS.dialback:
        this.#dialback(name, element);
        break;
      case NS.sm:
        this.#managed(name, element);
        break;
      case undefined:
      default:
        break;
    }
  }

  #managed(name: string, element: XmlElement): void {
    if (!this.sender.isManaged) return;
    if (name === 'r') this.acknowledge();
    const taken = name === 'a' ? stanzaCount(element.attrs['h']) : undefined;
    if (taken !== undefined) this.acknowledged(taken);
  }

  #dialback(name: string, element: XmlElement): void {
    const message = readDialback(name, element);
    if (message?.type === undefined || message.kind !== 'result') return;
    const waiting = this.#proving.get(pairKey({ own: message.to, peer: message.from }));
    waiting?.resolve(verdictOf(message.type, message.condition));
  }

  /** An answer counts where the question was asked: on this stream, about this key (XSF notice of 2012). */
  #answer(element: XmlElement): void {
    const { name, namespace } = expandedName(element, this.#header);
    const message = namespace === NS.dialback ? readDialback(name, element) : undefined;
    if (message?.kind !== 'verify' || message.type === undefined || message.id === undefined) return;
    if (message.from !== this.#options.peer || message.to !== this.#options.own) return;
    const waiting = this.#asking.get(message.id);
    this.#asking.delete(message.id);
    waiting?.resolve(verdictOf(message.type, message.condition));
    if (this.#asking.size === 0) this.close('all is answered');
  }

  #ended(end: StreamEnd): void {
    if (this.#stage === 'over') return;
    this.wire = undefined;
    if (this.#mayAsk) {
      this.#finish(end);
      return;
    }
    if (this.#stage === 'up') {
      const mayResume = !end.isClean && end.condition === undefined && this.#established?.sm?.id !== undefined;
      if (!mayResume || this.pairs.size !== 1) {
        this.#finish(end);
        return;
      }
      this.#stage = 'resuming';
      this.sender.detach();
      this.deps.log.info({ peer: this.ends.peer, reason: end.reason }, 'stream lost, to be taken up again');
      this.#lastFault = end.reason;
      const { resumeMs } = this.deps.limits;
      const { resumeSeconds } = this.#established?.sm ?? {};
      this.#dial(resumeSeconds === undefined ? resumeMs : Math.min(resumeMs, resumeSeconds * 1_000));
      return;
    }
    this.#lastFault = end.reason;
    // Another server of the domain may be well, unless what this one said was meant.
    if (end.condition === undefined) {
      // A connection that was lost once may be lost again before the stream goes on.
      const mayTryAgain = this.#stage === 'resuming' && this.#targets.length === 0 && this.#resumeTries < RESUME_TRIES;
      this.#resumeTries += 1;
      if (mayTryAgain && this.#target !== undefined) this.#targets.push(this.#target);
      this.#next();
    } else this.#failed(end.reason, REFUSALS.has(end.condition), end.condition);
  }

  #failed(reason: string, isRefusal: boolean, condition?: string): void {
    if (this.#stage === 'over') return;
    const { wire } = this;
    const isNegotiating = this.#stage !== 'up';
    this.#stage = 'over';
    if (wire !== undefined && !wire.isOver) {
      if (condition === undefined) wire.close(reason);
      else wire.fail(condition, reason);
    }
    this.#finish(
      { reason, isClean: false, ...(condition === undefined ? {} : { condition }) },
      isRefusal && isNegotiating,
    );
  }

  #finish(end: StreamEnd, isRefusal = false): void {
    this.#stage = 'over';
    this.#cancelDeadline();
    this.#dialling.abort();
    for (const waiting of [...this.#proving.values(), ...this.#asking.values()]) {
      waiting.resolve({ type: 'error', condition: 'remote-server-timeout', reason: end.reason });
    }
    this.over(end, isRefusal);
  }
}

/** Stream errors that somebody must mend. */
const REFUSALS: ReadonlySet<string> = new Set([
  'host-unknown',
  'host-gone',
  'not-authorized',
  'policy-violation',
  'invalid-from',
]);

function verdictOf(type: 'valid' | 'invalid' | 'error', condition = 'undefined-condition'): Verdict {
  return type === 'error' ? { type, condition } : { type };
}
