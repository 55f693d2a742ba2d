import { domainInCanonicalForm } from '../../cpim/domain.ts';
import { parseIpAddress } from '../cidr.ts';

const LISTEN_TRANSPORTS = ['udp', 'tcp', 'tls', 'ws', 'wss'] as const;
type ListenTransport = (typeof LISTEN_TRANSPORTS)[number];

/** Where SIP is listened for. */
export type SipListen = {
  readonly transport: ListenTransport;
  /** IP address or host name, IPv6 without brackets. */
  readonly address: string;
  /** 0 to 65535; 0 lets the system choose. */
  readonly port: number;
};

export type HostPort = { readonly host: string; readonly port: number };

/** The parts of a next hop that the core looks at. */
export type NextHop = { readonly scheme: 'sip' | 'sips'; readonly host: string; readonly port?: number };

/** A domain in canonical form, other letters as A-labels; undefined for what is none. */
export function parseDomain(text: string): string | undefined {
  return domainInCanonicalForm(text);
}

/** Reads `host:port`, IPv6 in brackets. @returns the host without brackets, or undefined. */
export function parseHostPort(text: string): HostPort | undefined {
  const colon = text.lastIndexOf(':');
  if (colon <= 0) return undefined;
  const port = parsePort(text.slice(colon + 1), 0);
  const host = parseHost(text.slice(0, colon));
  return port === undefined || host === undefined ? undefined : { host, port };
}

/** Reads `udp|tcp|tls|ws|wss://host:port`, IPv6 in brackets, with no path behind it. */
export function parseListen(text: string): SipListen | undefined {
  const end = text.indexOf('://');
  if (end < 0) return undefined;
  const transport = LISTEN_TRANSPORTS.find((one) => one === text.slice(0, end));
  if (transport === undefined) return undefined;
  const where = parseHostPort(text.slice(end + 3));
  return where === undefined ? undefined : { transport, address: where.host, port: where.port };
}

/** Where something else than SIP is listened for, over a stream. */
export type StreamListen = SipListen & { readonly transport: 'tcp' | 'tls' };

/** Reads `tcp|tls://host:port` as `parseListen` does. */
export function parseStreamListen(text: string): StreamListen | undefined {
  const listen = parseListen(text);
  const transport = listen?.transport;
  return listen !== undefined && (transport === 'tcp' || transport === 'tls') ? { ...listen, transport } : undefined;
}

/** A place where others reach this server, `udp://sip.example:5060`: never over WebSocket, on which nobody is dialled. */
export function parseAdvertise(text: string): SipListen | undefined {
  const place = parseListen(text);
  return place === undefined || place.port === 0 || place.transport === 'ws' || place.transport === 'wss'
    ? undefined
    : place;
}

/** What a node may be called: no blank, and none of the marks that stand between names. */
export function isNodeName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text);
}

/** Whether a text is an origin as browsers write it, `https://chat.example:8443`, or `*` for any (RFC 6454, section 6.2). */
export function isOrigin(text: string): boolean {
  if (text === '*') return true;
  const end = text.indexOf('://');
  if (end < 1 || text.length > 300 || !/^[a-z][a-z0-9+.-]*$/i.test(text.slice(0, end))) return false;
  const where = text.slice(end + 3);
  return parseHost(where) !== undefined || parseHostPort(where) !== undefined;
}

/** An address of a DNS server: an IP address, with `:port` where it is not 53. */
export function isDnsServer(text: string): boolean {
  if (parseIpAddress(text) !== undefined) return true;
  const colon = text.lastIndexOf(':');
  if (colon < 0 || parsePort(text.slice(colon + 1), 1) === undefined) return false;
  const host = text.slice(0, colon);
  return parseIpAddress(host) !== undefined && (host.startsWith('[') || !host.includes(':'));
}

/** Reads a SIP URI without user part that names a next hop: `sip:host[:port][;transport=udp|tcp|tls]`, `sips:...`. */
export function parseNextHop(text: string): NextHop | undefined {
  const colon = text.indexOf(':');
  const scheme = text.slice(0, Math.max(0, colon)).toLowerCase();
  if (scheme !== 'sip' && scheme !== 'sips') return undefined;
  const [where = '', ...params] = text.slice(colon + 1).split(';');
  for (const param of params) {
    const [name = '', value] = param.split('=');
    if (!/^[a-z0-9.-]+$/i.test(name) || (value !== undefined && !/^[a-z0-9.-]+$/i.test(value))) return undefined;
    if (name.toLowerCase() === 'transport' && !['udp', 'tcp', 'tls'].includes((value ?? '').toLowerCase())) {
      return undefined;
    }
  }
  const closing = where.indexOf(']');
  const portAt = where.indexOf(':', closing < 0 ? 0 : closing);
  if (portAt < 0) {
    const host = parseHost(where);
    return host === undefined ? undefined : { scheme, host };
  }
  const port = parsePort(where.slice(portAt + 1), 1);
  const host = parseHost(where.slice(0, portAt));
  return port === undefined || host === undefined ? undefined : { scheme, host, port };
}

