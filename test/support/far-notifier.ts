import { GatewayError } from '../../src/core/errors.ts';
import type { Log } from '../../src/core/log.ts';
import type { Records } from '../../src/core/ports.ts';
import { pairKey, type Pair, type UpstreamReport } from '../../src/core/presence/subscription.ts';
import { notifyHandler } from '../../src/sip/events/notify-handler.ts';
import { SipSubscriber, type SipSubscriberDeps } from '../../src/sip/events/subscriber.ts';
import type { UpstreamRecord } from '../../src/sip/events/subscriber-records.ts';
import type { HeaderField, SipFlow, SipOutgoing, SipReply } from '../../src/sip/message.ts';
import { statusFromError } from '../../src/sip/status.ts';
import { anAddress } from './builders.ts';
import { FakeClock, settled } from './fake-clock.ts';
import { FakeStack, type Answer } from './fake-stack.ts';
import { MemoryRecordStore } from './memory-records.ts';
import { RecordingLog } from './recording-log.ts';
import { seededRandom } from './seeded-random.ts';
import { aRequest } from './sip-request.ts';

/** Where the presence server of partner.example is. */
export const FAR_ADDRESS = '192.0.2.77';
export const ROUTE = { kind: 'sip', domain: 'partner.example', nextHop: 'sip:192.0.2.77;transport=tcp' } as const;
/** Juliet, who uses XMPP, and Romeo, who is at partner.example. */
export const PAIR: Pair = { watcher: anAddress('juliet@xmpp.example'), presentity: anAddress('romeo@partner.example') };
export const OPEN = pidf('open');
export const CLOSED = pidf('closed');

