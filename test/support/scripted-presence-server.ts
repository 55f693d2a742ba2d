import type { ParsedRequest, ParsedResponse } from '../../src/sip/engine/parser.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { ScriptedPhone, type PhoneAnswer } from './scripted-phone.ts';
import { until } from './until.ts';

export type PresenceServerOptions = {
  readonly domain: string;
  readonly address: string;
  readonly port: number;
  /** The TCP port of the server that it talks to. */
  readonly serverPort: number;
};

export type NotifyOptions = {
  /** Subscription-State; `active;expires=600` when absent, '' for none. */
  readonly state?: string;
  readonly body?: string;
  readonly headers?: readonly HeaderField[];
  readonly event?: string;
  /** Another dialog than that of the SUBSCRIBE. */
  readonly callId?: string;
  readonly to?: string;
};

/** The tag of all its dialogs; what differs is their Call-ID. */
const TAG = 'ps';

/** A SIP presence server over TCP that does what a test says: grants every SUBSCRIBE unless told otherwise, and notifies when told. */
export class ScriptedPresenceServer {
  readonly phone: ScriptedPhone;
  /** How SUBSCRIBE is answered; undefined for nothing at all. */
  answer: PhoneAnswer = granted;

  private constructor(phone: ScriptedPhone) {
    this.phone = phone;
    phone.answer = (request) => (request.method === 'SUBSCRIBE' ? this.answer(request) : { status: 200 });
  }

  static async open({ domain, address, port, serverPort }: PresenceServerOptions): Promise<ScriptedPresenceServer> {
    const server = { transport: 'tcp', port: serverPort } as const;
    return new ScriptedPresenceServer(await ScriptedPhone.open({ user: TAG, domain, server, address, port }));
  }

  /** SUBSCRIBE requests for a presentity, oldest first. */
  subscribes(presentity: string): readonly ParsedRequest[] {
    return this.phone.received.filter(
      ({ method, to }) => method === 'SUBSCRIBE' && to.uri.startsWith(`sip:${presentity}@`),
    );
  }

  /** The one with this number, from 1 on. */
  untilSubscribe(presentity: string, number: number, what = 'SUBSCRIBE', withinMs = 15_000): Promise<ParsedRequest> {
    return until(() => this.subscribes(presentity)[number - 1], {
      what: `${what} ${number} for ${presentity}`,
      withinMs,
      detail: () => this.subscribes(presentity).map(subscribeLine).join('\n'),
    });
  }

  /** Notifies in the dialog of a SUBSCRIBE; resolves with the answer. */
  notify(subscribe: ParsedRequest, options: NotifyOptions = {}): Promise<ParsedResponse> {
    const { state, body, headers = [], event, callId, to } = options;
    const { headers: asked } = subscribe;
    const value = state ?? 'active;expires=600';
    return this.phone.request({
      method: 'NOTIFY',
      uri: parseNameAddr(asked.get('Contact') ?? '')?.uri ?? '',
      // The scripted phone adds its own tag, which is that of all dialogs here.
      from: withoutTag(asked.get('To') ?? ''),
      to: to ?? asked.get('From') ?? '',
      callId: callId ?? asked.get('Call-ID') ?? '',
      headers: [
        ['Contact', `<${this.phone.contact}>`],
        ['Event', event ?? 'presence'],
        ...(value === '' ? [] : ([['Subscription-State', value]] as const)),
        ...(body === undefined || headers.some(([name]) => name === 'Content-Type')
          ? []
          : ([['Content-Type', 'application/pidf+xml']] as const)),
        ...headers,
      ],
      ...(body === undefined ? {} : { body }),
    });
  }

  close(): Promise<void> {
    return this.phone.close();
  }
}

/** Grants what was asked for. */
export function granted({ headers }: ParsedRequest): { status: number; headers: readonly HeaderField[] } {
  return {
    status: 200,
    headers: [
      ['Expires', headers.get('Expires') ?? '3600'],
      ['Contact', `<sip:${TAG}@127.0.0.9:5060;transport=tcp>`],
    ],
  };
}

/** A document of a presentity with a tuple each: `desk open`, `desk closed`. */
export function pidfOf(presentity: string, tuples: ReadonlyArray<readonly [id: string, inside: string]>): string {
  const written = tuples.map(([id, inside]) => `<tuple id="ID-${id}">${inside}</tuple>`);
  return `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:${presentity}">${written.join('')}</presence>`;
}

function subscribeLine({ headers, cseq }: ParsedRequest): string {
  return `${headers.get('Call-ID') ?? ''} ${cseq.number}, Expires ${headers.get('Expires') ?? ''}`;
}

function withoutTag(value: string): string {
  return value.replace(/;tag=[^;>]*$/, '');
}
