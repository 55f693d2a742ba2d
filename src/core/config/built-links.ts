/** Links and peers as the rest of the server has them: texts taken apart, files read. */
import type { ConfigPath } from './faults.ts';
import type { FileTexts } from './files.ts';
import type { ConfigValues } from './schema.ts';
import {
  builtIdentity,
  SIP_SECURITY,
  type PeerIdentity,
  XMPP_SECURITY,
  type SipSecurity,
  type XmppSecurity,
} from './trust.ts';
import {
  known,
  parseDomain,
  parseStreamListen,
  parseXmppNextHop,
  type StreamListen,
  type XmppNextHop,
} from './values.ts';

export type ComponentLinkConfig = {
  readonly type: 'xmpp-component';
  readonly host: string;
  readonly port: number;
  /** Our address on the XMPP side, lower case. */
  readonly name: string;
  /** The own domain it stands for. */
  readonly domain: string;
  /** Whether XMPP users may register with it as a gateway. */
  readonly registration: boolean;
  readonly secret: string;
};

/** Accounts of users of ours on public XMPP services. */
export type AccountLinkConfig = {
  readonly type: 'xmpp-account';
  /** Services whose accounts may be linked, lower case. */
  readonly domains: readonly string[];
  /** Where they are reached; absent: found by DNS. */
  readonly host?: string;
  readonly port?: number;
  readonly directTls: boolean;
  /** PEM of the roots; absent: those of Node. */
  readonly ca?: string;
  readonly allowPlain: boolean;
  readonly contacts: 'anyone' | 'roster';
  readonly priority: number;
  readonly accountsMax: number;
};

/** Federation with XMPP domains, server to server. */
export type FederationLinkConfig = {
  readonly type: 'xmpp-s2s';
  readonly listen: readonly StreamListen[];
  /** PEM texts. */
  readonly certificate?: { readonly certificate: string; readonly key: string };
  /** PEM of the roots; absent: those of Node. */
  readonly ca?: string;
  readonly warnDays: number;
  readonly idleSeconds: number;
  readonly authenticateSeconds: number;
  readonly streamsPerAddress: number;
  readonly streams: number;
  readonly unprovedStreams: number;
};

export type LinkConfig = ComponentLinkConfig | AccountLinkConfig | FederationLinkConfig;

export type PeerConfig = {
  readonly domain: string;
  /** Name of a link, or `sip`. */
  readonly link: string;
  /** A SIP URI. */
  readonly nextHop?: string;
  readonly trust: readonly string[];
  /** The least a SIP peer must offer; absent: none. */
  readonly security?: SipSecurity;
  /** What is said about senders between a SIP peer and us. */
  readonly identity?: PeerIdentity;
  /** Of a peer over a link of type `xmpp-s2s`. */
  readonly s2s?: { readonly security: XmppSecurity; readonly nextHop?: XmppNextHop };
};

export function builtLink(link: ConfigValues['links'][string], path: ConfigPath, files: FileTexts): LinkConfig {
  if (link.type === 'xmpp-account') {
    const { host, port, ca, ...rest } = link;
    return {
      ...rest,
      domains: link.domains.map((domain) => known(parseDomain(domain))),
      ...(host === undefined ? {} : { host }),
      ...(port === undefined ? {} : { port }),
      ...(ca === undefined ? {} : { ca: files.certificates(ca, [...path, 'ca']) }),
    };
  }
  if (link.type === 'xmpp-s2s') {
    const { certificate, key, ca, ...rest } = link;
    const named = certificate === undefined || key === undefined ? undefined : { certificate, key, ca };
    const tls = files.tls(named, path);
    const roots = tls === undefined && ca !== undefined ? files.certificates(ca, [...path, 'ca']) : tls?.ca;
    return {
      ...rest,
      listen: link.listen.map((one) => known(parseStreamListen(one))),
      ...(tls === undefined ? {} : { certificate: { certificate: tls.certificate, key: tls.key } }),
      ...(roots === undefined ? {} : { ca: roots }),
    };
  }
  const { secretFile, ...rest } = link;
  return {
    ...rest,
    name: known(parseDomain(link.name)),
    domain: known(parseDomain(link.domain ?? link.name)),
    secret: link.secret ?? (secretFile === undefined ? '' : files.secret(secretFile, [...path, 'secretFile'])),
  };
}

export function builtPeer(
  { domain, link, trust, nextHop, security, identity }: ConfigValues['peers'][number],
  isFederated: boolean,
): PeerConfig {
  const base = { domain: known(parseDomain(domain)), link, trust };
  if (!isFederated) {
    const least = SIP_SECURITY.find((one) => one === security);
    return {
      ...base,
      ...(nextHop === undefined ? {} : { nextHop }),
      ...(least === undefined ? {} : { security: least }),
      ...(identity === undefined ? {} : { identity: builtIdentity(identity) }),
    };
  }
  const least = XMPP_SECURITY.find((one) => one === security) ?? 'certificate';
  const place = nextHop === undefined ? undefined : parseXmppNextHop(nextHop);
  return { ...base, s2s: { security: least, ...(place === undefined ? {} : { nextHop: place }) } };
}
