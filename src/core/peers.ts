import { isAmong, parseCidrs, type Cidr } from './cidr.ts';
import type { Config, LinkConfig, PeerConfig } from './config.ts';
import type { IdentityPolicy, PeerIdentity, SipSecurity } from './config/trust.ts';
import { parseNextHop } from './config/values.ts';

/** Where a request came from, as far as it proves who sent it. */
export type PeerEvidence = {
  /** IP address it came from, IPv6 with or without brackets. */
  readonly address: string;
  /** Names in the certificate of its connection, when that was verified (RFC 5922, section 7.1). */
  readonly peerNames?: readonly string[];
  /** It came over TLS. */
  readonly isTls?: true;
};

/** A domain this server is authoritative for. */
export type Own = {
  readonly name: string;
  readonly hasTrustedCore: boolean;
  /** The SIP core behind which its users are that are not known here, a SIP URI. */
  readonly nextHop?: string;
  /** Its phones come by way of this server, which keeps their flows. */
  readonly isEdge?: true;
};

/** A domain of somebody else, by one of the ways to it. */
export type Peer = {
  readonly domain: string;
  /** Name of a link, or `sip`. */
  readonly link: string;
  /** The own domain that the link stands for; absent with `sip` and with federation, which carry all of them. */
  readonly standsFor?: string;
  /** The link has a way of its own for each pair of a domain of ours and a peer's: `pairLink` is its name. */
  readonly isPaired?: true;
  /** A SIP URI. Over TLS where the peer's `security` asks for that, also where the configuration names none. */
  readonly nextHop?: string;
};

/** The name of the way between a domain of ours and a peer's over a link that serves many; no configured name has a slash. */
export function pairLink(link: string, own: string, peer: string): string {
  return `${link}/${own}/${peer}`;
}

type Trusted = {
  readonly blocks: readonly Cidr[];
  readonly certificateNames: ReadonlySet<string>;
  readonly security?: SipSecurity;
  readonly identity?: PeerIdentity;
};

/**
 * Who is who: own domains, the domains of others and the ways to them, and who may speak for which.
 *
 * Domains are given in lower case, as `domainOf` returns them. A domain in no entry is a stranger's.
 */
export class PeerTable {
  /** The links of the configuration by name. */
  readonly links: ReadonlyMap<string, LinkConfig>;
  readonly #own = new Map<string, Own>();
  readonly #peers = new Map<string, readonly Peer[]>();
  readonly #trusted = new Map<string, Trusted>();

