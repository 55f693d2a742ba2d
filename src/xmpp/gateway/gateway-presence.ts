import type { Address } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import type { Clock } from '../../core/ports.ts';
import { bareJid, type Jid } from '../jid.ts';
import { addressFromJid, type ComponentDomains } from '../map-address.ts';
import { PacedCalls } from '../presence/paced-calls.ts';
import { presenceElement, type PresenceStanza } from '../stanza.ts';

export type GatewayPresenceDeps = {
  readonly domains: ComponentDomains;
  readonly post: (stanza: XmlElement) => void;
  /** Who has registered with the gateway; undefined: nobody can. */
  readonly registered: { has(user: Address): boolean; readonly all: Iterable<Jid> } | undefined;
  /** Whether an address of ours is the server itself. */
  readonly isService: (address: Address) => boolean;
  readonly clock: Pick<Clock, 'after'>;
};

/** Stanzas in one tick after the link has come up. */
const PER_TICK = 100;
const TICK_MS = 100;
/** When the server stops; whoever is not told then sees the link go. */
const TOLD_AT_END_MAX = 2_000;

/**
 * The presence of the server itself: of the domain to those who have registered with the gateway (XEP-0100, section 4),
 * and of the address that takes commands to everybody. It is there as long as the link is.
 */
export class GatewayPresence {
  readonly #deps: GatewayPresenceDeps;
  readonly #paced: PacedCalls;

  constructor(deps: GatewayPresenceDeps) {
    this.#deps = deps;
    this.#paced = new PacedCalls(deps.clock, PER_TICK, TICK_MS);
  }

  /** Takes presence to the domain or to a service address; says whether it was for one that has presence. */
  take(stanza: PresenceStanza): boolean {
    const { domains, isService, registered } = this.#deps;
    const user = addressFromJid(bareJid(stanza.from), domains);
    const own = addressFromJid(bareJid(stanza.to), domains);
    if (user === undefined || own === undefined || stanza.from.local === undefined) return false;
    const isDomain = stanza.to.local === undefined;
    if (isDomain ? registered === undefined : !isService(own)) return false;
    const mayWatch = !isDomain || registered?.has(user) === true;
    const to = bareJid(stanza.from);
    const from = bareJid(stanza.to);
    switch (stanza.type) {
      case 'subscribe':
        if (!mayWatch) return false;
        this.#say(from, to, 'subscribed');
        this.#show(from, to);
        return true;
      case 'unsubscribe':
        this.#say(from, to, 'unsubscribed');
        this.#say(from, to, 'unavailable');
        return true;
      case 'probe':
        if (mayWatch) this.#show(from, stanza.from);
        else this.#say(from, to, 'unsubscribed');
        return true;
      case 'available':
      case 'unavailable':
      case 'subscribed':
      case 'unsubscribed':
      case 'error':
      case 'unknown':
        // What users show the server itself says nothing to it.
        return true;
    }
  }

  /** Says to a user, from the domain. */
  say(to: Jid, type: 'subscribe' | 'unsubscribe' | 'unsubscribed' | 'unavailable'): void {
    this.#say({ domain: this.#deps.domains.name }, to, type);
  }

  /** The link is up: whoever has registered sees the gateway come. */
  up(): void {
    const users = [...(this.#deps.registered?.all ?? [])];
    this.#paced.start(users.map((user) => () => this.#show({ domain: this.#deps.domains.name }, user)));
  }

  down(): void {
    this.#paced.stop();
  }

  /** The server stops: they see it go. */
  leave(): void {
    this.#paced.stop();
    let left = TOLD_AT_END_MAX;
    for (const user of this.#deps.registered?.all ?? []) {
      if ((left -= 1) < 0) return;
      this.say(user, 'unavailable');
    }
  }

  #show(from: Jid, to: Jid): void {
    const status = `Gateway to SIP users of ${this.#deps.domains.domain}`;
    this.#deps.post(presenceElement({ from, to }, 'available', [{ name: 'status', attrs: {}, children: [status] }]));
  }

  #say(from: Jid, to: Jid, type: 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed' | 'unavailable'): void {
    this.#deps.post(presenceElement({ from, to }, type, []));
  }
}
