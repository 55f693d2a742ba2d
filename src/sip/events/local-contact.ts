import { parseIpAddress } from '../../core/cidr.ts';
import { bare } from '../engine/certificate-names.ts';
import { isWebSocketTransport, type DialledTransport, type SipTransport } from '../message.ts';
import type { SipStack } from '../stack.ts';
import { parseSipUri, uriParam } from '../uri.ts';

/** Whom a Contact of ours is for. */
export type FarEnd = { readonly transport: SipTransport; readonly remoteAddress: string };

const TRANSPORTS: readonly DialledTransport[] = ['udp', 'tcp', 'tls'];
const KEPT_MAX = 1_024;

/**
 * The URI of our Contact in dialogs with a far end (RFC 3261, section 12.1.1): a listener of ours, which is there after
 * a restart, too. It names nobody; who is meant is in the tags.
 */
export class LocalContacts {
  readonly #reachableAt: SipStack['reachableAt'];
  /** One text for each, since every subscription holds one. */
  readonly #kept = new Map<string, string>();

  constructor(stack: Pick<SipStack, 'reachableAt'>) {
    this.#reachableAt = stack.reachableAt.bind(stack);
  }

  /**
   * @param domain one of ours, which its certificate is for: over TLS whoever connects compares names (RFC 5922, section
   *   7.3), so that an address would lead nowhere. Also what is left where nothing listens for this far end.
   * @param isSecure asked for by a `sips:` URI
   */
  async towards({ transport, remoteAddress }: FarEnd, domain: string, isSecure: boolean): Promise<string> {
    if (isSecure) return this.#one(`sips:${domain}`);
    // The very transport first: a connection that the far end has opened is not always open.
    const ways: readonly SipTransport[] = [transport, ...TRANSPORTS.filter((other) => other !== transport)];
    for (const way of ways) {
      const place = await this.#reachableAt(way, remoteAddress);
      if (place === undefined) continue;
      // Over either kind of it the parameter is this one (RFC 7118, section 5.2).
      if (isWebSocketTransport(way)) return this.#one(`sip:${place};transport=ws`);
      if (way === 'tls') return this.#one(`sip:${domain};transport=tls`);
      return this.#one(way === 'udp' ? `sip:${place}` : `sip:${place};transport=${way}`);
    }
    return this.#one(`sip:${domain}`);
  }

  #one(text: string): string {
    const known = this.#kept.get(text);
    if (known !== undefined) return known;
    if (this.#kept.size >= KEPT_MAX) this.#kept.clear();
    this.#kept.set(text, text);
    return text;
  }
}

/** Stands for a next hop whose address is not known before it is looked up: the way out into the world (RFC 5737). */
const SOMEWHERE = '192.0.2.1';

/** Over what a next hop is reached, as the resolver sees it (RFC 3263, section 4.1; RFC 5630, section 3.1.3). */
export function farEndOf(nextHop: string | undefined): FarEnd {
  const uri = nextHop === undefined ? undefined : parseSipUri(nextHop);
  const named = uri === undefined ? undefined : uriParam(uri, 'transport');
  const transport = uri?.scheme === 'sips' ? 'tls' : typeof named === 'string' ? named.toLowerCase() : 'udp';
  const address = uri === undefined || parseIpAddress(uri.host) === undefined ? SOMEWHERE : bare(uri.host);
  return { transport: transport === 'tcp' || transport === 'tls' ? transport : 'udp', remoteAddress: address };
}
