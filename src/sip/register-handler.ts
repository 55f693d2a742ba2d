import { addressKey, domainOf, localpartOf, type Address } from '../cpim/address.ts';
import { GatewayError } from '../core/errors.ts';
import type { PeerEvidence } from '../core/peers.ts';
import type { Binding, Clock } from '../core/ports.ts';
import type { RegisterContact, RegisterRequest } from '../core/registration-service.ts';
import { contactFlow, isAtAddress } from './contact-flow.ts';
import type { DigestOutcome } from './digest-check.ts';
import { formatSipDate, parseCSeq, parseExpires, parseNameAddr, parseQvalue, quoteString } from './header-values.ts';
import { entityFromSipUri } from './map-address.ts';
import type { HeaderField, SipReply, SipRequest } from './message.ts';
import { evidenceOf } from './sender-proof.ts';
import type { SipHandler, SipListener } from './stack.ts';
import { parseSipUri, type SipUri } from './uri.ts';

export type RegisterDeps = {
  readonly isOwn: (domain: string) => boolean;
  readonly mayActFor: (domain: string, evidence: PeerEvidence) => boolean;
  readonly checkDigest: (request: SipRequest, realm: string) => DigestOutcome;
  readonly register: (user: Address, request: RegisterRequest) => Promise<readonly Binding[]>;
  /** Where we listen: no contact may lead back to us. */
  readonly listeners: () => readonly SipListener[];
  readonly clock: Pick<Clock, 'nowMs'>;
};

const CONTACT_LENGTH_MAX = 512;
const INSTANCE_LENGTH_MAX = 200;
const USER_AGENT_LENGTH_MAX = 200;
/** RFC 3261, section 10.2.1.1: what a malformed time counts as. */
const MALFORMED_SECONDS = 3_600;

/**
 * Answers REGISTER as the registrar of our domains (RFC 3261, section 10.3).
 *
 * The digest must prove exactly the user in To; a trusted core speaks for all users of its domain. The 200 lists every
 * contact with the seconds it has left. `path` (RFC 3327) is not served yet and refused rather than ignored, since
 * messages would go past the proxy that asked for them.
 */
export function registerHandler(deps: RegisterDeps): SipHandler {
  return async (request): Promise<SipReply> => {
    const user = userOf(request, deps);
    const challenge = proveUser(request, user, deps);
    if (challenge !== undefined) return challenge;
    if (request.headers.get('Path') !== undefined) return { status: 420, headers: [['Unsupported', 'path']] };
    const bindings = await deps.register(user, registerRequestFrom(request, deps));
    const nowMs = deps.clock.nowMs();
    return {
      status: 200,
      headers: [
        ...bindings.map((binding): HeaderField => ['Contact', contactValue(binding, nowMs)]),
        ['Date', formatSipDate(nowMs)],
      ],
    };
  };
}

function userOf(request: SipRequest, deps: RegisterDeps): Address {
  const registrar = parseSipUri(request.uri);
  const to = parseSipUri(parseNameAddr(request.headers.get('To') ?? '')?.uri ?? '');
  if (registrar === undefined || to === undefined) throw new GatewayError('request-malformed', 'To is no SIP URI');
  const user = entityFromSipUri(to).address;
  // A phone may know its registrar by address alone.
  const isOurs = deps.isOwn(registrar.host) || isAtAddress(registrar.host, request.flow.localAddress);
  if (!isOurs || !deps.isOwn(domainOf(user)) || localpartOf(user) === undefined) {
    throw new GatewayError('recipient-unknown', `${user} is not to be registered here`);
  }
  return user;
}

function proveUser(request: SipRequest, user: Address, deps: RegisterDeps): SipReply | undefined {
  const domain = domainOf(user);
  if (deps.mayActFor(domain, evidenceOf(request))) return undefined;
  const outcome = deps.checkDigest(request, domain);
  if (outcome.kind === 'challenge') return { status: 401, headers: outcome.headers };
  if (outcome.userKey === addressKey(user)) return undefined;
  throw new GatewayError('sender-forbidden', `${outcome.userKey} may not register ${user}`);
}

function registerRequestFrom(request: SipRequest, deps: RegisterDeps): RegisterRequest {
  const { headers } = request;
  const cseq = parseCSeq(headers.get('CSeq') ?? '');
  const callId = headers.get('Call-ID');
  if (cseq === undefined || callId === undefined) throw new GatewayError('request-malformed', 'no Call-ID or CSeq');
  const expires = headers.get('Expires');
  const userAgent = headers.get('User-Agent')?.slice(0, USER_AGENT_LENGTH_MAX);
  const values = headers.all('Contact');
  if (values.includes('*') && values.length > 1) throw new GatewayError('request-malformed', '* beside other contacts');
  const uris: SipUri[] = [];
  const contacts = values[0] === '*' ? '*' : values.map((value) => contactFrom(value, request, deps, uris));
  const flow = contactFlow(uris, request.flow);
  return {
    callId,
    cseq: cseq.number,
    contacts,
    ...(expires === undefined ? {} : { expiresSeconds: secondsFrom(expires) }),
    ...(flow === undefined ? {} : { flow }),
    ...(userAgent === undefined ? {} : { userAgent }),
  };
}

function contactFrom(value: string, request: SipRequest, deps: RegisterDeps, uris: SipUri[]): RegisterContact {
  const contact = parseNameAddr(value);
  const uri = contact === undefined ? undefined : parseSipUri(contact.uri);
  if (contact === undefined || uri === undefined || contact.uri.length > CONTACT_LENGTH_MAX) {
    throw new GatewayError('request-malformed', 'contact is no SIP URI of sensible length');
  }
  if (leadsBack(uri, request, deps)) throw new GatewayError('policy-violated', 'contact leads back to this server');
  uris.push(uri);
  const { params } = contact;
  const q = parseQvalue(textOf(params.get('q')));
  const expires = params.get('expires');
  const instance = textOf(params.get('+sip.instance'));
  return {
    uri: contact.uri,
    ...(q === undefined ? {} : { q: Math.round(q * 1_000) }),
    ...(expires === undefined ? {} : { expiresSeconds: secondsFrom(textOf(expires)) }),
    ...(instance === '' || instance.length > INSTANCE_LENGTH_MAX ? {} : { instance }),
  };
}

function textOf(param: string | true | undefined): string {
  return typeof param === 'string' ? param : '';
}

function secondsFrom(text: string): number {
  return parseExpires(text) ?? MALFORMED_SECONDS;
}

/** A contact at one of our domains or listeners would make every message go round in a circle. */
function leadsBack(uri: SipUri, request: SipRequest, deps: RegisterDeps): boolean {
  // A closing dot names the same domain.
  if (deps.isOwn(uri.host.endsWith('.') ? uri.host.slice(0, -1) : uri.host)) return true;
  const port = uri.port ?? (uri.scheme === 'sips' ? 5061 : 5060);
  return deps.listeners().some((listener) => {
    if (listener.port !== port) return false;
    if (isAtAddress(uri.host, listener.address)) return true;
    const isAnywhere = listener.address === '0.0.0.0' || listener.address === '::';
    return isAnywhere && isAtAddress(uri.host, request.flow.localAddress);
  });
}

function contactValue(binding: Binding, nowMs: number): string {
  const seconds = Math.max(1, Math.round((binding.expiresAtMs - nowMs) / 1_000));
  const q = binding.q === 1_000 ? '' : `;q=${binding.q / 1_000}`;
  const instance = binding.instance === undefined ? '' : `;+sip.instance=${quoteString(binding.instance)}`;
  return `<${binding.contact}>;expires=${seconds}${q}${instance}`;
}
