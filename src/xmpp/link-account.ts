import { writeXml, type XmlElement } from '../cpim/xml.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from '../core/ports.ts';
import { AccountSender } from './account/account-sender.ts';
import type { ConnectGate } from './account/connect-gate.ts';
import { accountPauseMs, outcomeOf, type Refusal } from './account/login-outcome.ts';
import { InboundCount } from './account/outbox.ts';
import type { ServiceTarget } from './account/service-address.ts';
import { formatJid, type Jid, parseJid } from './jid.ts';
import {
  AccountStream,
  type AccountStreamEnd,
  type AccountStreamUp,
  type ResumableSession,
  SM_NAMESPACE,
} from './link-account-stream.ts';
import type { LinkEvents, LinkState, XmppLink } from './link.ts';
import { LinkListener, whenHandled } from './link-listener.ts';
import { LinkStanding } from './link-standing.ts';
import { accountStanzaText } from './outgoing-stanza.ts';
import { CLIENT_NAMESPACE } from './stanza-content.ts';
import { ReadingHold } from './reading-hold.ts';

export type AccountLinkLimits = {
  /** Largest stanza, in and out, bytes of UTF-8 as written. */
  readonly stanzaBytesMax: number;
  /** Stanzas that may wait for confirmation at once. */
  readonly window: number;
  readonly windowBytes: number;
  /** Stanzas that came in and may be under way at once; over it nothing is read until half of them are done. */
  readonly inboundMax: number;
  /** Bytes of answers that may wait to be written; over it nothing is read. */
  readonly answerBytesMax: number;
};

export type AccountLinkOptions = {
  /** As routes name it. */
  readonly name: string;
  /** Bare JID of the account. */
  readonly jid: Jid;
  readonly password: string;
  /** Asked for with every session, so that a session that was lost is replaced and not doubled. */
  readonly resource: string;
  readonly targets: () => Promise<readonly ServiceTarget[]>;
  readonly addressesOf: (host: string) => Promise<readonly string[]>;
  readonly ca?: string;
  readonly allowPlain: boolean;
  /** Shared by the accounts of a service. */
  readonly gate: ConnectGate;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<AccountLinkLimits>;
};

export type AccountLinkEvents = LinkEvents & {
  /** The service does not let the account in, and is not asked again before `changePassword`. */
  onRefused?(refusal: Refusal): void;
};

const LIMITS: AccountLinkLimits = {
  stanzaBytesMax: 262_144,
  window: 256,
  windowBytes: 2_097_152,
  inboundMax: 100,
  answerBytesMax: 262_144,
};

/** Connecting, TLS, log-in and binding together, ms. */
const OPEN_MS = 20_000;
/** A stream that stood this long was a good one: the next pause is the first again, ms. */
const STOOD_WELL_MS = 10_000;
/** Many accounts tick: what is looked at can wait a second. */
const STEP_MS = 1_000;
/** How long a session without a stream is kept where the service does not say how long it keeps it, and at most, ms. */
const RESUMABLE_MS = 300_000;
const RESUMABLE_MAX_MS = 600_000;
/** How long what came in may take to be stored before a session goes on without waiting for it, ms. */
const SETTLE_MS = 10_000;

/**
 * An account on an XMPP service as a link (RFC 6120, XEP-0198). What it promises stands in `link.ts`: stanzas are in the
 * words of the service, `from` is the account or one of its resources.
 *
 * What a break leaves in doubt stays in doubt until it is known: where the service keeps the session it is gone on with,
 * and what was missed is written again, once. Nothing that came in is acknowledged before its handling has ended.
 */