  constructor(config: Pick<Config, 'domains' | 'links' | 'peers'>) {
    this.links = new Map(Object.entries(config.links));
    for (const { name, trust, nextHop, edge } of config.domains) {
      const hasTrustedCore = trust.length > 0 || nextHop !== undefined;
      this.#own.set(name, {
        name,
        hasTrustedCore,
        ...(nextHop === undefined ? {} : { nextHop }),
        ...(edge === true ? { isEdge: true } : {}),
      });
      const certificateNames = nextHop === undefined ? [] : namesOf(name, nextHop);
      this.#trusted.set(name, { blocks: parseCidrs(trust), certificateNames: new Set(certificateNames) });
    }
    for (const entry of config.peers) this.#add(entry);
  }

  own(domain: string): Own | undefined {
    return this.#own.get(domain);
  }

  get ownDomains(): readonly string[] {
    return [...this.#own.keys()];
  }

  /** The first way to a domain; undefined for a stranger and for a domain of ours. */
  peer(domain: string): Peer | undefined {
    return this.#peers.get(domain)?.[0];
  }

  /** Every way to a domain, in the order of the configuration. */
  peersOf(domain: string): readonly Peer[] {
    return this.#peers.get(domain) ?? [];
  }

  /**
   * Whether users of this domain may reach us over this link. Over an account (`<link>/<user>`) everybody may whom no
   * peer entry gives another way: its service can vouch for no domain of ours and for no peer. Over a pair (`pairLink`)
   * the one domain may that it is for.
   */
  isReachedOver(domain: string, link: string): boolean {
    const slash = link.indexOf('/');
    if (slash >= 0 && this.links.get(link.slice(0, slash))?.type === 'xmpp-s2s') {
      if (!link.endsWith(`/${domain}`)) return false;
      return this.peersOf(domain).some((peer) => peer.link === link.slice(0, slash));
    }
    if (slash >= 0) {
      const isAccount = this.links.get(link.slice(0, slash))?.type === 'xmpp-account';
      return isAccount && this.own(domain) === undefined && this.peer(domain) === undefined;
    }
    return this.peersOf(domain).some((peer) => peer.link === link);
  }

  /** Whether users may link accounts at all, and so be reached from domains of strangers. */
  get hasAccounts(): boolean {
    return [...this.links.values()].some(({ type }) => type === 'xmpp-account');
  }

  /**
   * Whether whoever sent a SIP request may speak for the users of a domain: a SIP peer by its addresses or by a
   * certificate for its domain or its next hop (RFC 5922, section 7.2: no wildcards), a trusted core of a domain of
   * ours by its addresses, and by a certificate where that domain has a next hop. A peer's `security` may ask for more:
   * TLS, or the certificate alone. Never true for strangers, nor for domains that are reached over an XMPP link only.
   */
  mayActFor(domain: string, evidence: PeerEvidence): boolean {
    const trusted = this.#trusted.get(domain);
    if (trusted === undefined) return false;
    if (trusted.security === 'tls' && evidence.isTls !== true) return false;
    if (evidence.peerNames?.some((name) => trusted.certificateNames.has(name.toLowerCase())) === true) return true;
    return isFromTrusted(trusted, evidence);
  }

  /**
   * Whether what is asserted about a user of a domain counts (P-Asserted-Identity; RFC 3325, section 5), from who may act
   * for the domain: always from its core, from a peer where its `identity` says so, or where that says nothing and it
   * comes from the addresses under `trust`.
   */
  believes(domain: string, evidence: PeerEvidence): boolean {
    if (!this.mayActFor(domain, evidence)) return false;
    const trusted = this.#trusted.get(domain);
    const asserted = trusted?.identity?.asserted;
    if (trusted === undefined || this.#own.has(domain)) return true;
    return asserted === undefined ? isFromTrusted(trusted, evidence) : asserted === 'believed' || asserted === 'both';
  }

  /** Whether who has sent a message is told to a domain also where others must not know: to a core, and by `identity`. */
  isGivenIdentity(domain: string): boolean {
    if (this.#own.get(domain)?.nextHop !== undefined) return true;
    const asserted = this.#trusted.get(domain)?.identity?.asserted;
    return asserted === 'given' || asserted === 'both';
  }

  /** Whether what goes to a SIP peer is signed, and what of its requests must be (RFC 8224). */
  signaturesOf(domain: string): { readonly isSigned: boolean; readonly verify: IdentityPolicy } {
    const identity = this.#trusted.get(domain)?.identity;
    return { isSigned: identity?.sign === true, verify: identity?.verify ?? 'off' };
  }

  /** What a SIP peer must offer at least; none for all others. */
  securityOf(domain: string): SipSecurity {
    return this.#trusted.get(domain)?.security ?? 'none';
  }

  /** A domain whose users whoever sent a SIP request may speak for; the first one, where there are several. */
  domainActedFor(evidence: PeerEvidence): string | undefined {
    for (const domain of this.#trusted.keys()) if (this.mayActFor(domain, evidence)) return domain;
    return undefined;
  }

  #add(entry: PeerConfig): void {
    const link = this.links.get(entry.link);
    const standsFor = link?.type === 'xmpp-component' ? link.domain : undefined;
    const { security = 'none' } = entry;
    // The name of the domain, looked up for TLS alone (RFC 3263, section 4.1).
    const nextHop = entry.nextHop ?? (security === 'none' ? undefined : `sip:${entry.domain};transport=tls`);
    const peer: Peer = {
      domain: entry.domain,
      link: entry.link,
      ...(standsFor === undefined ? {} : { standsFor }),
      ...(link?.type === 'xmpp-s2s' ? { isPaired: true } : {}),
      ...(nextHop === undefined ? {} : { nextHop }),
    };
    this.#peers.set(entry.domain, [...this.peersOf(entry.domain), peer]);
    if (entry.link !== 'sip') return;
    this.#trusted.set(entry.domain, {
      blocks: parseCidrs(entry.trust),
      certificateNames: new Set(namesOf(entry.domain, entry.nextHop)),
      security,
      ...(entry.identity === undefined ? {} : { identity: entry.identity }),
    });
  }
}

function isFromTrusted({ blocks, security }: Trusted, evidence: PeerEvidence): boolean {
  return security !== 'mutual-tls' && isAmong(evidence.address, blocks);
}

/** Whose certificate speaks for a domain: its own, and that of its next hop. */
function namesOf(domain: string, nextHop: string | undefined): readonly string[] {
  const host = nextHop === undefined ? undefined : parseNextHop(nextHop)?.host;
  return host === undefined ? [domain] : [domain, host];
}
