import { GatewayError } from '../../core/errors.ts';
import { URI, areControlsQuoted, isToken, skipClass } from '../characters.ts';
import { headerKind } from '../headers.ts';
import type { HeaderField } from '../message.ts';

const EMPTY = new Uint8Array(0);
const FORBIDDEN = /[\r\n\0]/;

export type OutgoingRequest = {
  readonly method: string;
  readonly uri: string;
  readonly headers: readonly HeaderField[];
  readonly body?: Uint8Array;
};

export type OutgoingResponse = {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly HeaderField[];
  readonly body?: Uint8Array;
};

/** A request as text but for what differs from one attempt to the next: its Via. */
export type RequestText = {
  readonly startLine: string;
  /** With the Content-Length and the blank line. */
  readonly fields: string;
};

/**
 * Writes a request: fields in the order given, long names, then a Content-Length that counts the bytes of `body`
 * (one among the fields is dropped).
 *
 * @throws GatewayError('internal') when the method or a name is no token, the URI is not visible ASCII, or a value
 *   holds CR, LF or NUL (but for NUL as a quoted pair): no value can add a field or end the header.
 */
export function serializeRequest(request: OutgoingRequest): Buffer {
  const { startLine, fields } = requestText(request);
  return bytesOf(startLine + fields, request.body ?? EMPTY);
}

/** As `serializeRequest`, for a request that gets its Via later. @throws as there */
export function requestText(request: OutgoingRequest): RequestText {
  if (!isToken(request.method)) throw new GatewayError('internal', 'method to be sent is no token');
  if (request.uri === '' || skipClass(request.uri, 0, URI) !== request.uri.length) {
    throw new GatewayError('internal', 'Request-URI to be sent has characters that do not belong there');
  }
  return {
    startLine: `${request.method} ${request.uri} SIP/2.0\r\n`,
    fields: fieldsText(request.headers, request.body ?? EMPTY),
  };
}

/** The bytes of a request with this Via, which nothing of a message's text may be part of. */
export function bytesWithVia({ startLine, fields }: RequestText, via: string, body: Uint8Array | undefined): Buffer {
  return bytesOf(`${startLine}Via: ${via}\r\n${fields}`, body ?? EMPTY);
}

/** How many bytes a text and a body have together. */
export function byteLengthOf({ startLine, fields }: RequestText, body: Uint8Array | undefined): number {
  return startLine.length + Buffer.byteLength(fields) + (body?.length ?? 0);
}

/**
 * Writes a response, as `serializeRequest` does.
 *
 * @throws GatewayError('internal') as there, and for a status outside 100 to 699.
 */
export function serializeResponse(response: OutgoingResponse): Buffer {
  const { status, reason } = response;
  if (!Number.isInteger(status) || status < 100 || status > 699) {
    throw new GatewayError('internal', 'status to be sent is none of SIP');
  }
  if (FORBIDDEN.test(reason)) throw new GatewayError('internal', 'reason phrase to be sent has a line end');
  return bytesOf(
    `SIP/2.0 ${status} ${reason}\r\n${fieldsText(response.headers, response.body ?? EMPTY)}`,
    response.body ?? EMPTY,
  );
}

function fieldsText(headers: readonly HeaderField[], body: Uint8Array): string {
  let text = '';
  for (const [name, value] of headers) {
    const known = headerKind(name)?.name;
    if (known === 'Content-Length') continue;
    if (known === undefined && !isToken(name)) throw new GatewayError('internal', 'header name to be sent is no token');
    // NUL as a quoted pair is allowed: a request with that in its To must be answered with the same To.
    if (FORBIDDEN.test(value) && !areControlsQuoted(value)) {
      throw new GatewayError('internal', 'header value to be sent has CR, LF or NUL');
    }
    text += `${known ?? name}: ${value}\r\n`;
  }
  return `${text}Content-Length: ${body.length}\r\n\r\n`;
}

function bytesOf(head: string, body: Uint8Array): Buffer {
  const headLength = Buffer.byteLength(head);
  const bytes = Buffer.allocUnsafe(headLength + body.length);
  bytes.write(head, 0, headLength === head.length ? 'latin1' : 'utf8');
  if (body.length > 0) bytes.set(body, headLength);
  return bytes;
}
