import { addressKey, type Address, domainOf } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random, Records } from '../../core/ports.ts';
import type { OnUpstreamReport, Pair } from '../../core/presence/subscription.ts';
import type { Subscriptions } from '../../core/presence/subscriptions.ts';
import type { XmppLink } from '../link.ts';
import type { ComponentDomains } from '../map-address.ts';
import { ContactCards } from './contact-cards.ts';
import { ContactInterests } from './contact-interests.ts';
import { IqRequests } from './iq-requests.ts';
import { PepTeller } from './pep-teller.ts';
import { type PresenceHandler, presenceHandler } from './presence-handler.ts';
import { type LinkWay, PresenceNotifier } from './presence-notifier.ts';
import { stillThere } from './still-there.ts';
import type { UpstreamRecord } from './upstream-record.ts';
import { XmppUpstream } from './xmpp-upstream.ts';

export type XmppPresenceDeps = {
  /**
   * By name, as they are now: those of accounts come and go. `peer`: the one domain at the far end of a link that has
   * only one; `owner`: address key of the one user of ours whom a link is for.
   */
  readonly links: ReadonlyMap<
    string,
    { readonly link: XmppLink; readonly domains: ComponentDomains; readonly peer?: string; readonly owner?: string }
  >;
  readonly records: Records<UpstreamRecord>;
  /** Of the core, which needs the notifier and the upstream to be there first. */
  readonly subscriptions: () => Subscriptions;
  readonly onReport: OnUpstreamReport;
  /** A token of 1 to 40 characters of `A-Z a-z 0-9 - _` that nobody can guess and that never comes again. */
  readonly newToken: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** What one link needs of presence: handed to its dispatch, and told of its ups and downs. */
export type LinkPresence = PresenceHandler & {
  /** An iq result or error; says whether it answers what was asked here. */
  answered(element: XmlElement): boolean;
  up(): void;
  down(): void;
};

/** The presence of the XMPP side, put together. */
export class XmppPresence {
  readonly notifier: PresenceNotifier;
  readonly upstream: XmppUpstream;
  /** See `stillThere`. */
  readonly isStillThere: (pair: Pair) => Promise<boolean>;
  readonly #deps: XmppPresenceDeps;
  readonly #pep: PepTeller;
  readonly #cards: ContactCards;
  readonly #ways = new Map<string, LinkWay>();
  readonly #byLink = new Map<string, LinkPresence>();

  /** Reads what an earlier process left. */
  constructor(deps: XmppPresenceDeps) {
    const { links, clock, log, subscriptions } = deps;
    this.#deps = deps;
    const linkOf = (name: string): LinkWay | undefined => this.#wayOf(name);
    const subscriptionOf = (pair: Pair) => {
      const presentityKey = addressKey(pair.presentity);
      for (const [name, { peer, owner }] of links) {
        if (peer !== undefined && peer !== domainOf(pair.watcher)) continue;
        if (owner !== undefined && owner !== presentityKey) continue;
        const subscription = subscriptions().findOn(`link:${name}`, pair);
        if (subscription !== undefined) return subscription;
      }
      return undefined;
    };
    const isWatchedBy = (presentity: Address, watcher: Address): boolean =>
      subscriptionOf({ watcher, presentity })?.state.at === 'active';
    this.#cards = new ContactCards({ linkOf, clock });
    this.upstream = new XmppUpstream({ ...deps, linkOf, isWatchedBy, cards: this.#cards });
    const interests = new ContactInterests(clock);
    this.#pep = new PepTeller({ interests, resourcesOf: (pair) => this.upstream.resourcesOf(pair) });
    this.notifier = new PresenceNotifier({ linkOf, subscriptions, pep: this.#pep, clock, log });
    this.isStillThere = stillThere({ linkOf, upstream: this.upstream, subscriptionOf });
  }

  /** The part of one link; undefined for one that there is not. */
  forLink(name: string): LinkPresence | undefined {
    const known = this.#byLink.get(name);
    const way = this.#wayOf(name);
    if (known !== undefined || way === undefined) return known;
    const made = this.#linkPresence(name, way, this.#deps, () => this.#pep.lost());
    this.#byLink.set(name, made);
    return made;
  }

  /** A link is gone for good: what was seen over it is told to be over, and who watched over it watches no more. */
  async forgetLink(name: string, presentity: Address): Promise<void> {
    this.upstream.forgetLink(name);
    this.#byLink.delete(name);
    this.#ways.get(name)?.requests.stop();
    this.#ways.delete(name);
    const subscriptions = this.#deps.subscriptions();
    for (const { id, lease } of subscriptions.of(addressKey(presentity))) {
      if (lease?.via === `link:${name}`) await subscriptions.forget(id);
    }
  }

  /** Asks over a link, by its name in the configuration. */
  requestsOf(name: string): Pick<IqRequests, 'ask'> | undefined {
    return this.#wayOf(name)?.requests;
  }

  /** Asks nothing more; what is owed is asked by the next process. */
  stop(): void {
    this.upstream.stop();
    this.#cards.stop();
    for (const { requests } of this.#ways.values()) requests.stop();
  }

  #wayOf(name: string): LinkWay | undefined {
    const known = this.#ways.get(name);
    const named = this.#deps.links.get(name);
    if (known !== undefined || named === undefined) return known;
    const { clock, newToken } = this.#deps;
    const { link, domains } = named;
    const way = { link, domains, requests: new IqRequests({ post: (stanza) => link.post(stanza), clock, newToken }) };
    this.#ways.set(name, way);
    return way;
  }

  #linkPresence(name: string, way: LinkWay, deps: XmppPresenceDeps, lost: () => void): LinkPresence {
    const { newToken, log, subscriptions } = deps;
    const { link, domains, requests } = way;
    // Made with the first stanza, when the core is there.
    let handler: PresenceHandler | undefined;
    const made = (): PresenceHandler =>
      (handler ??= presenceHandler({
        link: name,
        domains,
        post: (stanza) => link.post(stanza),
        subscriptions: subscriptions(),
        upstream: this.upstream,
        notifier: this.notifier,
        newToken,
        log: log.child({ link: name }),
      }));
    return {
      presence: (stanza) => made().presence(stanza),
      event: (stanza) => made().event(stanza),
      answered: (element) => requests.answered(element),
      up: () => this.upstream.linkUp(name),
      down: () => {
        this.upstream.linkDown(name);
        requests.lost();
        lost();
      },
    };
  }
}
