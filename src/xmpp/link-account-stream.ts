import type { TLSSocket } from 'node:tls';
import { childOf, textOf, writeXml, type XmlElement, XmlStreamReader } from '../cpim/xml.ts';
import type { Clock } from '../core/ports.ts';
import { AnswersUnread } from './answers-unread.ts';
import { conditionIn, withWords } from './account/service-words.ts';
import { securedSocket } from './account/secured-socket.ts';
import type { ServiceTarget } from './account/service-address.ts';
import { conditionOfFault } from './input-fault.ts';
import { formatJid, type Jid, parseJid } from './jid.ts';
import { AccountLogin } from './link-account-login.ts';
import { CLIENT_NAMESPACE, isStanzaName } from './stanza-content.ts';
import { stanzaCount } from './stanza-count.ts';

/** Why a stream is over. */
export type AccountStreamEnd = {
  /** In words, for log, operator and user. */
  readonly reason: string;
  /** `stream`: a stream error; `sasl`, `bind`: the service refused that step; `tls`: no secure connection. */
  readonly step?: 'stream' | 'sasl' | 'bind' | 'tls';
  /** The condition of that step's error (RFC 6120, sections 4.9.3, 6.5, 8.3.3); `no-mechanism` is ours. */
  readonly condition?: string;
  /** Where else to go: the content of `see-other-host`. */
  readonly otherHost?: string;
};

/** A session that can go on in another stream (XEP-0198, section 5). */
export type ResumableSession = { readonly id: string; readonly maxSeconds?: number };

/** What a stream that is up has come to. */
export type AccountStreamUp =
  | { readonly kind: 'resumed'; readonly handled: number }
  | {
      readonly kind: 'new';
      /** Our full JID. */
      readonly jid: Jid;
      /** Whether stanzas are counted. */
      readonly isCounted: boolean;
      readonly session?: ResumableSession;
    };

export type AccountStreamOptions = {
  /** Of the account. */
  readonly jid: Jid;
  readonly password: string;
  readonly resource: string;
  readonly targets: () => Promise<readonly ServiceTarget[]>;
  readonly addressesOf: (host: string) => Promise<readonly string[]>;
  /** PEM of the roots the service is checked against; absent: those of Node. */
  readonly ca?: string;
  /** The password may be sent itself, over TLS, to a service that offers nothing better. */
  readonly allowPlain: boolean;
  /** The session to go on with, and how many stanzas of it were handled here. */
  readonly resume?: { readonly id: string; readonly handled: number };
  /** Largest stanza that is read, UTF-16 units. */
  readonly stanzaUnitsMax: number;
  /** How long it may take until the stream is up, ms. */
  readonly openMs: number;
  readonly clock: Clock;
};

export type AccountStreamEvents = {
  onUp(up: AccountStreamUp): void;
  /** The session that was to go on is over; a new one begins. The far side had handled so many, where it says so. */
  onResumeFailed(handled: number | undefined): void;
  /** Only between `onUp` and `onEnd`. Must not throw. */
  onStanza(stanza: XmlElement): void;
  /** The far side has handled so many stanzas of the session. */
  onAcknowledged(handled: number): void;
  onAcknowledgeRequest(): void;
  onDrain(): void;
  /** The stream is over, or never came to be. Once, and nothing follows. */
  onEnd(end: AccountStreamEnd): void;
};

const STREAMS = 'http://etherx.jabber.org/streams';
const STREAM_ERRORS = 'urn:ietf:params:xml:ns:xmpp-streams';
const STANZA_ERRORS = 'urn:ietf:params:xml:ns:xmpp-stanzas';
const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';
export const SM_NAMESPACE = 'urn:xmpp:sm:3';
const LINGER_MS = 1_000;
const DEPTH_MAX = 64;
/** So much of a name that the service sends is repeated. */
const NAME_MAX = 64;
/** Stanzas that may come before the stream is up. */
const EARLY_MAX = 100;