/** Whether a text is a SIP URI for a Route: one of a proxy, with `lr` (RFC 3261, section 19.1.1). */
export function isLooseRoute(text: string): boolean {
  return parseNextHop(text) !== undefined && /;lr(;|$)/i.test(text);
}

/** An IP address (v6 in brackets) or a domain; v6 comes back without brackets. */
function parseHost(text: string): string | undefined {
  if (text.startsWith('[')) {
    const inner = text.slice(1, -1);
    return text.endsWith(']') && inner.includes(':') && parseIpAddress(inner) !== undefined ? inner : undefined;
  }
  return parseDomain(text);
}

/** Where an XMPP server is found without DNS. */
export type XmppNextHop = { readonly host: string; readonly port: number; readonly isTls: boolean };

/** Reads `tcp://host[:port]` (STARTTLS, 5269) or `tls://host[:port]` (direct TLS, 5270), IPv6 in brackets. */
export function parseXmppNextHop(text: string): XmppNextHop | undefined {
  const end = text.indexOf('://');
  const transport = text.slice(0, Math.max(0, end));
  if (transport !== 'tcp' && transport !== 'tls') return undefined;
  const isTls = transport === 'tls';
  const where = text.slice(end + 3);
  const host = parseHost(where);
  if (host !== undefined) return { host, port: isTls ? 5270 : 5269, isTls };
  const both = parseHostPort(where);
  return both === undefined || both.port === 0 ? undefined : { ...both, isTls };
}

function parsePort(text: string, min: number): number | undefined {
  if (text.length === 0 || text.length > 5 || !/^[0-9]+$/.test(text)) return undefined;
  const port = Number(text);
  return port < min || port > 65_535 ? undefined : port;
}

/** One Redis server, as a URL names it. */
export type RedisUrl = {
  readonly isTls: boolean;
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  /** Absent: the first, 0. */
  readonly database?: number;
};

export const REDIS_URL_FORM = 'a URL of Redis, redis://host:port/0';
/** Of one among several: what they share is said beside them, once. */
export const REDIS_SERVER_FORM = 'redis://host:port, or rediss:// for TLS';

/** Reads `redis[s]://[user][:password@]host[:port][/database]`, IPv6 in brackets, the port 6379 where none is given. */
export function parseRedisUrl(text: string): RedisUrl | undefined {
  const parts = /^(rediss?):\/\/(?:([^\s:@/]*)(?::([^\s@/]*))?@)?([^\s@/?#]+)(?:\/([0-9]{1,4})?)?$/.exec(text);
  if (parts === null) return undefined;
  const [, scheme, user, secret, where = '', database] = parts;
  const withPort = /:[0-9]*$/.test(where.replace(/^\[.*\]/, '')) ? where : `${where}:6379`;
  const place = parseHostPort(withPort);
  const username = decoded(user);
  const password = decoded(secret);
  if (place === undefined || place.port === 0 || username === null || password === null) return undefined;
  return {
    isTls: scheme === 'rediss',
    ...place,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database: Number(database) }),
  };
}

/** @returns undefined for what is not there, null for what is no percent-encoding */
function decoded(text: string | undefined): string | undefined | null {
  if (text === undefined || text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

export const BEARER_TOKEN_FORM = 'a token of at least 16 characters, A-Z a-z 0-9 - . _ ~ + /';

/** Whether a text can be sent as a bearer token (RFC 6750, section 2.1: b64token), and is too long to be guessed. */
export function isBearerToken(text: string): boolean {
  return text.length >= 16 && text.length <= 1_024 && /^[A-Za-z0-9\-._~+/]+=*$/.test(text);
}

/** Whether a text is keys for the passwords of accounts, 32 bytes in base64 each, separated by blanks or line ends. */
export function areAccountKeys(text: string): boolean {
  const words = text.trim().split(/\s+/);
  return words.every((word) => /^[A-Za-z0-9+/]{43}=$/.test(word));
}

/** Whether a next hop is reached over TLS, so that a certificate says who it is. */
export function isOverTls(text: string): boolean {
  const hop = parseNextHop(text);
  return hop !== undefined && (hop.scheme === 'sips' || /;transport=tls(;|$)/i.test(text));
}

/** What a check of the schema has seen to be there. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the configuration schema let a value through that cannot be read');
  return value;
}
