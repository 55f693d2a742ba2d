import { GatewayError } from '../../core/errors.ts';
import { viaToldItsSource } from '../engine/answers.ts';
import { parseNameAddr, parseVia } from '../header-values.ts';
import {
  HOPS_START,
  type HeaderField,
  type SipOutgoing,
  type SipReply,
  type SipRequest,
  type SipResponse,
} from '../message.ts';

export type Forwarding = {
  readonly nextHop: NonNullable<SipOutgoing['nextHop']>;
  readonly expectNames?: readonly string[];
  /** Fields put in front of those that the request has. */
  readonly added: readonly HeaderField[];
  /** The topmost Route has led here, and goes no further. */
  readonly isRouteTaken: boolean;
  /** Names of fields that are not handed on, in lower case: one that is not known here comes in any spelling. */
  readonly removed: ReadonlySet<string>;
};

const OWN_OF_HOP: ReadonlySet<string> = new Set(['Via', 'Max-Forwards', 'Content-Length']);
/** What the engine writes itself into an answer, or has from the request. */
const OWN_OF_ANSWER: ReadonlySet<string> = new Set(
  ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Content-Length', 'Server'].map((name) => name.toLowerCase()),
);

/**
 * A request as a proxy hands it on (RFC 3261, section 16.6): one hop less, the Via of those before below ours.
 *
 * @throws GatewayError 'hops-exhausted'
 */
export function forwarded(request: SipRequest, hops: number | undefined, forwarding: Forwarding): SipOutgoing {
  const left = (hops ?? HOPS_START) - 1;
  if (left < 0) throw new GatewayError('hops-exhausted', 'no hop is left to hand it on');
  const { method, uri, body, headers } = request;
  const { nextHop, expectNames, added, isRouteTaken, removed } = forwarding;
  const fields: HeaderField[] = [...added, ['Max-Forwards', String(left)]];
  let isTaken = !isRouteTaken;
  for (const field of headers.fields) {
    const [name] = field;
    if (OWN_OF_HOP.has(name) || removed.has(name.toLowerCase())) continue;
    if (name === 'Route' && !isTaken) isTaken = true;
    else fields.push(field);
  }
  return {
    ...{ method, uri, headers: fields, nextHop, vias: viasOf(request) },
    ...(body.length === 0 ? {} : { body }),
    ...(expectNames === undefined ? {} : { expectNames }),
  };
}

/** An answer as a proxy hands it back (RFC 3261, section 16.7). */
export function handedBack({ status, reason, headers, body }: SipResponse): SipReply {
  const tag = parseNameAddr(headers.get('To') ?? '')?.params.get('tag');
  return {
    status,
    reason,
    headers: headers.fields.filter(([name]) => !OWN_OF_ANSWER.has(name.toLowerCase())),
    ...(body.length === 0 ? {} : { body }),
    ...(typeof tag === 'string' && tag !== '' ? { toTag: tag } : {}),
  };
}

function viasOf({ headers, flow }: SipRequest): readonly string[] {
  const [first, ...others] = headers.all('Via');
  const via = first === undefined ? undefined : parseVia(first);
  return first === undefined || via === undefined ? others : [viaToldItsSource(first, via, flow), ...others];
}
