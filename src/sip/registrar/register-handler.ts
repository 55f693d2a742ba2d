import { addressKey, domainOf, localpartOf, type Address } from '../../cpim/address.ts';
import { isAmong, type Cidr } from '../../core/cidr.ts';
import { deviceOf } from '../../core/devices.ts';
import { GatewayError } from '../../core/errors.ts';
import type { PeerEvidence } from '../../core/peers.ts';
import type { Binding, Clock } from '../../core/ports.ts';
import type { RegisterContact, RegisterRequest } from '../../core/registration-service.ts';
import { parseDigits } from '../characters.ts';
import { contactFlow, isOnlyOverFlow } from './contact-flow.ts';
import type { DigestOutcome } from '../digest-check.ts';
import type { Gruus } from './gruu.ts';
import {
  formatSipDate,
  parseCSeq,
  parseExpires,
  parseNameAddr,
  parseQvalue,
  quoteString,
  type Params,
} from '../header-values.ts';
import { isAtAddress } from '../host.ts';
import { entityFromSipUri } from '../map-address.ts';
import type { HeaderField, SipReply, SipRequest } from '../message.ts';
import { pathFrom, type Path } from './path.ts';
import { evidenceOf } from '../sender-proof.ts';
import { isAtListener, type SipHandler, type SipListener, type SipStack } from '../stack.ts';
import { parseSipUri, type SipUri } from '../uri.ts';