/**
 * One stream of an account, from connecting to its end; a lost one is never revived, a new one is made.
 *
 * Stream header, the order of authentication and binding are @xmpp/client's. Replaced, each for a fault that was seen:
 * its TLS (checks the name of the host, knows no roots of one's own), its decoding of every packet by itself, its parser
 * (throws out of the socket's handler, goes deaf, has no bounds), its SCRAM (as many rounds as a service likes, and no
 * proof of the service), its stream management (acknowledges what nobody has stored, trusts the count of the far side),
 * its reconnecting (every second, for ever, with a wrong password too), and its answers to iq stanzas.
 */
export class AccountStream {
  readonly #options: AccountStreamOptions;
  readonly #events: AccountStreamEvents;
  readonly #giveUp = new AbortController();
  readonly #to: string;
  #decoder = new TextDecoder('utf-8', { fatal: true });
  #reader: XmlStreamReader | undefined;
  #login: AccountLogin | undefined;
  #socket: TLSSocket | undefined;
  #answers: AnswersUnread | undefined;
  #hasBegunLogin = false;
  #challenges = 0;
  #stage: 'securing' | 'opening' | 'authenticated' | 'resuming' | 'binding' | 'enabling' | 'up' | 'over' = 'securing';
  #isAuthenticated = false;
  #features: XmlElement | undefined;
  #boundJid: Jid | undefined;
  #early: XmlElement[] = [];
  #streamsPrefix = 'stream';
  #cancelDeadline: () => void = () => undefined;

  constructor(options: AccountStreamOptions, events: AccountStreamEvents) {
    this.#options = options;
    this.#events = events;
    this.#to = formatJid({ domain: options.jid.domain });
  }

