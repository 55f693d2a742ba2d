import { GatewayError } from '../../core/errors.ts';
import { isToken } from '../characters.ts';
import { foreignField } from '../engine/answers.ts';
import { reasonPhrase } from '../engine/reason-phrases.ts';
import { serializeResponse } from '../engine/serializer.ts';
import type { ParsedRequest } from '../engine/parser.ts';
import type { HeaderField, SipReply } from '../message.ts';
import { FRAME_BYTES_MAX, toWireText } from './control-frame.ts';
import { bodyText, headersOf } from './outgoing.ts';
import { tooLarge } from './refusal.ts';

/** An answer as the library is given it; text has one character per byte. */
export type LibraryReply = {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
};

/** The id, the kind and the fields in front of the message. */
const FIELD_BYTES = 200;

/**
 * Maps what a handler returned to what a drachtio server is given.
 *
 * @throws GatewayError when it cannot be sent as it is: what only the engine may set, CR, LF or NUL in a value, a body
 *   that is no text, more than the control connection takes
 */
export function mapReply(reply: SipReply, request: ParsedRequest, serverName: string | undefined): LibraryReply {
  const { status, body } = reply;
  const reason = reply.reason ?? reasonPhrase(status);
  const fields: HeaderField[] = [...(serverName === undefined ? [] : [['Server', serverName] as const])];
  if (reply.headers !== undefined) fields.push(...reply.headers);
  const foreign = foreignField(fields);
  if (foreign !== undefined || status < 200)
    throw new GatewayError('internal', `a handler answers with ${foreign ?? status}`);
  const isSound = reply.toTag === undefined || isToken(reply.toTag);
  if (!isSound || fields.some(([, value]) => value.includes('\0'))) {
    throw new GatewayError('internal', 'an answer has a tag that is no token, or NUL in a value');
  }
  const bytes = serializeResponse({ status, reason, headers: fields, ...(body === undefined ? {} : { body }) });
  if (bytes.length + echoBytes(request) + FIELD_BYTES > FRAME_BYTES_MAX) throw tooLarge();
  // The library takes the tag of the To it is given, where the request has none.
  const tag = reply.toTag === undefined ? [] : [['To', `<sip:tag>;tag=${reply.toTag}`] as const];
  return {
    status,
    reason: toWireText(reason),
    headers: headersOf([...fields, ...tag]),
    ...(body === undefined || body.length === 0 ? {} : { body: bodyText(body, fields) }),
  };
}

/** What the library copies from the request. */
function echoBytes({ headers }: ParsedRequest): number {
  return ['From', 'To', 'Call-ID', 'CSeq'].reduce((sum, name) => sum + Buffer.byteLength(headers.get(name) ?? ''), 0);
}
