import type { Log } from '../../core/log.ts';
import type { SipReply } from '../message.ts';
import { answerBytesOr500, answerChannel, type AnswerStyle } from './answers.ts';
import type { Channel } from './channel.ts';
import type { ParsedRequest } from './parser.ts';
import type { ServerTransactions } from './server-transactions.ts';
import { Timed, type TimerWheel } from './timer-wheel.ts';
import { T1_MS, T2_MS, TRANSACTION_MS } from './timers.ts';

export type InviteContext = {
  readonly wheel: TimerWheel;
  readonly log: Log;
  readonly style: AnswerStyle;
  /** Runs the handler; never rejects. */
  readonly run: ServerTransactions['run'];
  /** More than this at once are answered 503. */
  readonly transactionsMax: number;
};

/** An INVITE on its way to a final answer, and its answer on its way to an ACK (RFC 3261, section 17.2.1). */
class InviteTransaction extends Timed {
  readonly key: string;
  readonly request: ParsedRequest;
  readonly source: Channel;
  readonly channel: Channel;
  bytes: Buffer | undefined;
  phase: 'proceeding' | 'completed' | 'accepted' | 'confirmed' = 'proceeding';
  /** Whether 100 was sent: after it the client repeats its INVITE no more, so that what follows is ours to repeat. */
  isTrying = false;
  intervalMs = T1_MS;
  passedMs = 0;
  readonly #owner: InviteTransactions;

  constructor(owner: InviteTransactions, key: string, request: ParsedRequest, source: Channel) {
    super();
    this.#owner = owner;
    this.key = key;
    this.request = request;
    this.source = source;
    this.channel = answerChannel(source, request.via);
  }

  override onTimer(): void {
    this.#owner.timerOf(this);
  }
}

/** A handler that takes longer gets the client told to wait (RFC 3261, section 17.2.1). */
const TRYING_AFTER_MS = 200;

/**
 * Server transactions of INVITE with their ACK and CANCEL, as far as a server without sessions needs them: one final
 * answer, and 100 before it when it takes longer (RFC 3261, section 17.2.1; RFC 6026, section 7.1).
 *
 * Over UDP a final answer is repeated until it is acknowledged only after a 100. Without one the client itself repeats
 * the INVITE until it has an answer, and each repetition draws one: whoever forges a source address gets one packet
 * sent there for each of his own, not the twelve of timer G.
 */
export class InviteTransactions {
  readonly #context: InviteContext;
  readonly #transactions = new Map<string, InviteTransaction>();

  constructor(context: InviteContext) {
    this.#context = context;
  }

  /** Takes an INVITE, an ACK or a CANCEL. */
  receive(request: ParsedRequest, channel: Channel): void {
    const known = this.#transactions.get(keyOf(request));
    if (request.method === 'ACK') this.#acknowledge(known);
    else if (request.method === 'CANCEL') this.#cancel(known, request, channel);
    else if (known !== undefined) this.#repeat(known);
    else if (this.#transactions.size >= this.#context.transactionsMax) {
      this.#answer(request, channel, { status: 503, headers: [['Retry-After', '5']] });
    } else this.#begin(request, channel);
  }

  timerOf(transaction: InviteTransaction): void {
    const { wheel } = this.#context;
    if (transaction.phase === 'proceeding') {
      transaction.isTrying = true;
      this.#send(transaction, { status: 100 });
      return;
    }
    if (transaction.phase !== 'completed') {
      this.#transactions.delete(transaction.key);
      return;
    }
    transaction.passedMs += transaction.intervalMs;
    // Timer H: no ACK will come any more.
    if (transaction.passedMs >= TRANSACTION_MS) {
      this.#transactions.delete(transaction.key);
      return;
    }
    // Timer G, over UDP only.
    if (transaction.isTrying && !transaction.channel.isReliable) this.#repeat(transaction);
    transaction.intervalMs = Math.min(2 * transaction.intervalMs, T2_MS, TRANSACTION_MS - transaction.passedMs);
    wheel.arm(transaction, transaction.intervalMs);
  }

  #begin(request: ParsedRequest, channel: Channel): void {
    const transaction = new InviteTransaction(this, keyOf(request), request, channel);
    this.#transactions.set(transaction.key, transaction);
    this.#context.wheel.arm(transaction, TRYING_AFTER_MS);
    void this.#context.run(request, channel).then((reply) => this.#finish(transaction, reply));
  }

  #finish(transaction: InviteTransaction, reply: SipReply): void {
    if (transaction.phase !== 'proceeding') return;
    transaction.phase = reply.status >= 300 ? 'completed' : 'accepted';
    this.#send(transaction, reply);
    // Timer L after a 2xx: its ACK is a transaction of its own.
    this.#context.wheel.arm(transaction, transaction.phase === 'completed' ? T1_MS : TRANSACTION_MS);
  }

  #acknowledge(known: InviteTransaction | undefined): void {
    if (known?.phase !== 'completed') return;
    known.phase = 'confirmed';
    // Timer I: ACKs that come twice are absorbed.
    this.#context.wheel.arm(known, T2_MS);
  }

  #cancel(known: InviteTransaction | undefined, request: ParsedRequest, channel: Channel): void {
    this.#answer(request, channel, { status: known === undefined ? 481 : 200 });
    if (known !== undefined) this.#finish(known, { status: 487 });
  }

  #send(transaction: InviteTransaction, reply: SipReply): void {
    const { style, log } = this.#context;
    transaction.bytes = answerBytesOr500(transaction.request, transaction.source.flow, reply, style, log);
    if (transaction.bytes !== undefined) transaction.channel.send(transaction.bytes);
  }

  #repeat(transaction: InviteTransaction): void {
    if (transaction.bytes !== undefined && transaction.phase !== 'confirmed')
      transaction.channel.send(transaction.bytes);
  }

  #answer(request: ParsedRequest, channel: Channel, reply: SipReply): void {
    const { style, log } = this.#context;
    const bytes = answerBytesOr500(request, channel.flow, reply, style, log);
    if (bytes !== undefined) answerChannel(channel, request.via).send(bytes);
  }
}

/** ACK and CANCEL have branch and sent-by of their INVITE (RFC 3261, sections 9.1 and 17.1.1.3). */
function keyOf(request: ParsedRequest): string {
  const { via, cseq, headers } = request;
  const branch = via.params.get('branch');
  return `${via.host} ${via.port ?? 5060} ${String(branch)} ${headers.get('Call-ID') ?? ''} ${cseq.number}`;
}
