import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../core/ports.ts';
import type { Log } from '../core/log.ts';
import type { PresenceDocument } from '../cpim/presence/document.ts';
import { readPidf, writePidf } from '../cpim/presence/pidf.ts';
import { PIDF_TYPE } from '../cpim/presence/presence-formats.ts';
import { parseAuthParams } from '../sip/header-values.ts';
import type { HeaderField, SipReply, SipRequest, SipResponse } from '../sip/message.ts';
import type { SipStack } from '../sip/stack.ts';
import { createEmbeddedStack } from '../sip/stack-embedded.ts';

export type PhoneOptions = {
  readonly user: string;
  readonly domain: string;
  readonly password: string;
  /** The server it registers with, a SIP URI. */
  readonly server: string;
  readonly clock: Clock;
  readonly log: Log;
};

/** What a phone tells of its doings, for the ladder. */
export type PhoneEvents = {
  sent(what: string): void;
  answered(what: string): void;
  received(what: string): void;
};

/** A SIP phone that knows REGISTER, MESSAGE, PUBLISH and SUBSCRIBE with digest, and answers 200 to what it gets. */
export class Phone {
  readonly #options: PhoneOptions;
  readonly #events: PhoneEvents;
  readonly #stack: SipStack;
  readonly #aor: string;
  readonly #callId = randomBytes(8).toString('hex');
  #contact = '';
  #cseq = 0;
  /** Texts that came, oldest first. */
  readonly inbox: string[] = [];
  /** What NOTIFY requests said, oldest first: the state of the subscription, and of the presentity where it was told. */
  readonly notified: string[] = [];
  #etag: string | undefined;