export function pidf(basic: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:romeo@partner.example">
<tuple id="ID-orchard"><status><basic>${basic}</basic></status></tuple></presence>`;
}

export type NotifyParts = {
  readonly state?: string;
  readonly body?: string;
  readonly type?: string;
  readonly tag?: string;
  readonly cseq?: number;
  readonly headers?: readonly HeaderField[];
  readonly flow?: Partial<SipFlow>;
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
};

type Options = {
  readonly store?: MemoryRecordStore;
  readonly clock?: FakeClock;
  readonly log?: Log;
  /** Addresses that may speak for partner.example; default the server's own. */
  readonly trusted?: readonly string[];
} & Partial<Pick<SipSubscriberDeps, 'perHopMax' | 'random' | 'request'>>;

let processes = 0;

/** A subscriber, and a scripted notifier at the other end of its stack. */
export class FarNotifier {
  readonly clock: FakeClock;
  readonly store: MemoryRecordStore;
  readonly stack: FakeStack;
  readonly subscriber: SipSubscriber;
  readonly log = new RecordingLog();
  readonly reports: UpstreamReport[] = [];
  /** What a SUBSCRIBE is answered with; the default is 200 with the Expires asked for. */
  answer: (outgoing: SipOutgoing) => Answer = accepts;
  readonly records: Records<UpstreamRecord>;
  readonly #options: Options;

  constructor(options: Options = {}) {
    this.#options = options;
    this.clock = options.clock ?? new FakeClock();
    this.store = options.store ?? new MemoryRecordStore();
    this.stack = new FakeStack((outgoing) => this.answer(outgoing));
    let tokens = 0;
    const process = (processes += 1);
    const { perHopMax, random = seededRandom(1), request } = options;
    this.records = this.store.records<UpstreamRecord>('sip-upstream');
    this.subscriber = new SipSubscriber({
      records: this.records,
      request: request ?? ((outgoing) => this.stack.request(outgoing)),
      contactFor: () => 'sip:192.0.2.10;transport=tcp',
      onReport: (_pair, report) => this.reports.push(report),
      clock: this.clock,
      random,
      log: this.log,
      expiresSeconds: 3_600,
      // Other ones in each process.
      token: () => `${process}t${(tokens += 1)}`,
      ...(perHopMax === undefined ? {} : { perHopMax }),
    });
    this.subscriber.start();
  }

  /** What was sent, one line each: number, expiry, and the tag it was sent to. */
  get sent(): string[] {
    return this.stack.sent.map((outgoing) => {
      const to = fieldOf(outgoing, 'To').split(';tag=')[1] ?? 'new';
      return `${fieldOf(outgoing, 'CSeq')}, Expires ${fieldOf(outgoing, 'Expires')}, ${to}`;
    });
  }

  get last(): SipOutgoing {
    const last = this.stack.sent.at(-1);
    if (last === undefined) throw new Error('nothing was sent');
    return last;
  }

  /** What the watcher has been told, one word each. */
  get told(): string[] {
    return this.reports.map(({ state, document }) => {
      const word = state.at === 'ended' ? `ended ${state.reason}` : state.at;
      const basic = document?.tuples[0]?.basic;
      return basic === undefined ? word : `${word} ${basic}`;
    });
  }

  record(pair: Pair = PAIR): UpstreamRecord | undefined {
    return new Map(this.records.all()).get(pairKey(pair));
  }

  /** Sends a NOTIFY in the dialog of a SUBSCRIBE, the last one unless another is given. */
  async notify(parts: NotifyParts = {}, about: SipOutgoing = this.last): Promise<SipReply> {
    const handler = notifyHandler({
      find: (tag) => this.subscriber.find(tag),
      mayActFor: (domain, { address }) =>
        domain === 'partner.example' && (this.#options.trusted ?? [FAR_ADDRESS]).includes(address),
      documentBytesMax: 16_384,
      log: this.log,
    });
    const { state = 'active', body, type = 'application/pidf+xml', tag = 'far', cseq = (this.#cseq += 1) } = parts;
    const usual: HeaderField[] = [
      ['Event', 'presence'],
      ['Contact', '<sip:ps.partner.example:5070;transport=tcp>'],
      ['Subscription-State', state],
      ...(body === undefined ? [] : [['Content-Type', type] as const]),
    ];
    const given = parts.headers ?? [];
    const request = aRequest({
      method: 'NOTIFY',
      uri: 'sip:192.0.2.10;transport=tcp',
      from: parts.from ?? `<sip:romeo@partner.example>;tag=${tag}`,
      to: parts.to ?? fieldOf(about, 'From'),
      callId: parts.callId ?? fieldOf(about, 'Call-ID'),
      cseq,
      headers: [...usual.filter(([name]) => !given.some(([other]) => other === name)), ...given],
      ...(body === undefined ? {} : { body }),
      flow: { remoteAddress: FAR_ADDRESS, ...parts.flow },
    });
    try {
      return await handler(request);
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      if (error.code === 'internal') throw thrown;
      return { status: statusFromError(error) };
    } finally {
      await settled();
    }
  }

  #cseq = 0;

  /** Lets time pass until so many requests were sent. */
  async untilSent(count: number, withinMs = 3_600_000): Promise<void> {
    for (let ms = 0; this.stack.sent.length < count; ms += 1_000) {
      if (ms > withinMs) throw new Error(`not ${count} requests, but ${this.sent.join('; ')}`);
      await this.clock.advanceAsync(1_000);
      await quiet();
    }
  }

  /** Watches, and lets everything happen that needs no time. */
  async watch(pair: Pair = PAIR): Promise<void> {
    const stored = this.subscriber.watch(pair, ROUTE);
    await quiet();
    await stored;
    await quiet();
  }

  /** A process that begins anew on what this one has stored when it is killed now. */
  restarted(options: Options = {}): FarNotifier {
    return new FarNotifier({ clock: this.clock, ...options, store: this.store.crash() });
  }
}

/** Lets what needs no time happen: what is stored becomes durable with a turn of the event loop. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await settled();
}

export function accepts(outgoing: SipOutgoing): Answer {
  return [
    200,
    ['To', toTagged(outgoing)],
    ['Contact', '<sip:ps.partner.example>'],
    ['Expires', fieldOf(outgoing, 'Expires')],
  ];
}

/** The To of an answer: with the tag `far` where the request had none. */
export function toTagged(outgoing: SipOutgoing, tag = 'far'): string {
  const to = fieldOf(outgoing, 'To');
  return to.includes(';tag=') ? to : `${to};tag=${tag}`;
}

export function fieldOf({ headers }: SipOutgoing, name: string): string {
  return headers.find(([field]) => field === name)?.[1] ?? '';
}