export class AccountLink implements XmppLink {
  readonly name: string;
  readonly #options: AccountLinkOptions;
  readonly #limits: AccountLinkLimits;
  readonly #log: Log;
  readonly #jid: Jid;
  readonly #sender: AccountSender;
  #password: string;
  readonly #listener: LinkListener<AccountLinkEvents>;
  #stream: AccountStream | undefined;
  #inbound = new InboundCount();
  /** The one that goes on when there is a stream again. */
  #session: (ResumableSession & { readonly jid: Jid }) | undefined;
  #fullJid: Jid | undefined;
  #isResumed = false;
  #hasBeenUp = false;
  #isAckOwed = false;
  #ackOwedAt = 0;
  readonly #standing: LinkStanding;
  #refusal: Refusal | undefined;
  #failures = 0;
  #stoodMs = 0;
  #stopping = false;
  readonly #hold: ReadingHold;
  #otherHost: ServiceTarget | undefined;
  #isInGate = false;
  #firstTryEnded: () => void = () => undefined;
  #drained: () => void = () => undefined;
  #settled: () => void = () => undefined;
  #cancelPause: () => void = () => undefined;
  #cancelStep: () => void = () => undefined;
  #cancelKeeping: () => void = () => undefined;
  #leaveQueue: () => boolean = () => false;
  #lastReason: string | undefined;

