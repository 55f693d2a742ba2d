import { parseSipMessage } from '../../src/sip/engine/parser.ts';
import type { HeaderField, SipFlow, SipRequest } from '../../src/sip/message.ts';

/** Where a request of a test comes from, unless it says otherwise: a phone on another host. */
export const A_FLOW: SipFlow = {
  transport: 'tcp',
  localAddress: '192.0.2.10',
  localPort: 5060,
  remoteAddress: '192.0.2.99',
  remotePort: 40_000,
  id: 'tcp-1',
};

export type RequestParts = {
  readonly method?: string;
  readonly uri?: string;
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly headers?: readonly HeaderField[];
  readonly body?: string | Uint8Array;
  readonly flow?: Partial<SipFlow>;
  readonly receivedAtMs?: number;
};

/** A request as the stack hands it over, read by the real parser from the bytes that these parts make. */
export function aRequest(parts: RequestParts = {}): SipRequest {
  const { method = 'MESSAGE', uri = 'sip:juliet@xmpp.example', body = '', headers = [] } = parts;
  const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body);
  const fields: HeaderField[] = [
    ['Via', 'SIP/2.0/TCP 192.0.2.99:40000;branch=z9hG4bKtest'],
    ['Max-Forwards', '70'],
    ['From', parts.from ?? '<sip:romeo@sip.example>;tag=f1'],
    ['To', parts.to ?? `<${uri}>`],
    ['Call-ID', parts.callId ?? 'call-1'],
    ['CSeq', `${parts.cseq ?? 1} ${method}`],
    ...(bytes.length > 0 ? [['Content-Type', 'text/plain'] as const] : []),
  ];
  const given = new Set(headers.map(([name]) => name));
  const all = [...fields.filter(([name]) => !given.has(name)), ...headers.filter(([, value]) => value !== '')];
  const head = all.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return requestFromBytes(
    Buffer.concat([Buffer.from(`${method} ${uri} SIP/2.0\r\n${head}Content-Length: ${bytes.length}\r\n\r\n`), bytes]),
    { ...A_FLOW, ...parts.flow },
    parts.receivedAtMs ?? 1_700_000_000_000,
  );
}

/** Reads a whole request; fails the test when the parser finds fault with it. */
export function requestFromBytes(bytes: Buffer, flow: SipFlow = A_FLOW, receivedAtMs = 1_700_000_000_000): SipRequest {
  const message = parseSipMessage(bytes);
  if (message.kind !== 'request') throw new Error(`no request: ${JSON.stringify(message)}`);
  const { method, uri, headers, body } = message;
  return { method, uri, headers, body, flow, receivedAtMs };
}
