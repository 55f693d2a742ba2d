import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { XmlElement } from '../cpim/xml.ts';
import type { Log } from '../core/log.ts';
import { DialbackKeys } from './s2s/dialback.ts';
import { LIMITS, type S2sBounds, type S2sOptions, type S2sPeer } from './s2s/federation-options.ts';
import type { Ends } from './s2s/incoming-negotiation.ts';
import { type IncomingDeps, IncomingStream } from './s2s/incoming-stream.ts';
import { OutgoingStream, type OutgoingDeps, type Verdict } from './s2s/outgoing-stream.ts';
import { PairLink } from './s2s/pair-link.ts';
import { PeerDoor } from './s2s/peer-door.ts';
import { peerTargets } from './s2s/peer-targets.ts';
import { pairKey, type StanzaStream, type StreamDeps, unreachable } from './s2s/stanza-stream.ts';
import { type PingHabit, runOfPing } from './s2s/stream-sender.ts';
import { TlsDoor } from './s2s/tls-door.ts';
import { connectTo, type StreamEnd } from './s2s/wire.ts';
import { NS } from './s2s/stream-elements.ts';
import { stanzaText } from './outgoing-stanza.ts';
import { errorAnswer } from './stanza.ts';
import { formatJid } from './jid.ts';
import type { LinkEvents, XmppLink } from './link.ts';

export type { S2sOptions } from './s2s/federation-options.ts';

/** Who takes what comes in on this node for a pair that another node runs, and has answers of ours sent. */
export type PairFace = Pick<LinkEvents, 'onStanza'> & Pick<XmppLink, 'post'>;

/** Lost streams of one pair that wait to be taken up again. */
const LOST_MAX = 8;
/** How long looking whether a peer can be reached may take, ms. */
const REACH_MS = 5_000;
/** Steps in which the time of streams is counted, ms. */
const STEP_MS = 100;

/**
 * Federation with XMPP domains without anybody in between (RFC 6120): listens for peers' servers, opens streams to them,
 * and gives for each pair of a domain of ours and a peer's a link of its own (`link`), so that a domain that is away holds
 * up no other. Pairs share streams where both sides allow that.
 *
 * Certificate, key and roots are those read at the start; a renewed one is taken with the next start.
 */
export class S2sFederation {
  readonly #options: S2sOptions;
  readonly #limits: S2sBounds;
  readonly #log: Log;
  readonly #tls: TlsDoor;
  readonly #door: PeerDoor;
  readonly #keys: DialbackKeys;
  readonly #own: ReadonlySet<string>;
  readonly #peers: ReadonlyMap<string, S2sPeer>;
  /** Those that this node runs. */
  readonly #pairs = new Map<string, PairLink>();
  readonly #faces = new Map<string, PairFace>();
  readonly #streams = new Set<StanzaStream>();
  /** Those of them that were opened to us, and those on which nobody has proved who he is. */
  readonly #incoming = new Set<IncomingStream>();
  readonly #unproved = new Set<IncomingStream>();
  /** Those that read nothing for now. */
  readonly #held = new Set<StanzaStream>();
  /** Streams over which keys are asked about, by pair. */
  readonly #verifying = new Map<string, OutgoingStream>();
  readonly #habits = new Map<string, PingHabit>();
  readonly #deps: OutgoingDeps & IncomingDeps;
  /** Why peers have not proved their domains, as last said. */
  readonly #doubts = new Map<string, string>();
  #isStopping = false;
  #cancelStep: (() => void) | undefined;

