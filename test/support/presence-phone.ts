import type { PresenceDocument } from '../../src/cpim/presence/document.ts';
import { writePidf } from '../../src/cpim/presence/pidf.ts';
import { PIDF_TYPE, PRESENCE_TYPES_READ, readPresence } from '../../src/cpim/presence/presence-formats.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import { parseSubscriptionState, type SubscriptionStateValue } from '../../src/sip/events/subscription-state.ts';
import type { ParsedRequest, ParsedResponse } from '../../src/sip/engine/parser.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { aDocument, aTuple } from './presence-builders.ts';
import type { ScriptedPhone } from './scripted-phone.ts';
import { until } from './until.ts';

/** A NOTIFY as it came, each once however often it was repeated. */
export type Notified = {
  readonly state: SubscriptionStateValue;
  /** Undefined when there is no body, or one that is no presence document. */
  readonly document?: PresenceDocument;
  readonly body: string;
  readonly request: ParsedRequest;
};

export type SubscribeOptions = {
  /** Default 600; 0 asks once. */
  readonly expires?: number;
  readonly accept?: readonly string[];
  /** Event with its parameters; default `presence`. */
  readonly event?: string;
  /** Of the first SUBSCRIBE; a fresh one when absent. */
  readonly callId?: string;
  readonly headers?: readonly HeaderField[];
};

let dialogs = 0;

/** Presence at a scripted phone: what it publishes and whom it watches. Everything it gets is answered as the phone does. */
export class PresencePhone {
  readonly phone: ScriptedPhone;
  /** Entity tag of the publication, as the last 200 said. */
  etag: string | undefined;

  constructor(phone: ScriptedPhone) {
    this.phone = phone;
  }

  /** Watches somebody; resolves with the answer to SUBSCRIBE, whatever it is. */
  async subscribe(uri: string, options: SubscribeOptions = {}): Promise<Watching> {
    const watching = new Watching(this.phone, uri, options);
    await watching.refresh(options.expires ?? 600);
    return watching;
  }

  /** Publishes a document, or an open one with this note; changes what it has published before. */
  async publish(content: PresenceDocument | string, expires = 600): Promise<ParsedResponse> {
    const document =
      typeof content === 'string'
        ? aDocument({ entity: `pres:${this.address}`, tuples: [aTuple({ notes: [{ text: content }] })] })
        : content;
    return this.#publish(expires, writePidf(document));
  }

  /** Publishes these bytes as they are. */
  publishBody(body: string, type = PIDF_TYPE, expires = 600): Promise<ParsedResponse> {
    return this.#publish(expires, body, type);
  }

  /** Lengthens the life of what is published, without a body (RFC 3903, section 4.3). */
  republish(expires = 600): Promise<ParsedResponse> {
    return this.#publish(expires);
  }

  unpublish(): Promise<ParsedResponse> {
    return this.#publish(0);
  }

  /** The phone's user, `localpart@domain`. */
  get address(): string {
    return this.phone.aor.slice('sip:'.length);
  }

  async #publish(expires: number, body?: string, type = PIDF_TYPE): Promise<ParsedResponse> {
    const response = await this.phone.request({
      method: 'PUBLISH',
      uri: this.phone.aor,
      headers: [
        ['Event', 'presence'],
        ['Expires', String(expires)],
        ...(this.etag === undefined ? [] : ([['SIP-If-Match', this.etag]] as const)),
        ...(body === undefined ? [] : ([['Content-Type', type]] as const)),
      ],
      ...(body === undefined ? {} : { body }),
    });
    // RFC 3903, section 4.5 and 11.3: each answer has a tag of its own; after 412 there is nothing to change any more.
    if (response.status === 200 && expires > 0) this.etag = response.headers.get('SIP-ETag');
    else if (response.status === 200 || response.status === 412) this.etag = undefined;
    return response;
  }
}

/** One subscription of a phone, in one dialog. */
export class Watching {
  /** The last answer to SUBSCRIBE. */
  response: ParsedResponse | undefined;
  readonly callId: string;
  readonly #phone: ScriptedPhone;
  readonly #uri: string;
  readonly #options: SubscribeOptions;