  constructor(options: AccountLinkOptions) {
    this.name = options.name;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#log = options.log.child({ link: options.name });
    this.#jid = options.jid;
    this.#password = options.password;
    const { window, windowBytes, inboundMax, answerBytesMax } = this.#limits;
    this.#sender = new AccountSender({
      window,
      windowBytes,
      pingText: (id) => this.#pingText(id),
      askText: `<r xmlns="${SM_NAMESPACE}"/>`,
      onMoved: () => {
        this.#holdOrRead();
        this.#drained();
      },
    });
    this.#hold = new ReadingHold({ inboundMax, answersMax: answerBytesMax });
    this.#standing = new LinkStanding(options.clock);
    this.#listener = new LinkListener(this.#log);
  }

  /** Our full JID, while there is a session. */
  get fullJid(): Jid | undefined {
    return this.#fullJid;
  }

  /** Whether the stream that is up goes on with the session of the one before. */
  get isResumed(): boolean {
    return this.#isResumed;
  }

  /** Whether the service has let the account in since this process began: then it is its user's. */
  get hasBeenUp(): boolean {
    return this.#hasBeenUp;
  }

  /** Why the service does not let the account in; undefined where it does, or was not asked since. */
  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  start(events: AccountLinkEvents): Promise<void> {
    this.#listener.listen(events);
    return new Promise((resolve) => {
      this.#firstTryEnded = resolve;
      if (this.#refusal === undefined) this.#connectInTurn();
      else resolve();
    });
  }

  /** Does not connect: an earlier process has found that the service does not let the account in. */
  setRefused(refusal: Refusal): void {
    this.#refusal = refusal;
    this.#standing.become('down', refusal.reason);
  }

  /** Tries at once with another password. Resolves when that try has ended, either way. */
  changePassword(password: string): Promise<void> {
    this.#password = password;
    this.#refusal = undefined;
    this.#failures = 0;
    if (this.#stopping) return Promise.resolve();
    // What is up was let in by the old password.
    this.#session = undefined;
    this.#stream?.close('the password has been changed');
    this.#cancelPause();
    return new Promise((resolve) => {
      this.#firstTryEnded = resolve;
      this.#connectInTurn();
    });
  }

  async send(stanza: XmlElement): Promise<void> {
    if (this.#standing.at !== 'up' || this.#stopping) throw unreachable(this.#standing.reason ?? this.#standing.at);
    if (stanza.attrs['to'] === undefined) throw new GatewayError('internal', 'stanza to no address');
    const text = this.#written(stanza);
    const bytes = Buffer.byteLength(text);
    this.#log.trace(
      { stanza: stanza.name, stanzaId: stanza.attrs['id'] ?? '', jid: stanza.attrs['to'], bytes },
      'stanza sent',
    );
    return new Promise((taken, lost) => {
      this.#sender.send({ text, bytes, taken, lost });
    });
  }

  post(stanza: XmlElement): void {
    if (stanza.attrs['to'] === undefined) {
      this.#log.error({ stanza: stanza.name }, 'answer to no address');
      return;
    }
    this.broadcast(stanza);
  }

  /** As `post`, also without `to`: the service itself is spoken to, or everybody who may see the account. */
  broadcast(stanza: XmlElement): void {
    if (this.#standing.at !== 'up') return;
    let text: string;
    try {
      text = this.#written(stanza);
    } catch (thrown) {
      this.#log.error({ error: thrown, stanza: stanza.name }, 'answer cannot be written');
      return;
    }
    this.#sender.post({ text, bytes: Buffer.byteLength(text) });
    this.#holdOrRead();
  }

  state(): LinkState {
    return this.#standing.with(this.#sender.unconfirmed);
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#cancelPause();
    this.#cancelKeeping();
    if (this.#leaveQueue()) this.#isInGate = false;
    this.#sender.flushNow();
    if (this.#standing.at === 'up' && this.#owes()) {
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(graceMs, resolve);
        this.#drained = this.#settled = () => {
          if (this.#standing.at === 'up' && this.#owes()) return;
          cancel();
          resolve();
        };
      });
    }
    const stream = this.#stream;
    if (this.#standing.at === 'up')
      stream?.close('this server stops', this.#sender.isCounted ? this.#acknowledgement() : '');
    else stream?.abort('this server stops');
    this.#sender.rejectAll(unreachable('this server stops'));
    this.#standing.become('stopped', 'stopped');
    this.#tryEnded();
  }

  #connectInTurn(): void {
    if (this.#stopping || this.#stream !== undefined || this.#isInGate) return;
    this.#isInGate = true;
    this.#standing.become('connecting', this.#standing.reason);
    this.#leaveQueue = this.#options.gate.enter(() => void this.#connect());
  }

  async #connect(): Promise<void> {
    await this.#inboundSettled();
    if (this.#stopping) {
      this.#tryEnded();
      return;
    }
    const { jid, resource, targets, addressesOf, ca, allowPlain, clock } = this.#options;
    const other = this.#otherHost;
    this.#otherHost = undefined;
    const session = this.#session;
    const stream: AccountStream = new AccountStream(
      {
        jid,
        resource,
        password: this.#password,
        targets: other === undefined ? targets : () => Promise.resolve([other]),
        addressesOf,
        ...(ca === undefined ? {} : { ca }),
        allowPlain,
        ...(session === undefined ? {} : { resume: { id: session.id, handled: this.#inbound.handled } }),
        stanzaUnitsMax: this.#limits.stanzaBytesMax,
        openMs: OPEN_MS,
        clock,
      },
      {
        onUp: (up) => this.#up(up),
        onResumeFailed: (handled) => this.#sessionLost(handled),
        onStanza: (stanza) => this.#stanza(stanza),
        onAcknowledged: (handled) => {
          if (!this.#sender.acknowledged(handled)) this.#miscounted();
        },
        onAcknowledgeRequest: () => this.#acknowledge(),
        onDrain: () => this.#sender.flushSoon(),
        onEnd: (end) => this.#ended(end),
      },
    );
    this.#stream = stream;
    stream.open();
  }

  /** A session goes on when what came in before is dealt with: what is not, comes once more otherwise. */
  #inboundSettled(): Promise<void> {
    if (this.#session === undefined || this.#inbound.isSettled) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(SETTLE_MS, resolve);
      this.#settled = () => {
        if (!this.#inbound.isSettled) return;
        cancel();
        resolve();
      };
    });
  }

  #up(up: AccountStreamUp): void {
    this.#cancelKeeping();
    this.#lastReason = undefined;
    this.#refusal = undefined;
    this.#stoodMs = 0;
    this.#isAckOwed = false;
    this.#isResumed = up.kind === 'resumed';
    if (up.kind === 'new') {
      this.#sessionLost(undefined);
      this.#inbound = new InboundCount();
      this.#sender.begin(up.isCounted);
      this.#fullJid = up.jid;
      this.#session = up.session === undefined ? undefined : { ...up.session, jid: up.jid };
    } else if (!this.#sender.counted(up.handled)) {
      this.#miscounted();
      return;
    }
    this.#hasBeenUp = true;
    this.#standing.become('up');
    this.#log.info({ jid: formatJid(this.#jid), isResumed: this.#isResumed }, 'account up');
    this.#tryEnded();
    this.#step();
    if (this.#stream !== undefined) this.#sender.attach(this.#stream);
    this.#holdOrRead();
    this.#listener.tell((events) => events.onUp());
  }

  /** The session that was kept is over. What the far side says that it has handled of it was taken. */
  #sessionLost(handled: number | undefined): void {
    this.#session = undefined;
    if (handled !== undefined) this.#sender.counted(handled);
    this.#sender.rejectAll(unreachable('the session was lost'));
  }

  /** Everything that follows from the end of a stream, whatever ended it. */
  #ended(end: AccountStreamEnd): void {
    const wasUp = this.#standing.at === 'up';
    const outcome = outcomeOf(end);
    const remedy = outcome.kind === 'slowly' ? outcome.remedy : undefined;
    const reason = outcome.kind === 'never' ? outcome.refusal.reason : withRemedy(end.reason, remedy);
    this.#stream = undefined;
    this.#cancelStep();
    this.#sender.detach();
    this.#hold.forget();
    this.#fullJid = undefined;
    this.#standing.become(this.#stopping ? 'stopped' : 'down', reason);
    if (this.#stopping || outcome.kind === 'never' || this.#session === undefined) {
      this.#session = undefined;
      this.#sender.rejectAll(unreachable(reason));
    } else if (wasUp) this.#keepSession(this.#session);
    this.#drained();
    if (wasUp) this.#listener.tell((events) => events.onDown(reason));
    this.#tryEnded();
    if (this.#stopping) return;
    if (outcome.kind === 'never') {
      this.#refused(outcome.refusal);
      return;
    }
    if (end.condition === 'see-other-host' && end.otherHost !== undefined) this.#otherHost = targetFrom(end.otherHost);
    this.#failures = wasUp && this.#stoodMs >= STOOD_WELL_MS ? 0 : this.#failures;
    const pauseMs = accountPauseMs(this.#failures, remedy !== undefined, this.#options.random);
    this.#failures += 1;
    this.#tellLoss(end, remedy, wasUp, pauseMs);
    this.#cancelPause = this.#options.clock.after(pauseMs, () => this.#connectInTurn());
  }

  #keepSession({ maxSeconds }: ResumableSession): void {
    const keptMs = Math.min(RESUMABLE_MAX_MS, maxSeconds === undefined ? RESUMABLE_MS : maxSeconds * 1_000);
    this.#cancelKeeping = this.#options.clock.after(keptMs, () => this.#sessionLost(undefined));
  }

  #refused(refusal: Refusal): void {
    this.#refusal = refusal;
    const fields = { jid: formatJid(this.#jid), condition: refusal.condition, reason: refusal.reason };
    this.#log.warn(fields, 'account refused: not tried again before its password is changed');
    this.#listener.tell((events) => events.onRefused?.(refusal));
  }

  /** Said loudly once per reason, not with every attempt. */
  #tellLoss(end: AccountStreamEnd, remedy: string | undefined, wasUp: boolean, pauseMs: number): void {
    const isNews = this.#lastReason !== end.reason;
    this.#lastReason = end.reason;
    const fields = { jid: formatJid(this.#jid), reason: end.reason, againInMs: pauseMs };
    if (remedy !== undefined) this.#log[isNews ? 'warn' : 'debug']({ ...fields, remedy }, 'account not let in');
    else if (wasUp) this.#log.info(fields, 'account lost');
    else this.#log[isNews ? 'warn' : 'debug'](fields, 'account cannot be opened');
  }

  #stanza(stanza: XmlElement): void {
    const inbound = this.#inbound;
    const number = inbound.begin();
    const settle = (): void => {
      inbound.done(number);
      if (this.#inbound !== inbound) return;
      this.#holdOrRead();
      if (this.#isAckOwed && inbound.handled >= this.#ackOwedAt) this.#acknowledge();
      this.#settled();
    };
    if (this.#isPulse(stanza)) {
      settle();
      return;
    }
    if (whenHandled(this.#listener.stanza(stanza), this.#log, settle)) this.#holdOrRead();
    else settle();
  }

  /** Where nothing is counted: the answer to a ping of ours, by id and by sender, says that all before it was handled. */
  #isPulse({ name, attrs: { id, from, type } }: XmlElement): boolean {
    if (name !== 'iq' || id === undefined || !this.#sender.isPing(id)) return false;
    if (this.#sender.isCounted || (type !== 'result' && type !== 'error')) return true;
    const sender = from === undefined ? this.#jid : parseJid(from);
    if (sender?.domain !== this.#jid.domain || (sender.local !== undefined && sender.local !== this.#jid.local)) {
      this.#log.warn({ stanzaId: id, jid: from ?? '' }, 'answer to a ping from the wrong sender ignored');
      return true;
    }
    if (!this.#sender.ponged(id)) this.#miscounted();
    return true;
  }

  /** The two do not speak of the same session. */
  #miscounted(): void {
    this.#session = undefined;
    this.#stream?.fail('undefined-condition', 'the service has counted more than was sent');
  }

  /** Says what has been handled; what is under way is said when it is done. */
  #acknowledge(): void {
    const { received, isSettled } = this.#inbound;
    this.#isAckOwed = !isSettled;
    this.#ackOwedAt = received;
    this.#stream?.answer(this.#acknowledgement());
  }

  #acknowledgement(): string {
    return `<a xmlns="${SM_NAMESPACE}" h="${this.#inbound.handled}"/>`;
  }

  /** Whether anything has still to be written, confirmed, or handled. */
  #owes(): boolean {
    return this.#sender.owes || !this.#inbound.isSettled;
  }

  #pingText(id: string): string {
    const to = formatJid({ domain: this.#jid.domain });
    const ping: XmlElement = {
      name: 'iq',
      attrs: { type: 'get', id, to },
      children: [{ name: 'ping', attrs: { xmlns: 'urn:xmpp:ping' }, children: [] }],
    };
    return writeXml(ping);
  }

  /** Time goes on for the stream. One timer for all that waits. */
  #step(): void {
    this.#cancelStep = this.#options.clock.after(STEP_MS, () => {
      const stream = this.#stream;
      if (stream === undefined || this.#standing.at !== 'up') return;
      this.#stoodMs += STEP_MS;
      const dead = this.#sender.passed(STEP_MS, this.#hold.isHolding);
      if (dead !== undefined) {
        stream.abort(dead);
        return;
      }
      this.#step();
    });
  }

  /** Stops reading while too much is under way, reads on when enough of it is done. */
  #holdOrRead(): void {
    this.#hold.look(this.#inbound.received - this.#inbound.handled, this.#sender.answerBytes, this.#stream);
  }

  /** The stanza's text; promise 4: nothing that a service ends the stream for. */
  #written(stanza: XmlElement): string {
    return accountStanzaText(stanza, this.#jid, CLIENT_NAMESPACE, this.#limits.stanzaBytesMax);
  }

  #tryEnded(): void {
    if (this.#isInGate) {
      this.#isInGate = false;
      this.#options.gate.leave();
    }
    this.#firstTryEnded();
  }
}

function unreachable(reason: string): GatewayError {
  return new GatewayError('peer-unreachable', `account is not up: ${reason}`);
}

function withRemedy(reason: string, remedy: string | undefined): string {
  return remedy === undefined ? reason : `${reason}; ${remedy}`;
}

/** RFC 6120, section 4.9.3.19: `host` or `host:port`, an IPv6 address in brackets. TLS asks for the domain's name all the same. */
function targetFrom(text: string): ServiceTarget | undefined {
  const [, host = '', port] = /^(\[[0-9A-Fa-f:.]+\]|[^\s:[\]]+)(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  if (host === '') return undefined;
  const number = Number(port ?? 5222);
  return number < 1 || number > 65_535
    ? undefined
    : { host: host.replace(/^\[|\]$/g, ''), port: number, isDirect: false };
}
