import { isWebSocketTransport, type DialledTransport, type SipTransport } from '../message.ts';
import type { SipStack } from '../stack.ts';

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