  constructor(options: PhoneOptions, events: PhoneEvents) {
    this.#options = options;
    this.#events = events;
    this.#aor = `sip:${options.user}@${options.domain}`;
    this.#stack = createEmbeddedStack({
      listeners: [{ transport: 'udp', address: '127.0.0.1', port: 0 }],
      clock: options.clock,
      log: options.log,
    });
  }

  async start(): Promise<void> {
    const [listener] = await this.#stack.start((request) => Promise.resolve(this.#answer(request)));
    this.#contact = `<sip:${this.#options.user}@127.0.0.1:${listener?.port ?? 0}>`;
  }

  stop(): Promise<void> {
    return this.#stack.stop(0);
  }

  /** @returns the status of the last answer. */
  async register(expiresSeconds: number): Promise<number> {
    const { domain } = this.#options;
    const fields: HeaderField[] = [
      ['Contact', this.#contact],
      ['Expires', String(expiresSeconds)],
    ];
    const response = await this.#authenticated('REGISTER', `sip:${domain}`, this.#aor, fields);
    return response.status;
  }

  /** @returns the status of the last answer. */
  async write(to: string, text: string): Promise<number> {
    const fields: HeaderField[] = [['Content-Type', 'text/plain;charset=UTF-8']];
    const response = await this.#authenticated('MESSAGE', to, to, fields, text);
    return response.status;
  }

  /** Watches somebody. @returns the status of the last answer. */
  async watch(uri: string): Promise<number> {
    const fields: HeaderField[] = [
      ['Contact', this.#contact],
      ['Event', 'presence'],
      ['Accept', PIDF_TYPE],
      ['Expires', '600'],
    ];
    return (await this.#authenticated('SUBSCRIBE', uri, uri, fields)).status;
  }

  /** Says what its user is doing: a name of RFC 4480, section 3.2. @returns the status of the last answer. */
  async publish(activity: string): Promise<number> {
    const fields: HeaderField[] = [
      ['Event', 'presence'],
      ['Expires', '600'],
      ['Content-Type', PIDF_TYPE],
      ...(this.#etag === undefined ? [] : [['SIP-If-Match', this.#etag] as const]),
    ];
    const body = writePidf(documentOf(this.#aor, activity));
    const response = await this.#authenticated('PUBLISH', this.#aor, this.#aor, fields, body, activity);
    this.#etag = response.headers.get('SIP-ETag');
    return response.status;
  }

  async #authenticated(
    method: string,
    uri: string,
    to: string,
    fields: readonly HeaderField[],
    text?: string,
    shown = text,
  ): Promise<SipResponse> {
    const first = await this.#request(method, uri, to, fields, text, shown);
    const challenge = first.headers.get('WWW-Authenticate');
    if (first.status !== 401 || challenge === undefined) return first;
    return this.#request(method, uri, to, [...fields, this.#credentials(method, uri, challenge)], text, shown);
  }

  async #request(
    method: string,
    uri: string,
    to: string,
    fields: readonly HeaderField[],
    text: string | undefined,
    content: string | undefined,
  ): Promise<SipResponse> {
    const shown = content === undefined ? method : `${method} "${content}"`;
    this.#events.sent(fields.some(([name]) => name === 'Authorization') ? `${shown} + digest` : shown);
    this.#cseq += 1;
    const response = await this.#stack.request({
      method,
      uri,
      nextHop: { uri: this.#options.server },
      headers: [
        ['From', `<${this.#aor}>;tag=${randomBytes(6).toString('hex')}`],
        ['To', `<${to}>`],
        ['Call-ID', this.#callId],
        ['CSeq', `${this.#cseq} ${method}`],
        ...fields,
      ],
      ...(text === undefined ? {} : { body: Buffer.from(text, 'utf8') }),
    });
    this.#events.answered(`${response.status} ${response.reason}`);
    return response;
  }

  /** RFC 7616, section 3.4: the first challenge is the strongest one. */
  #credentials(method: string, uri: string, challenge: string): HeaderField {
    const { user, password } = this.#options;
    const params = parseAuthParams(challenge)?.params;
    const [realm, nonce] = [params?.get('realm') ?? '', params?.get('nonce') ?? ''];
    const algorithm = params?.get('algorithm') ?? 'MD5';
    const hash = (text: string): string =>
      createHash(algorithm === 'SHA-256' ? 'sha256' : 'md5')
        .update(text)
        .digest('hex');
    const cnonce = randomBytes(8).toString('hex');
    const secret = hash(`${user}:${realm}:${password}`);
    const response = hash(`${secret}:${nonce}:00000001:${cnonce}:auth:${hash(`${method}:${uri}`)}`);
    return [
      'Authorization',
      `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", algorithm=${algorithm}, ` +
        `qop=auth, nc=00000001, cnonce="${cnonce}", response="${response}"`,
    ];
  }

  #answer(request: SipRequest): SipReply {
    if (request.method === 'NOTIFY') return this.#answerNotify(request);
    if (request.method !== 'MESSAGE') return { status: 405, headers: [['Allow', 'MESSAGE, NOTIFY']] };
    const text = Buffer.from(request.body).toString('utf8');
    this.inbox.push(text);
    this.#events.received(`MESSAGE "${text}"`);
    return { status: 200 };
  }

  #answerNotify(request: SipRequest): SipReply {
    const state = (request.headers.get('Subscription-State') ?? '').split(';', 1)[0] ?? '';
    const [tuple] = request.body.length === 0 ? [] : readPidf(Buffer.from(request.body).toString('utf8')).tuples;
    const shown = [state, tuple?.basic, tuple?.show].filter((word) => word !== undefined).join(', ');
    this.notified.push(shown);
    this.#events.received(`NOTIFY "${shown}"`);
    return { status: 200 };
  }
}

function documentOf(aor: string, activity: string): PresenceDocument {
  const common = { notes: [], extensions: [] };
  return {
    entity: aor,
    tuples: [{ id: 'phone', basic: 'open', rich: {}, statusExtensions: [], deviceIds: [], ...common }],
    persons: [{ id: 'user', rich: { activities: { values: [{ name: activity }] } }, ...common }],
    devices: [],
    ...common,
  };
}