  /** Starts; what becomes of it is told by the events. */
  open(): void {
    const { clock, openMs } = this.#options;
    this.#cancelDeadline = clock.after(openMs, () => this.abort('no answer from the service in time'));
    this.#secured().then(
      (socket) => this.#begin(socket),
      (thrown: unknown) => {
        const reason = thrown instanceof Error ? thrown.message : 'the service cannot be reached';
        this.#finish(isSecurityFault(thrown) ? { reason, step: 'tls' } : { reason });
      },
    );
  }

  /** Bytes given to the socket and not yet taken by the system. */
  get bytesWaiting(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** Writes text as it is. `flushed` is called when the system has taken it. */
  write(text: string, flushed: () => void): void {
    if (this.#stage !== 'up') return;
    this.#socket?.write(text, (error) => {
      if (!error) flushed();
    });
  }

  /** Writes an answer to what the service has said of the stream itself: it is not read from while it reads none of them. */
  answer(text: string): void {
    if (this.#stage === 'up') this.#answers?.write(text);
  }

  pause(): void {
    this.#answers?.pause();
  }

  resume(): void {
    if (this.#stage !== 'over') this.#answers?.resume();
  }

  /** Ends the stream with a stream error of ours. */
  fail(condition: string, reason: string): void {
    const error = { name: condition, attrs: { xmlns: STREAM_ERRORS }, children: [] };
    this.#finish({ reason }, `${writeXml({ name: 'stream:error', attrs: {}, children: [error] })}</stream:stream>`);
  }

  /** Ends the stream as RFC 6120, section 4.4 asks; `last` is said before. The session ends with it. */
  close(reason: string, last = ''): void {
    this.#finish({ reason }, `${last}</stream:stream>`);
  }

  /** Cuts the connection: for a service that does not answer any more. */
  abort(reason: string): void {
    this.#finish({ reason });
  }

  /** The first place that lets itself be reached in a secure way. */
  async #secured(): Promise<TLSSocket> {
    const { jid, ca, targets, addressesOf } = this.#options;
    const options = { domain: jid.domain, streamTo: this.#to, ...(ca === undefined ? {} : { ca }) };
    let failure: unknown = new Error('the service says that it takes no clients');
    for (const target of await targets()) {
      const addresses = await addressesOf(target.host).catch((thrown: unknown) => {
        failure = thrown;
        return [];
      });
      for (const address of addresses) {
        if (this.#isOver()) throw failure;
        try {
          return await securedSocket(target, address, options, this.#giveUp.signal);
        } catch (thrown) {
          // What is wrong with a certificate is more worth knowing than that another place was not there.
          if (!isSecurityFault(failure)) failure = thrown;
        }
      }
    }
    throw failure;
  }

  #begin(socket: TLSSocket): void {
    if (this.#isOver()) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    this.#answers = new AnswersUnread(socket);
    this.#stage = 'opening';
    socket.setKeepAlive(true, 30_000);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      if (this.#stage === 'up') this.#events.onDrain();
    });
    socket.on('error', (error: Error) => this.#finish({ reason: error.message }));
    socket.on('close', () => this.#finish({ reason: 'the connection was lost' }));
    const { jid, password, resource, allowPlain } = this.#options;
    const account = { domain: this.#to, username: jid.local ?? '', password, resource, allowPlain };
    this.#login = new AccountLogin(account, socket, {
      onBound: (bound) => this.#bound(bound),
      onError: (thrown) => this.#failed(thrown),
    });
    this.#login.open();
  }

  /** Never throws: what is wrong with the input ends this stream and nothing else. */
  #read(chunk: Buffer): void {
    if (this.#isOver()) return;
    let text: string;
    try {
      text = this.#decoder.decode(chunk, { stream: true });
    } catch {
      this.fail('not-well-formed', 'bad input from the service: not UTF-8');
      return;
    }
    this.#reader ??= this.#newReader();
    this.#reader.write(text);
  }

  #newReader(): XmlStreamReader {
    return new XmlStreamReader(
      {
        onOpen: (name, attrs) => this.#opened(name, attrs),
        onElement: (element) => this.#element(element),
        onClose: () => this.#finish({ reason: 'the service closed the stream' }, '</stream:stream>'),
        onError: (error) => this.fail(conditionOfFault(error), `bad input from the service: ${error.message}`),
      },
      { unitsMax: this.#options.stanzaUnitsMax, depthMax: DEPTH_MAX },
    );
  }

  #opened(name: string, attrs: Readonly<Record<string, string>>): void {
    const colon = name.indexOf(':');
    this.#streamsPrefix = colon < 0 ? '' : name.slice(0, colon);
    const declared = attrs[colon < 0 ? 'xmlns' : `xmlns:${this.#streamsPrefix}`];
    const isClient = colon < 0 || attrs['xmlns'] === CLIENT_NAMESPACE;
    if (declared !== STREAMS || name.slice(colon + 1) !== 'stream' || !isClient) {
      this.fail('invalid-namespace', 'what answers there speaks no XMPP to clients');
      return;
    }
    this.#login?.started(attrs);
  }

  #element(element: XmlElement): void {
    if (this.#isOfStreams(element, 'error')) {
      this.#streamError(element);
      return;
    }
    const namespace = element.attrs['xmlns'] ?? CLIENT_NAMESPACE;
    if (this.#stage === 'up') {
      if (namespace === CLIENT_NAMESPACE && isStanzaName(element.name)) this.#events.onStanza(element);
      else if (namespace === SM_NAMESPACE) this.#management(element);
      return;
    }
    if (!this.#isAuthenticated) this.#authentication(element, namespace);
    else this.#negotiation(element, namespace);
  }

  /** Each step once, and in its order: a service that begins anew would make us work, or leave out its own proof. */
  #authentication(element: XmlElement, namespace: string): void {
    if (this.#isOfStreams(element, 'features') && !this.#hasBegunLogin) {
      const offered = (childOf(element, 'mechanisms', SASL)?.children ?? []).map((child) =>
        typeof child === 'string' ? '' : textOf(child).trim(),
      );
      if (this.#login?.mechanisms.some((name) => offered.includes(name)) === true) {
        this.#hasBegunLogin = true;
        this.#login.hand(only(element, SASL), 'features', STREAMS);
        return;
      }
      const names = offered
        .filter((name) => name !== '')
        .join(', ')
        .slice(0, 200);
      const reason = `the service offers no way to log in that is safe enough: ${names === '' ? 'none' : names}`;
      this.#finish({ reason, step: 'sasl', condition: 'no-mechanism' }, '</stream:stream>');
    } else if (namespace === SASL && element.name === 'failure') {
      const condition = conditionIn(element, SASL);
      const text = childOf(element, 'text', SASL);
      const reason = withWords(`the service refused the log-in: ${condition}`, text);
      this.#finish({ reason, step: 'sasl', condition }, '</stream:stream>');
    } else if (namespace === SASL && element.name === 'challenge' && this.#challenges === 0) {
      this.#challenges += 1;
      this.#login?.hand(element, element.name, SASL);
    } else if (namespace === SASL && element.name === 'success' && this.#hasBegunLogin) {
      this.#succeeded(element);
    } else {
      const name = element.name.slice(0, NAME_MAX);
      this.fail('bad-format', `the service sent something else than what belongs to a log-in now: ${name}`);
    }
  }

  #succeeded(success: XmlElement): void {
    const proof = Buffer.from(textOf(success), 'base64').toString('utf8');
    if (this.#login?.isProof(proof) !== true) {
      this.fail('not-authorized', 'the service does not know the password itself: it is not what it says it is');
      return;
    }
    this.#isAuthenticated = true;
    this.#stage = 'authenticated';
    // What follows belongs to a new stream (RFC 6120, section 6.4.6).
    this.#reader?.stop();
    this.#reader = undefined;
    this.#decoder = new TextDecoder('utf-8', { fatal: true });
    this.#login.hand(success, 'success', SASL);
  }

  #negotiation(element: XmlElement, namespace: string): void {
    if (this.#isOfStreams(element, 'features')) {
      if (this.#stage !== 'authenticated') return;
      this.#features = element;
      const { resume } = this.#options;
      if (resume !== undefined && this.#isCountingOffered()) {
        this.#stage = 'resuming';
        this.#raw({ name: 'resume', attrs: { xmlns: SM_NAMESPACE, previd: resume.id, h: `${resume.handled}` } });
      } else this.#bind();
    } else if (namespace === SM_NAMESPACE) this.#management(element);
    else if (namespace === CLIENT_NAMESPACE && isStanzaName(element.name)) this.#earlyStanza(element);
    // Nothing else is asked for here.
  }

  #management(element: XmlElement): void {
    const handled = stanzaCount(element.attrs['h']);
    switch (element.name) {
      case 'a':
        if (handled !== undefined && this.#stage === 'up') this.#events.onAcknowledged(handled);
        return;
      case 'r':
        if (this.#stage === 'up') this.#events.onAcknowledgeRequest();
        return;
      case 'resumed':
        if (this.#stage !== 'resuming' || element.attrs['previd'] !== this.#options.resume?.id) {
          this.fail('bad-format', 'the service goes on with another session than was asked for');
        } else this.#up({ kind: 'resumed', handled: handled ?? 0 });
        return;
      case 'failed':
        if (this.#stage === 'resuming') {
          this.#events.onResumeFailed(handled);
          this.#bind();
        } else if (this.#stage === 'enabling') this.#upAnew(false);
        return;
      case 'enabled':
        if (this.#stage !== 'enabling') return;
        this.#upAnew(true, sessionFrom(element));
        return;
      default:
    }
  }

  #bind(): void {
    const features = this.#features;
    if (this.#isOver() || features === undefined) return;
    this.#stage = 'binding';
    this.#login?.hand(only(features, 'urn:ietf:params:xml:ns:xmpp-bind'), 'features', STREAMS);
  }

  #earlyStanza(element: XmlElement): void {
    const { type, id } = element.attrs;
    const isAnswer = element.name === 'iq' && (type === 'result' || type === 'error');
    if (this.#stage !== 'binding' || !isAnswer || id === undefined || this.#login?.isWaitingFor(id) !== true) {
      if (this.#early.length < EARLY_MAX) this.#early.push(element);
      return;
    }
    if (type === 'error') {
      const error = childOf(element, 'error');
      const condition = error === undefined ? 'undefined-condition' : conditionIn(error, STANZA_ERRORS);
      this.#finish(
        { reason: `the service gives us no resource: ${condition}`, step: 'bind', condition },
        '</stream:stream>',
      );
      return;
    }
    this.#login.hand(element, 'iq', CLIENT_NAMESPACE);
  }

  #bound(text: string): void {
    if (this.#stage !== 'binding') return;
    const { jid } = this.#options;
    const bound = parseJid(text);
    if (bound?.resource === undefined || bound.local !== jid.local || bound.domain !== jid.domain) {
      const reason = 'the service logged us in as somebody else';
      this.#finish({ reason, step: 'bind', condition: 'not-authorized' }, '</stream:stream>');
      return;
    }
    this.#boundJid = bound;
    if (!this.#isCountingOffered()) {
      this.#upAnew(false);
      return;
    }
    this.#stage = 'enabling';
    this.#raw({ name: 'enable', attrs: { xmlns: SM_NAMESPACE, resume: 'true' } });
  }

  #upAnew(isCounted: boolean, session?: ResumableSession): void {
    const jid = this.#boundJid;
    if (jid !== undefined) this.#up({ kind: 'new', jid, isCounted, ...(session === undefined ? {} : { session }) });
  }

  #up(up: AccountStreamUp): void {
    this.#stage = 'up';
    this.#cancelDeadline();
    this.#events.onUp(up);
    const early = this.#early;
    this.#early = [];
    for (const stanza of early) if (!this.#isOver()) this.#events.onStanza(stanza);
  }

  #isCountingOffered(): boolean {
    return this.#features !== undefined && childOf(this.#features, 'sm', SM_NAMESPACE) !== undefined;
  }

  #raw(element: Omit<XmlElement, 'children'>): void {
    this.#socket?.write(writeXml({ ...element, children: [] }));
  }

  #isOfStreams(element: XmlElement, name: string): boolean {
    if (this.#streamsPrefix === '') return element.name === name && (element.attrs['xmlns'] ?? STREAMS) === STREAMS;
    return element.name === `${this.#streamsPrefix}:${name}`;
  }

  #streamError(error: XmlElement): void {
    const condition = conditionIn(error, STREAM_ERRORS);
    const reason = withWords(`the service ended the stream: ${condition}`, childOf(error, 'text', STREAM_ERRORS));
    const other = childOf(error, 'see-other-host', STREAM_ERRORS);
    const otherHost = other === undefined ? '' : textOf(other).trim().slice(0, 300);
    this.#finish({ reason, step: 'stream', condition, ...(otherHost === '' ? {} : { otherHost }) }, '</stream:stream>');
  }

  #failed(thrown: unknown): void {
    const reason = thrown instanceof Error && thrown.message !== '' ? thrown.message : 'the log-in failed';
    this.#finish({ reason });
  }

  #isOver(): boolean {
    return this.#stage === 'over';
  }

  /** The one way out of every stage. `last` is written before the socket closes; without it the socket is cut. */
  #finish(end: AccountStreamEnd, last?: string): void {
    if (this.#stage === 'over') return;
    this.#stage = 'over';
    this.#cancelDeadline();
    this.#reader?.stop();
    this.#giveUp.abort();
    const socket = this.#socket;
    this.#login?.letGo(new Error(end.reason));
    if (socket !== undefined && !socket.destroyed) {
      if (last === undefined) socket.destroy();
      else {
        socket.resume();
        socket.end(last);
        socket.once(
          'close',
          this.#options.clock.after(LINGER_MS, () => socket.destroy()),
        );
      }
    }
    this.#events.onEnd(end);
  }
}

/** The features with one of them left, so that the package deals with nothing else. */
function only(features: XmlElement, namespace: string): XmlElement {
  const children = features.children.filter((child) => typeof child !== 'string' && child.attrs['xmlns'] === namespace);
  return { ...features, children };
}

function sessionFrom({ attrs }: XmlElement): ResumableSession | undefined {
  const { id, resume, max } = attrs;
  if (id === undefined || id === '' || id.length > 4_000 || (resume !== 'true' && resume !== '1')) return undefined;
  const maxSeconds = stanzaCount(max);
  return maxSeconds === undefined ? { id } : { id, maxSeconds };
}

/** Whether a connection failed for what TLS asks, and not for the way there. */
function isSecurityFault(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  return (
    /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|EPROTO|HOSTNAME)/.test(code) ||
    thrown.message.includes('no TLS')
  );
}