export type RegisterDeps = {
  readonly isOwn: (domain: string) => boolean;
  readonly mayActFor: (domain: string, evidence: PeerEvidence) => boolean;
  readonly checkDigest: (request: SipRequest, realm: string) => DigestOutcome;
  readonly register: (user: Address, request: RegisterRequest) => Promise<readonly Binding[]>;
  /** Where we listen: no contact may lead back to us. */
  readonly listeners: () => readonly SipListener[];
  readonly gruus: Pick<Gruus, 'publicOf' | 'temporaryOf'>;
  readonly settings: RegisterSettings;
  /** What the engine may lack. */
  readonly stack?: Pick<SipStack, 'takesRoutes' | 'answersKeepAlives'>;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/** What an operator decides about registration, beside its limits. */
export type RegisterSettings = {
  /** Where requests of users are to pass (RFC 3608): SIP URIs. */
  readonly serviceRoute: readonly string[];
  /** How often phones are to give a sign of life over the connections they hold open, seconds; absent: as they like. */
  readonly flowTimerSeconds?: number;
  /** Edge proxies whose Path is taken whatever it names: IP addresses and blocks of them. */
  readonly edges: readonly Cidr[];
};

const CONTACT_LENGTH_MAX = 512;
const INSTANCE_LENGTH_MAX = 200;
const USER_AGENT_LENGTH_MAX = 200;
const REG_ID_MAX = 0x7fff_ffff;
/** RFC 3261, section 10.2.1.1: what a malformed time counts as. */
const MALFORMED_SECONDS = 3_600;

/**
 * Answers REGISTER as the registrar of our domains (RFC 3261, section 10.3).
 *
 * The digest must prove exactly the user in To; a trusted core speaks for all users of its domain. The 200 lists every
 * contact with the seconds it has left, and for a phone that knows them its own addresses (RFC 5627, section 5.2).
 *
 * A contact with an instance and a reg-id is one flow of that instance (RFC 5626, section 6), where the first hop of the
 * request keeps flows: that is this server, or a proxy that says so in Path. Path is kept with the contact (RFC 3327,
 * section 5.3), for a phone that does not know of it, too: the proxies that put it there do.
 */
export function registerHandler(deps: RegisterDeps): SipHandler {
  return async (request): Promise<SipReply> => {
    const user = userOf(request, deps);
    const proof = proveUser(request, user, deps);
    if (proof.challenge !== undefined) return proof.challenge;
    const { edges, serviceRoute, flowTimerSeconds } = deps.settings;
    const path = pathFrom(request, proof.isCore || isAmong(request.flow.remoteAddress, edges));
    // Rather than to take a contact that cannot be reached (RFC 3327, section 5.3).
    if (path !== undefined && deps.stack?.takesRoutes?.(path.routes) === false) {
      return { status: 420, headers: [['Unsupported', 'path']] };
    }
    const knows = optionsOf(request, 'Supported');
    const isKeptAlive = deps.stack?.answersKeepAlives?.(request.flow.transport) ?? true;
    const isFirstHop = request.headers.all('Via').length === 1;
    const hop: FirstHop = {
      path,
      keepsFlows: isFirstHop ? path === undefined && isKeptAlive : path?.hasOutbound === true,
    };
    if (!hop.keepsFlows && knows.has('outbound') && request.headers.all('Contact').some(namesFlow)) {
      return { status: 439 };
    }
    const asked = registerRequestFrom(request, hop, deps);
    const bindings = await deps.register(user, asked);
    const nowMs = deps.clock.nowMs();
    const isFlow = asked.contacts !== '*' && asked.contacts.some(({ regId }) => regId !== undefined);
    const isOutbound = isFlow && knows.has('outbound');
    const isTimed = isOutbound && path === undefined && flowTimerSeconds !== undefined;
    const headers: HeaderField[] = bindings.map((binding) => [
      'Contact',
      contactValue(binding, nowMs) + (knows.has('gruu') ? gruuParams(user, binding, deps.gruus) : ''),
    ]);
    headers.push(['Date', formatSipDate(nowMs)]);
    if (knows.has('path')) for (const route of path?.routes ?? []) headers.push(['Path', route]);
    for (const uri of serviceRoute) headers.push(['Service-Route', `<${uri}>`]);
    if (isOutbound) headers.push(['Require', 'outbound']);
    if (isTimed) headers.push(['Flow-Timer', String(flowTimerSeconds)]);
    return { status: 200, headers, ...(isTimed ? { flowTimerSeconds } : {}) };
  };
}

/** What stands between the phone and us. */
type FirstHop = { readonly path: Path | undefined; readonly keepsFlows: boolean };

function namesFlow(value: string): boolean {
  const params = parseNameAddr(value)?.params;
  return params?.has('reg-id') === true && params.has('+sip.instance');
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

function proveUser(
  request: SipRequest,
  user: Address,
  deps: RegisterDeps,
): { readonly challenge?: SipReply; readonly isCore: boolean } {
  const domain = domainOf(user);
  if (deps.mayActFor(domain, evidenceOf(request))) return { isCore: true };
  const outcome = deps.checkDigest(request, domain);
  if (outcome.kind === 'challenge') return { challenge: { status: 401, headers: outcome.headers }, isCore: false };
  if (outcome.userKey === addressKey(user)) return { isCore: false };
  throw new GatewayError('sender-forbidden', `${outcome.userKey} may not register ${user}`);
}

function registerRequestFrom(request: SipRequest, hop: FirstHop, deps: RegisterDeps): RegisterRequest {
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
  const all = contacts === '*' ? [] : contacts;
  const hasFlow = hop.keepsFlows && all.some(({ regId }) => regId !== undefined);
  const seconds = expires === undefined ? undefined : secondsFrom(expires);
  if (hasFlow && all.filter((contact) => (contact.expiresSeconds ?? seconds) !== 0).length > 1) {
    throw new GatewayError('request-malformed', 'more than one contact beside one with a reg-id');
  }
  // By way of proxies that want to be passed again the contact is at the end of their flow, not of this one.
  const isDirect = hop.path === undefined;
  const flow = !isDirect ? undefined : hasFlow ? request.flow.id : contactFlow(uris, request.flow);
  const isFlowOnly = flow !== undefined && (hasFlow || isOnlyOverFlow(uris, request.flow));
  const path = hop.path?.routes;
  return {
    callId,
    cseq: cseq.number,
    contacts: contacts === '*' || hop.keepsFlows ? contacts : contacts.map(withoutFlow),
    ...(seconds === undefined ? {} : { expiresSeconds: seconds }),
    ...(flow === undefined ? {} : { flow, isFlowOnly }),
    ...(path === undefined ? {} : { path }),
    ...(optionsOf(request, 'Supported').has('gruu') ? { hasGruu: true } : {}),
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
    ...(instance === '' || instance.length > INSTANCE_LENGTH_MAX ? {} : { instance, ...regIdFrom(params) }),
  };
}

/** RFC 5626, section 11.3: 1 to 2^31 - 1. What is no such number is passed over, as is one without an instance (section 6). */
function regIdFrom(params: Params): { readonly regId?: number } {
  const regId = parseDigits(textOf(params.get('reg-id')), REG_ID_MAX);
  return regId === undefined || regId === 0 ? {} : { regId };
}

/** Where flows are not kept the reg-id says nothing (RFC 5626, section 6). */
function withoutFlow({ uri, q, expiresSeconds, instance }: RegisterContact): RegisterContact {
  return {
    uri,
    ...(q === undefined ? {} : { q }),
    ...(expiresSeconds === undefined ? {} : { expiresSeconds }),
    ...(instance === undefined ? {} : { instance }),
  };
}

/** The option tags of a header field, in small letters. */
function optionsOf({ headers }: SipRequest, name: 'Supported'): ReadonlySet<string> {
  const tags = headers.all(name).flatMap((value) => value.toLowerCase().split(','));
  return new Set(tags.map((tag) => tag.trim()));
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
  const { localAddress } = request.flow;
  return deps.listeners().some((listener) => listener.port === port && isAtListener(uri.host, listener, localAddress));
}

function contactValue(binding: Binding, nowMs: number): string {
  const seconds = Math.max(1, Math.round((binding.expiresAtMs - nowMs) / 1_000));
  const q = binding.q === 1_000 ? '' : `;q=${binding.q / 1_000}`;
  const instance = binding.instance === undefined ? '' : `;+sip.instance=${quoteString(binding.instance)}`;
  const regId = binding.regId === undefined ? '' : `;reg-id=${binding.regId}`;
  return `<${binding.contact}>;expires=${seconds}${q}${instance}${regId}`;
}

/** RFC 5627, section 5.2. */
function gruuParams(user: Address, binding: Binding, gruus: RegisterDeps['gruus']): string {
  const device = deviceOf(binding);
  if (device === undefined || binding.gruusSinceMs === undefined) return '';
  const temporary = gruus.temporaryOf(user, device, binding.gruusSinceMs);
  return `;pub-gruu=${quoteString(gruus.publicOf(user, device))};temp-gruu=${quoteString(temporary)}`;
}