  constructor(phone: ScriptedPhone, uri: string, options: SubscribeOptions) {
    this.#phone = phone;
    this.#uri = uri;
    this.#options = options;
    this.callId = options.callId ?? `watch-${process.pid}-${(dialogs += 1)}`;
  }

  get status(): number {
    return this.response?.status ?? 0;
  }

  /** SUBSCRIBE for so many seconds: the first, or another in the dialog the first has made. */
  async refresh(expires = 600, headers: readonly HeaderField[] = []): Promise<ParsedResponse> {
    const before = this.response;
    const remote = before?.status === 200 ? before : undefined;
    const target = parseNameAddr(remote?.headers.get('Contact') ?? '')?.uri;
    const accept = (this.#options.accept ?? [PIDF_TYPE]).join(', ');
    const response = await this.#phone.request({
      method: 'SUBSCRIBE',
      uri: target ?? this.#uri,
      to: remote?.headers.get('To') ?? `<${this.#uri}>`,
      callId: this.callId,
      headers: [
        ...[...(remote?.headers.all('Record-Route') ?? [])].reverse().map((route): HeaderField => ['Route', route]),
        ['Contact', `<${this.#phone.contact}>`],
        ['Event', this.#options.event ?? 'presence'],
        ['Accept', accept],
        ['Expires', String(expires)],
        ...(this.#options.headers ?? []),
        ...headers,
      ],
    });
    // A refresh that fails leaves the dialog as it was (RFC 6665, section 4.1.2.2).
    if (remote === undefined || response.status === 200) this.response = response;
    return response;
  }

  unsubscribe(): Promise<ParsedResponse> {
    return this.refresh(0);
  }

  /** What came in this dialog, oldest first. */
  get notifies(): readonly Notified[] {
    const seen = new Set<number>();
    const notifies: Notified[] = [];
    for (const request of this.#phone.received) {
      if (request.method !== 'NOTIFY' || request.headers.get('Call-ID') !== this.callId) continue;
      if (seen.has(request.cseq.number)) continue;
      seen.add(request.cseq.number);
      notifies.push(notifiedBy(request));
    }
    return notifies;
  }

  get last(): Notified | undefined {
    return this.notifies.at(-1);
  }

  /** The first NOTIFY that suits, from number `from` on. */
  until(
    suits: (notify: Notified) => boolean,
    { from = 0, withinMs = 15_000, what = 'the NOTIFY' } = {},
  ): Promise<Notified> {
    return until(() => this.notifies.slice(from).find(suits), {
      what: `${this.#phone.aor} is told of ${this.#uri}: ${what}`,
      withinMs,
      detail: () => this.describe(),
    });
  }

  /** The newest NOTIFY, once it suits: what holds now. */
  untilLast(suits: (notify: Notified) => boolean, { withinMs = 15_000, what = 'it' } = {}): Promise<Notified> {
    return until(
      () => {
        const last = this.last;
        return last !== undefined && suits(last) ? last : undefined;
      },
      {
        what: `the last ${this.#phone.aor} is told of ${this.#uri} is ${what}`,
        withinMs,
        detail: () => this.describe(),
      },
    );
  }

  /** All NOTIFYs in words, for a test that fails. */
  describe(): string {
    const lines = this.notifies.map(
      ({ state, body, request }) => `${request.cseq.number} ${JSON.stringify(state)}\n${body}`,
    );
    return `SUBSCRIBE was answered ${this.status}; NOTIFYs:\n${lines.join('\n')}`;
  }
}

function notifiedBy(request: ParsedRequest): Notified {
  const value = request.headers.get('Subscription-State') ?? '';
  const state = parseSubscriptionState(value);
  if (state === undefined) throw new Error(`NOTIFY without a Subscription-State that can be read: ${value}`);
  const body = request.body.toString('utf8');
  const type = request.headers.get('Content-Type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (!PRESENCE_TYPES_READ.includes(type)) return { state, body, request };
  return { state, body, request, document: readPresence(type, body) };
}
