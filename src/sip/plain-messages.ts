/**
 * SIP messages as plain data, for another node: header fields as a list, bodies in base64.
 */
import { SipHeaderList } from './headers.ts';
import type { HeaderField, SipOutgoing, SipReply, SipRequest, SipResponse } from './message.ts';

export type Plain<T extends object> = Omit<T, 'headers' | 'body'> & {
  readonly headers?: readonly HeaderField[];
  readonly body?: string;
};

export function plainRequest({ headers, body, ...request }: SipRequest): Plain<SipRequest> {
  const { method, uri, flow, receivedAtMs } = request;
  return { method, uri, flow, receivedAtMs, headers: headers.fields, ...plainBody(body) };
}

export function requestFrom({ headers = [], body, ...request }: Plain<SipRequest>): SipRequest {
  return { ...request, headers: new SipHeaderList(headers, true), body: bodyFrom(body) };
}

export function plainReply({ body, ...reply }: SipReply): Plain<SipReply> {
  return { ...reply, ...plainBody(body) };
}

export function replyFrom({ body, ...reply }: Plain<SipReply>): SipReply {
  return body === undefined ? reply : { ...reply, body: bodyFrom(body) };
}

export function plainOutgoing({ body, ...outgoing }: SipOutgoing): Plain<SipOutgoing> {
  return { ...outgoing, ...plainBody(body) };
}

export function outgoingFrom({ headers = [], body, ...outgoing }: Plain<SipOutgoing>): SipOutgoing {
  return { ...outgoing, headers, ...(body === undefined ? {} : { body: bodyFrom(body) }) };
}

export function plainResponse({ headers, body, status, reason, flow }: SipResponse): Plain<SipResponse> {
  return { status, reason, flow, headers: headers.fields, ...plainBody(body) };
}

export function responseFrom({ headers = [], body, ...response }: Plain<SipResponse>): SipResponse {
  return { ...response, headers: new SipHeaderList(headers, true), body: bodyFrom(body) };
}

function plainBody(body: Uint8Array | undefined): { readonly body?: string } {
  return body === undefined || body.length === 0 ? {} : { body: Buffer.from(body).toString('base64') };
}

function bodyFrom(body: string | undefined): Uint8Array {
  return Buffer.from(body ?? '', 'base64');
}
