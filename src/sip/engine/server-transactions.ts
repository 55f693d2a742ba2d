import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import { compactText } from '../compact-text.ts';
import type { SipReply, SipRequest } from '../message.ts';
import type { SipHandler } from '../stack.ts';
import { answerBytesOr500, answerChannel, foreignField, type AnswerStyle } from './answers.ts';
import type { Channel } from './channel.ts';
import type { EngineLimits } from './limits.ts';
import type { ParsedRequest } from './parser.ts';
import { Timed, type TimerWheel } from './timer-wheel.ts';
import { BRANCH_COOKIE } from './tokens.ts';
import { TRANSACTION_MS, TRYING_AFTER_MS } from './timers.ts';

export type ServerContext = {
  readonly wheel: TimerWheel;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: EngineLimits;
  readonly style: AnswerStyle;
  readonly handler: SipHandler;
  /** Sends an answer whose connection is gone to where the Via says (RFC 3261, section 18.2.2). */
  readonly sendElsewhere: (bytes: Buffer, request: ParsedRequest, channel: Channel) => void;
};

/** Requests that are the same but for the way they took; more of them at once is no honest forking. */
const SIBLINGS_MAX = 8;
const RETRY_AFTER_SECONDS = 5;
/** What a sign of life may take on its way beyond the time that was told (RFC 5626, section 5.4). */
const FLOW_GRACE_MS = 10_000;

/** One request and its answer (RFC 3261, section 17.2.2). */
class ServerTransaction extends Timed {
  readonly key: string;
  /** Which of the requests with this key it is: where it came from and its branch. */
  readonly identity: string;
  readonly sentBy: string;
  sibling: ServerTransaction | undefined;
  /** What it counts for once it is answered, bytes. */
  size = 0;
  readonly #owner: ServerTransactions;
  /** Where the answer goes, and the answer: the last provisional one, then the final one. */
  channel: Channel;
  bytes: Buffer | undefined;
  /** The time for the 100 has come. */
  isTrying = false;
  /** Dropped once answered: the bytes are all that is needed then. */
  request: ParsedRequest | undefined;

  constructor(owner: ServerTransactions, identity: RequestIdentity, channel: Channel, request: ParsedRequest) {
    super();
    this.#owner = owner;
    this.key = identity.key;
    this.identity = identity.identity;
    this.sentBy = identity.sentBy;
    this.channel = channel;
    this.request = request;
  }

  override onTimer(): void {
    this.#owner.timerOf(this);
  }
}

type RequestIdentity = { readonly key: string; readonly identity: string; readonly sentBy: string };

/**
 * Server transactions of every method but INVITE, ACK and CANCEL.
 *
 * Requests are looked up by what a forked or repeated one has in common (From with its tag, Call-ID, CSeq, method,
 * Request-URI, To tag), then told apart by branch, sent-by and source: clients are about that repeat each other's
 * branches. A retransmission gets the same bytes again. The same request with another branch is a client's second try
 * when it comes from the same sent-by, and goes to the handler; from elsewhere it is a merged one and is answered 482
 * (RFC 3261, section 8.2.2.2).
 */
export class ServerTransactions {
  readonly #context: ServerContext;
  readonly #transactions = new Map<string, ServerTransaction>();
  #kept = 0;
  /** What the answered ones among them hold. */
  #keptBytes = 0;
  #underWay = 0;
  #isRefusing = false;
  #onIdle: (() => void) | undefined;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** Requests the handler is busy with. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Transactions in memory. */
  get kept(): number {
    return this.#kept;
  }

