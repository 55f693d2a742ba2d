import { addressKey, domainOf, type Address } from '../cpim/address.ts';
import type { Content } from '../cpim/content.ts';
import type { InstantMessage } from '../cpim/operation.ts';
import type { Config } from './config.ts';
import { GatewayError } from './errors.ts';
import type { PeerTable } from './peers.ts';
import type { Clock } from './ports.ts';
import { ANONYMOUS } from './presence/subscription.ts';
import { RateTable } from './rate-table.ts';

/** Who handed an operation over, as the side that received it has made sure. */
export type Origin =
  /** A user of ours who has proved who he is, or for whom the core of his domain vouches that handed it over. */
  | { readonly kind: 'local'; readonly user: Address; readonly isFromCore?: true }
  /** A SIP peer that may act for this domain. */
  | { readonly kind: 'sip-peer'; readonly domain: string }
  /** A link, and the domain that the server at its far end vouches for. */
  | { readonly kind: 'link'; readonly link: string; readonly domain: string };

/** Whether what a core handed over because it does not know somebody would go back to it, in a circle for ever. */
export function isReturn(route: { readonly kind: string; readonly domain?: string }, origin: Origin): boolean {
  if (route.kind !== 'sip' || origin.kind !== 'local' || origin.isFromCore !== true) return false;
  return route.domain === domainOf(origin.user);
}

export type AdmissionDeps = {
  readonly peers: PeerTable;
  readonly limits: Pick<Config['limits'], 'messageBytes'>;
  readonly rateLimits: Config['rateLimits'];
  /** Subscriptions one watcher may have: so many he may ask for at once, as a phone does that has just started. */
  readonly subscriptionsPerWatcher: number;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/** Decides whether an operation is taken at all: whose it is, how fast they come, how large it is, how far it went. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #senders: RateTable | undefined;
  readonly #domains: RateTable | undefined;
  /** Subscriptions and publications are counted apart: a flood of them takes no message's place. */
  readonly #presence: RateTable | undefined;
  /** Receipts, too: whoever is written to much, and whose device says so each time, can still write himself. */
  readonly #receipts: RateTable | undefined;
  readonly #receiptDomains: RateTable | undefined;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
    const { rateLimits, subscriptionsPerWatcher, clock } = deps;
    if (rateLimits === 'off') return;
    const { perSenderPerSecond, burst } = rateLimits;
    const presence = { perSecond: perSenderPerSecond, burst: Math.max(burst, subscriptionsPerWatcher) };
    this.#presence = new RateTable(presence, clock);
    this.#senders = new RateTable({ perSecond: perSenderPerSecond, burst }, clock);
    this.#receipts = new RateTable({ perSecond: perSenderPerSecond, burst }, clock);
    const perDomain = { perSecond: rateLimits.perPeerPerSecond, burst: rateLimits.peerBurst };
    this.#domains = new RateTable(perDomain, clock);
    this.#receiptDomains = new RateTable(perDomain, clock);
  }

  /**
   * @throws GatewayError 'sender-forbidden' for a source that its origin may not speak for, 'rate-exceeded' (with
   *   `retryAfterSeconds`), 'content-too-large' (with `sizeMax`), 'hops-exhausted'.
   */
  admit(message: InstantMessage, origin: Origin): void {
    this.#checkSource(message.source.address, origin);
    this.#senders?.take(addressKey(message.source.address));
    if (origin.kind !== 'local') this.#domains?.take(origin.domain);
    const sizeMax = this.#deps.limits.messageBytes;
    if (isLarger(message.content, sizeMax)) {
      throw new GatewayError('content-too-large', `content of more than ${sizeMax} bytes`, { details: { sizeMax } });
    }
    if (message.hops < 1) throw new GatewayError('hops-exhausted', 'no hop left for the message');
  }

  /**
   * A receipt that came over a link.
   *
   * @throws GatewayError 'sender-forbidden', 'rate-exceeded'.
   */
  admitReceipt(source: Address, origin: Origin): void {
    this.#checkSource(source, origin);
    this.#receipts?.take(addressKey(source));
    if (origin.kind !== 'local') this.#receiptDomains?.take(origin.domain);
  }

  /**
   * @throws GatewayError 'sender-forbidden' for a watcher that the origin may not speak for, 'rate-exceeded'.
   */
  admitWatcher(watcher: Address, origin: Origin): void {
    if (watcher !== ANONYMOUS) this.#checkSource(watcher, origin);
    // Those without a name share the allowance of whoever vouches for them.
    const vouching = origin.kind === 'local' ? domainOf(origin.user) : origin.domain;
    this.#presence?.take(watcher === ANONYMOUS ? vouching : addressKey(watcher));
  }

  /** @throws GatewayError 'rate-exceeded'. */
  admitPublisher(presentity: Address): void {
    this.#presence?.take(`publish ${addressKey(presentity)}`);
  }

  #checkSource(source: Address, origin: Origin): void {
    const { peers } = this.#deps;
    const domain = domainOf(source);
    switch (origin.kind) {
      case 'local':
        if (peers.own(domain) !== undefined && addressKey(source) === addressKey(origin.user)) return;
        break;
      case 'sip-peer':
        if (domain === origin.domain && peers.isReachedOver(domain, 'sip')) return;
        break;
      case 'link':
        if (domain === origin.domain && peers.isReachedOver(domain, origin.link)) return;
        break;
    }
    throw new GatewayError('sender-forbidden', `${source} does not come from where it was sent`);
  }
}

/** Whether a content has more than so many bytes on the wire. */
function isLarger(content: Content, bytesMax: number): boolean {
  if ('base64' in content) {
    const { base64 } = content;
    const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
    return (base64.length / 4) * 3 - padding > bytesMax;
  }
  // A UTF-16 unit is at least one byte of UTF-8 and at most three, so most texts need not be counted.
  if (content.text.length > bytesMax) return true;
  return content.text.length * 3 > bytesMax && Buffer.byteLength(content.text, 'utf8') > bytesMax;
}