  constructor(options: S2sOptions) {
    const { certificate, ca, clock, random, dns } = options;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#log = options.log.child({ link: options.name });
    this.#tls = new TlsDoor(certificate, ca);
    this.#keys = new DialbackKeys(options.dialbackSecret);
    this.#own = new Set(options.ownDomains);
    this.#peers = new Map(options.peers.map((peer) => [peer.domain, peer]));
    const shared: StreamDeps = {
      clock,
      log: this.#log,
      tls: this.#tls,
      limits: this.#limits,
      ...(options.others === undefined ? {} : { run: options.others.run }),
      onStanza: (ends, element) => this.#stanza(ends, element),
      refuse: (ends, element, condition) => this.#refuse(ends, element, condition),
      isClogged: (ends) => this.#isClogged(ends),
      onHold: (stream, isHolding) => {
        if (isHolding) this.#held.add(stream);
        else this.#held.delete(stream);
      },
      onSpace: (stream) => this.#space(stream),
      onEnd: (stream, end) => this.#ended(stream, end),
    };
    this.#deps = {
      ...shared,
      dns,
      random,
      keys: this.#keys,
      onUp: (stream) => this.#up(stream),
      isOurs: (domain) => this.#own.has(domain),
      securityOf: (peer) => this.#peers.get(peer)?.security,
      hasCertificate: this.#tls.hasCertificate,
      newStreamId: () => randomBytes(15).toString('base64url'),
      newResumeId: () => randomBytes(15).toString('base64url'),
      check: (ends, streamId, key) => this.#check(ends, streamId, key),
      onProved: (stream, ends) => this.#proved(stream, ends),
      onUnproved: (peer, address, reason) => this.#tellUnproved(peer, address, reason),
      mayWait: (stream) => this.#mayWait(stream),
      lostStream: (id) => this.#byResumeId(id),
    };
    this.#door = new PeerDoor({
      listen: options.listen,
      limits: this.#limits,
      tls: this.#tls,
      log: this.#log,
      count: () => ({ incoming: this.#incoming.size, unproved: this.#unproved.size }),
      take: (socket) => this.#take(socket),
      refuse: (socket, text) => new IncomingStream({ ...this.#deps, onEnd: () => undefined }, socket).refuse(text),
    });
  }

  /** The link between a domain of ours and a peer's. @param isWanted whether something waits for it at present */
  link(ends: Ends, name: string, isWanted: () => boolean): PairLink {
    const { clock, random, log } = this.#options;
    const pair = new PairLink({
      ...ends,
      name,
      stanzaBytesMax: this.#limits.stanzaBytesMax,
      answerBytesMax: this.#limits.answerBytesMax,
      clock,
      random,
      log,
      isWanted,
      open: (link) => this.#open(link),
      release: (link, stream, isGoingOn) => this.#release(link, stream, isGoingOn),
      recheck: (link) => this.#recheck(link.ends),
    });
    this.#pairs.set(pairKey(ends), pair);
    return pair;
  }

  /** For a pair that is not always run by this node: who takes what comes in for it here while another one runs it. */
  listen(ends: Ends, face: PairFace): void {
    this.#faces.set(pairKey(ends), face);
  }

  /**
   * Writes an answer over a stream that the peer has opened to this node and lets be used both ways, whoever runs the pair.
   *
   * @returns false where there is none, or it cannot be written
   */
  answer(ends: Ends, stanza: XmlElement): boolean {
    const stream = this.#carrier(ends);
    if (stream === undefined) return false;
    const { own, peer } = ends;
    try {
      stream.post(ends, stanzaText(stanza, { own, peer, namespace: NS.server, bytesMax: this.#limits.stanzaBytesMax }));
    } catch (thrown) {
      this.#log.error({ error: thrown, stanza: stanza.name }, 'answer cannot be written');
    }
    stream.holdOrRead();
    return true;
  }

  /** Whether this node can connect to a peer's server: TCP, and TLS where it begins with that. */
  async canReach(peer: string): Promise<boolean> {
    const { dns, random, clock } = this.#options;
    const nextHop = this.#peers.get(peer)?.nextHop;
    const targets = await peerTargets(peer, { dns, random, ...(nextHop === undefined ? {} : { nextHop }) }).catch(
      () => [],
    );
    const until = AbortSignal.timeout(REACH_MS);
    for (const target of targets) {
      const how = { context: this.#tls.context, clock, timeoutMs: REACH_MS, signal: until };
      const socket = await connectTo(target, peer, how).catch(() => undefined);
      socket?.destroy();
      if (socket !== undefined) return true;
    }
    return false;
  }

  /** An answer to a ping, from whom it was sent to. @returns false where it is the answer to no ping of this node's */
  ponged(ends: Ends, id: string): boolean {
    for (const stream of this.#streams) {
      if (!stream.carries(ends) || !stream.sender.isPing(id)) continue;
      stream.sender.ponged(id);
      return true;
    }
    return false;
  }

  /** The peer has proved itself at another node. */
  peerIsThere(ends: Ends): void {
    const pair = this.#pairs.get(pairKey(ends));
    if (pair?.isStarted === true && pair.stream === undefined) pair.peerIsThere();
  }

  /** Where it listens. */
  get listening(): PeerDoor['listening'] {
    return this.#door.listening;
  }

  /** Streams that are open, or being opened. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Listens. @throws Error when a port cannot be had; nothing listens then. */
  async start(): Promise<void> {
    try {
      await this.#door.open();
    } catch (thrown) {
      await this.stop();
      throw thrown;
    }
    this.#step();
  }

  /** Ends every stream and listens no more; the links are to be stopped before it. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelStep?.();
    const closed = this.#door.close();
    for (const stream of [...this.#streams]) stream.shutDown();
    for (const stream of [...this.#streams]) stream.abort('this server stops');
    await closed;
  }

  #take(socket: Socket): void {
    const stream = new IncomingStream(this.#deps, socket);
    this.#streams.add(stream);
    this.#incoming.add(stream);
    this.#unproved.add(stream);
  }

  /** A stream that stanzas of ours for this pair may go over. */
  #carrier(ends: Ends): StanzaStream | undefined {
    for (const stream of this.#streams) if (stream.carries(ends) && stream.maySend) return stream;
    return undefined;
  }

  /** A stream for a pair: one that carries it, one that may be proved for it too, or a new one. */
  #open(pair: PairLink): void {
    const { ends } = pair;
    const carrier = this.#carrier(ends);
    if (carrier !== undefined) {
      pair.opened(carrier);
      return;
    }
    void this.#shared(ends).then((shared) => {
      if (this.#isStopping) return;
      // One the peer has opened meanwhile, and that may be used both ways, is as good.
      const found = shared ?? this.#carrier(ends);
      if (found === undefined) this.#dial(ends);
      else if (!found.isOver) pair.opened(found);
      else pair.failed({ reason: 'the stream was lost', isRefusal: false });
    });
  }

  /** A stream to the same server that lets one more pair be proved on it. */
  async #shared({ own, peer }: Ends): Promise<StanzaStream | undefined> {
    const open: OutgoingStream[] = [];
    for (const stream of this.#streams) {
      if (stream instanceof OutgoingStream && stream.mayMultiplex) open.push(stream);
    }
    if (open.length === 0) return undefined;
    const entry = this.#peers.get(peer);
    const { dns, random } = this.#options;
    const nextHop = entry?.nextHop === undefined ? {} : { nextHop: entry.nextHop };
    const security = entry?.security ?? 'certificate';
    const targets = await peerTargets(peer, { dns, random, ...nextHop }).catch(() => []);
    for (const stream of open) {
      if (!stream.mayMultiplex || !stream.isAlso(peer, security, targets)) continue;
      const verdict = await stream.prove({ own, peer });
      if (verdict.type === 'valid' && !stream.isOver) return stream;
      this.#log.info({ own, peer, verdict: verdict.type }, 'pair is not accepted on a stream with others');
    }
    return undefined;
  }

  #dial(ends: Ends): void {
    const stream = this.#outgoing(ends, 'stanzas');
    this.#streams.add(stream);
    stream.open();
  }

  #outgoing(ends: Ends, purpose: 'stanzas' | 'verify'): OutgoingStream {
    const entry = this.#peers.get(ends.peer);
    return new OutgoingStream(this.#deps, {
      ...ends,
      purpose,
      security: entry?.security ?? 'certificate',
      habit: this.#habits.get(ends.peer) ?? { answers: false, isMute: false },
      ...(entry?.nextHop === undefined ? {} : { nextHop: entry.nextHop }),
    });
  }

  #up(stream: OutgoingStream): void {
    this.#pairs.get(pairKey(stream.ends))?.opened(stream);
  }

  /** A peer has proved its domain on a stream that it opened. */
  #proved(stream: IncomingStream, ends: Ends): void {
    this.#unproved.delete(stream);
    this.#doubts.delete(ends.peer);
    const pair = this.#pairs.get(pairKey(ends));
    if (pair?.isStarted !== true) {
      this.#options.others?.peerIsThere(ends);
      return;
    }
    if (pair.stream !== undefined) return;
    if (stream.maySend && pair.state().at === 'up') return;
    pair.peerIsThere();
  }

  /** Asks the peer's own server whether a key is its own: the receiving server's part of dialback (XEP-0220, section 2.2). */
  async #check(ends: Ends, streamId: string, key: string): Promise<Verdict> {
    const name = pairKey(ends);
    let stream = this.#verifying.get(name);
    if (stream === undefined || stream.isOver) {
      stream = this.#outgoing(ends, 'verify');
      this.#verifying.set(name, stream);
      this.#streams.add(stream);
      stream.open();
    }
    return stream.ask(streamId, key);
  }

  /** Said loudly once per reason: whoever uses a peer's name may come again and again. */
  #tellUnproved(peer: string, address: string, reason: string): void {
    const isNews = this.#doubts.get(peer) !== reason;
    this.#doubts.set(peer, reason);
    this.#log[isNews ? 'warn' : 'debug']({ peer, address, reason }, 'peer has not proved its domain');
  }

  #stanza(ends: Ends, element: XmlElement): void | Promise<void> {
    const { id, type } = element.attrs;
    if (element.name === 'iq' && id !== undefined && (type === 'result' || type === 'error')) {
      const run = runOfPing(id);
      const { others } = this.#options;
      if (run !== undefined) {
        const isElsewhere = others !== undefined && run !== '' && run !== others.run;
        if (isElsewhere ? others.ponged(run, ends, id) : this.ponged(ends, id)) return undefined;
      }
    }
    const pair = this.#pairs.get(pairKey(ends));
    if (pair?.isStarted === true) return pair.received(element);
    return this.#faces.get(pairKey(ends))?.onStanza(element);
  }

  #refuse(ends: Ends, element: XmlElement, condition: 'item-not-found' | 'jid-malformed'): void {
    const { type } = element.attrs;
    this.#log.info({ jid: element.attrs['from'] ?? '', to: element.attrs['to'] ?? '', condition }, 'stanza refused');
    if (type === 'error' || type === 'result') return;
    const answer = errorAnswer(element, { type: 'cancel', condition });
    const from = formatJid({ domain: ends.own });
    const pair = this.#pairs.get(pairKey(ends));
    const face = pair?.isStarted === true ? pair : this.#faces.get(pairKey(ends));
    face?.post({ ...answer, attrs: { ...answer.attrs, from } });
  }

  /** A peer that opens streams and loses them takes no room from others. */
  #mayWait(stream: IncomingStream): boolean {
    let waiting = 0;
    for (const other of this.#incoming) {
      if (other.isLost && [...stream.pairs.values()].some((ends) => other.carries(ends))) waiting += 1;
    }
    return waiting < LOST_MAX;
  }

  #byResumeId(id: string): IncomingStream | undefined {
    for (const stream of this.#incoming) if (stream.resumeId === id) return stream;
    return undefined;
  }

  #isClogged(ends: Ends): boolean {
    const pair = this.#pairs.get(pairKey(ends));
    return pair !== undefined && pair.answerBytes > this.#limits.answerBytesMax;
  }

  #space(stream: StanzaStream): void {
    for (const ends of stream.pairs.values()) this.#pairs.get(pairKey(ends))?.hasSpace();
    this.#recheck();
  }

  /** What waits for a peer has become more or less: whoever is read from may have to wait, or may go on. */
  #recheck(grown?: Ends): void {
    for (const stream of [...this.#held]) stream.holdOrRead();
    if (grown === undefined || !this.#isClogged(grown)) return;
    for (const stream of this.#streams) if (stream.carries(grown)) stream.holdOrRead();
  }

  #ended(stream: StanzaStream, end: StreamEnd & { readonly isRefusal: boolean }): void {
    this.#streams.delete(stream);
    this.#held.delete(stream);
    if (stream instanceof IncomingStream) {
      this.#incoming.delete(stream);
      this.#unproved.delete(stream);
    }
    if (stream instanceof OutgoingStream && this.#verifying.get(pairKey(stream.ends)) === stream) {
      this.#verifying.delete(pairKey(stream.ends));
      return;
    }
    const owed = stream.sender.unconfirmed;
    const error = unreachable(end.reason);
    if (stream.pairs.size === 0 && stream instanceof OutgoingStream) {
      this.#pairs.get(pairKey(stream.ends))?.failed(end);
    }
    for (const ends of stream.pairs.values()) {
      if (!stream.sender.isManaged && stream instanceof OutgoingStream)
        this.#habits.set(ends.peer, stream.sender.habit);
      const pair = this.#pairs.get(pairKey(ends));
      if (pair?.stream === stream) pair.ended(end, end.isRefusal, owed);
    }
    stream.sender.rejectAll(error);
  }

  #release(pair: PairLink, stream: StanzaStream | undefined, isGoingOn: boolean): void {
    if (stream === undefined || stream.isOver) return;
    const isUsed = [...this.#pairs.values()].some((other) => other !== pair && other.stream === stream);
    if (isUsed) return;
    if (!isGoingOn) stream.shutDown();
    // What the peer writes is taken here as before, until it has nothing to say for long or closes the stream.
    else if (stream instanceof OutgoingStream && !stream.isBothWays) stream.close('another node goes on');
  }

  #step(): void {
    this.#cancelStep = this.#options.clock.after(STEP_MS, () => {
      for (const stream of [...this.#streams]) stream.tick(STEP_MS);
      this.#step();
    });
  }
}