  /** Answers 503 from now on; resolves when the handler has nothing to do any more. */
  refuse(): Promise<void> {
    this.#isRefusing = true;
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  receive(request: ParsedRequest, channel: Channel): void {
    const identity = identityOf(request, channel);
    const first = this.#transactions.get(identity.key);
    let count = 0;
    let isMerged = false;
    for (let other = first; other !== undefined; other = other.sibling) {
      if (other.identity === identity.identity) {
        // Absorbed; before there is an answer, silently (RFC 3261, section 17.2.2).
        if (other.bytes !== undefined) other.channel.send(other.bytes);
        return;
      }
      count++;
      if (other.sentBy !== identity.sentBy) isMerged = true;
    }
    if (isMerged && !request.to.params.has('tag')) {
      this.#answerAtOnce(request, channel, { status: 482, reason: 'Request Merged' });
    } else if (
      this.#isRefusing ||
      this.#underWay >= this.#context.limits.requestsUnderWayMax ||
      count >= SIBLINGS_MAX
    ) {
      this.#answerAtOnce(request, channel, overloaded());
    } else {
      const transaction = new ServerTransaction(this, identity, answerChannel(channel, request.via), request);
      transaction.sibling = first;
      this.#transactions.set(identity.key, transaction);
      this.#kept++;
      this.#context.wheel.arm(transaction, TRYING_AFTER_MS);
      void this.#handle(transaction, request, channel);
    }
  }

  /** Runs the handler for a request outside these transactions (INVITE), counted like any other; never rejects. */
  async run(request: ParsedRequest, channel: Channel): Promise<SipReply> {
    if (this.#isRefusing || this.#underWay >= this.#context.limits.requestsUnderWayMax) return overloaded();
    this.#underWay++;
    try {
      return await this.#reply(request, channel);
    } finally {
      this.#oneLess();
    }
  }

  timerOf(transaction: ServerTransaction): void {
    const { request } = transaction;
    if (request === undefined || transaction.isTrying) {
      // Timer J; or nobody waits for the answer any more (RFC 4320, section 4.2).
      this.#forget(transaction);
      return;
    }
    transaction.isTrying = true;
    transaction.bytes = this.#written(request, transaction.channel, { status: 100 });
    if (transaction.bytes !== undefined) transaction.channel.send(transaction.bytes);
    this.#context.wheel.arm(transaction, TRANSACTION_MS - TRYING_AFTER_MS);
  }

  async #handle(transaction: ServerTransaction, request: ParsedRequest, channel: Channel): Promise<void> {
    this.#underWay++;
    const reply = await this.#reply(request, channel);
    const { wheel, limits } = this.#context;
    const bytes = this.#written(request, channel, reply);
    transaction.bytes = bytes;
    transaction.request = undefined;
    if (bytes !== undefined && !transaction.channel.send(bytes)) this.#context.sendElsewhere(bytes, request, channel);
    if (reply.flowTimerSeconds !== undefined) channel.expectEvery?.(reply.flowTimerSeconds * 1_000 + FLOW_GRACE_MS);
    // Timer J is zero on streams (RFC 3261, section 17.2.2).
    const size = (bytes?.length ?? 0) + transaction.key.length + transaction.identity.length;
    const isTooMuch =
      this.#kept > limits.transactionsKeptMax || this.#keptBytes + size > limits.transactionsKeptBytesMax;
    if (channel.isReliable || isTooMuch) this.#forget(transaction);
    else if (transaction.wheelNext !== transaction) {
      transaction.size = size;
      this.#keptBytes += size;
      wheel.arm(transaction, TRANSACTION_MS);
    }
    this.#oneLess();
  }

  async #reply(request: ParsedRequest, channel: Channel): Promise<SipReply> {
    const { handler, clock, log } = this.#context;
    const { method, uri, headers, body } = request;
    const seen: SipRequest = { method, uri, headers, body, flow: channel.flow, receivedAtMs: clock.nowMs() };
    try {
      const reply = await handler(seen);
      const foreign = reply.headers === undefined ? undefined : foreignField(reply.headers);
      if (foreign === undefined && reply.status >= 200) return reply;
      log.error({ field: foreign, status: reply.status }, 'handler answered with what only the engine may set');
    } catch (error) {
      log.error({ error, callId: headers.get('Call-ID') ?? '' }, 'handler failed');
    }
    return { status: 500 };
  }

  #written(request: ParsedRequest, channel: Channel, reply: SipReply): Buffer | undefined {
    const { style, log } = this.#context;
    return answerBytesOr500(request, channel.flow, reply, style, log);
  }

  #answerAtOnce(request: ParsedRequest, channel: Channel, reply: SipReply): void {
    const bytes = this.#written(request, channel, reply);
    if (bytes !== undefined) answerChannel(channel, request.via).send(bytes);
  }

  #forget(transaction: ServerTransaction): void {
    const first = this.#transactions.get(transaction.key);
    if (first === undefined) return;
    this.#context.wheel.disarm(transaction);
    this.#keptBytes -= transaction.size;
    transaction.size = 0;
    if (first === transaction) {
      if (transaction.sibling === undefined) this.#transactions.delete(transaction.key);
      else this.#transactions.set(transaction.key, transaction.sibling);
      this.#kept--;
      return;
    }
    for (let other: ServerTransaction | undefined = first; other !== undefined; other = other.sibling) {
      if (other.sibling !== transaction) continue;
      other.sibling = transaction.sibling;
      this.#kept--;
      return;
    }
  }

  #oneLess(): void {
    this.#underWay--;
    if (this.#underWay === 0) this.#onIdle?.();
  }
}

function overloaded(): SipReply {
  return { status: 503, headers: [['Retry-After', String(RETRY_AFTER_SECONDS)]] };
}

/**
 * What makes two requests one (RFC 3261, section 17.2.3). A branch without the cookie says nothing by itself: then
 * the whole topmost Via counts, beside what is in the key anyway.
 */
function identityOf(request: ParsedRequest, channel: Channel): RequestIdentity {
  const { via, from, to, cseq, headers } = request;
  const branch = via.params.get('branch');
  const fromTag = from.params.get('tag') ?? '';
  const toTag = to.params.get('tag') ?? '';
  const callId = headers.get('Call-ID') ?? '';
  const way = typeof branch === 'string' && branch.startsWith(BRANCH_COOKIE) ? branch : (headers.get('Via') ?? '');
  const sentBy = via.port === undefined ? via.host : `${via.host}:${via.port}`;
  const what = `${request.method} ${request.uri} ${from.uri} ${fromTag} ${toTag} ${callId} ${cseq.number}`;
  const text = compactText(`${what} ${sentBy} ${channel.flow.id} ${way}`);
  const sentByStart = what.length + 1;
  const sentByEnd = sentByStart + sentBy.length;
  return {
    key: text.slice(0, what.length),
    identity: text.slice(sentByStart),
    sentBy: text.slice(sentByStart, sentByEnd),
  };
}
