import type { Log } from '../../core/log.ts';
import type { SipResponse } from '../message.ts';
import type { Channel, Rider } from './channel.ts';
import type { ParsedResponse } from './parser.ts';
import { Timed, type TimerWheel } from './timer-wheel.ts';
import { T1_MS, T2_MS } from './timers.ts';

/** How one request to one target ended. */
export type Outcome =
  | { readonly kind: 'response'; readonly response: SipResponse }
  /** Nothing final in time; `wasHeard`: there was a provisional response. */
  | { readonly kind: 'timeout'; readonly wasHeard: boolean }
  /** The connection was refused or lost; `wasOpen`: it had been open, so that the request may have arrived. */
  | { readonly kind: 'lost'; readonly wasOpen: boolean }
  | { readonly kind: 'stopped' };

export type ClientRequest = {
  readonly branch: string;
  readonly method: string;
  readonly sentBy: string;
  /** How many Via values the request has: ours, and those of whoever it is handed on for. */
  readonly viaCount: number;
  readonly bytes: Buffer;
  readonly channel: Channel;
  /** How long this target is given, ms. */
  readonly patienceMs: number;
};

/** A non-INVITE client transaction (RFC 3261, section 17.1.2). Timer K is not needed: strays are dropped anyway. */
class ClientTransaction extends Timed implements Rider {
  readonly request: ClientRequest;
  readonly #owner: ClientTransactions;
  readonly #settle: (outcome: Outcome) => void;
  intervalMs = T1_MS;
  /** On the wheel's clock. */
  readonly deadlineMs: number;
  wasHeard = false;

  constructor(owner: ClientTransactions, request: ClientRequest, nowMs: number, settle: (outcome: Outcome) => void) {
    super();
    this.#owner = owner;
    this.request = request;
    this.deadlineMs = nowMs + request.patienceMs;
    this.#settle = settle;
  }

  override onTimer(): void {
    this.#owner.timerOf(this);
  }

  connectionLost(wasOpen: boolean): void {
    this.#owner.end(this, { kind: 'lost', wasOpen });
  }

  settle(outcome: Outcome): void {
    this.#settle(outcome);
  }
}

/** All requests of this server that wait for their final response, by branch. */
export class ClientTransactions {
  readonly #wheel: TimerWheel;
  readonly #log: Log;
  readonly #transactions = new Map<string, ClientTransaction>();

  constructor(wheel: TimerWheel, log: Log) {
    this.#wheel = wheel;
    this.#log = log;
  }

  get waiting(): number {
    return this.#transactions.size;
  }

  /** Sends the request and waits; resolves always, once. */
  run(request: ClientRequest): Promise<Outcome> {
    return new Promise((resolve) => {
      const transaction = new ClientTransaction(this, request, this.#wheel.elapsedMs, resolve);
      this.#transactions.set(request.branch, transaction);
      const { channel } = request;
      channel.board(transaction);
      if (!channel.send(request.bytes)) this.end(transaction, { kind: 'lost', wasOpen: false });
      else this.#arm(transaction);
    });
  }

  /**
   * Takes a response. It counts when branch, sent-by and CSeq method are those of a request that waits, and it comes
   * over the same transport from the address the request went to; anything else is dropped (RFC 3261, sections
   * 17.1.3 and 18.1.2). A To tag is not asked for: there are clients that forget it.
   */
  receive(response: ParsedResponse, channel: Channel): void {
    const branch = response.via.params.get('branch');
    const transaction = typeof branch === 'string' ? this.#transactions.get(branch) : undefined;
    if (transaction === undefined || !isFor(transaction.request, response, channel)) {
      const { remoteAddress } = channel.flow;
      this.#log.debug({ peer: remoteAddress, status: response.status }, 'stray response dropped');
      return;
    }
    if (response.status < 200) {
      transaction.wasHeard = true;
      transaction.intervalMs = T2_MS;
      return;
    }
    const { status, reason, headers, body } = response;
    this.end(transaction, { kind: 'response', response: { status, reason, headers, body, flow: channel.flow } });
  }

  timerOf(transaction: ClientTransaction): void {
    const { request } = transaction;
    if (transaction.deadlineMs <= this.#wheel.elapsedMs) {
      const isUnopened = request.channel.isReliable && request.channel.flow.id === '';
      this.end(
        transaction,
        isUnopened ? { kind: 'lost', wasOpen: false } : { kind: 'timeout', wasHeard: transaction.wasHeard },
      );
      return;
    }
    // Timer E; only UDP has one.
    request.channel.send(request.bytes);
    transaction.intervalMs = Math.min(2 * transaction.intervalMs, T2_MS);
    this.#arm(transaction);
  }

  end(transaction: ClientTransaction, outcome: Outcome): void {
    const { branch, channel } = transaction.request;
    if (!this.#transactions.delete(branch)) return;
    this.#wheel.disarm(transaction);
    channel.leave(transaction);
    transaction.settle(outcome);
  }

  /** Ends all of them. */
  stop(): void {
    for (const transaction of [...this.#transactions.values()]) this.end(transaction, { kind: 'stopped' });
  }

  #arm(transaction: ClientTransaction): void {
    const leftMs = transaction.deadlineMs - this.#wheel.elapsedMs;
    const { isReliable } = transaction.request.channel;
    this.#wheel.arm(transaction, isReliable ? leftMs : Math.min(transaction.intervalMs, leftMs));
  }
}

function isFor(request: ClientRequest, response: ParsedResponse, channel: Channel): boolean {
  const { via, cseq, headers } = response;
  if (cseq.method !== request.method) return false;
  if ((via.port === undefined ? via.host : `${via.host}:${via.port}`) !== request.sentBy) return false;
  // A response with a Via more was meant for somebody behind us, and nobody is (RFC 3261, section 8.1.3.3).
  if (headers.all('Via').length !== request.viaCount) return false;
  const asked = request.channel.flow;
  const { flow } = channel;
  return flow.transport === asked.transport && flow.remoteAddress === asked.remoteAddress;
}
