import { GatewayError, type ErrorCode } from '../../core/errors.ts';
import { TOO_LARGE, TOO_MANY } from './control-line.ts';

/** Largest body that is sure to pass beside its header; for what is told to the sender, bytes. */
export const BODY_BYTES_SURE = 10_000;

/** What a drachtio server says when it does not send a request, by how the text begins. */
const REFUSALS: ReadonlyArray<readonly [begins: string, code: ErrorCode]> = [
  [TOO_MANY, 'peer-unreachable'],
  ['can not send request to myself', 'loop-detected'],
  ['invalid request-uri', 'address-malformed'],
  // The address asks for a transport that the server does not listen for.
  ['requested protocol/transport not available', 'peer-unreachable'],
  ['missing content-type', 'internal'],
];

/** Why the server did not send a request, as an error; what is not known may be better next time. */
export function refusalError(text: string): GatewayError {
  if (text.startsWith(TOO_LARGE)) return tooLarge();
  const code = REFUSALS.find(([begins]) => text.startsWith(begins))?.[1] ?? 'peer-failed';
  return new RequestNotSent(code, `the drachtio server does not send the request: ${text.slice(0, 200)}`);
}

/** The server has said that nothing left: another one may be asked. */
export class RequestNotSent extends GatewayError {}

export function tooLarge(): GatewayError {
  return new GatewayError(
    'content-too-large',
    'a drachtio server takes no more than 12 kB per message, header and body together',
    { details: { sizeMax: BODY_BYTES_SURE } },
  );
}
