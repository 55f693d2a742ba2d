import { type Address, domainOf } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random, Records } from '../../core/ports.ts';
import type { OnUpstreamReport, Pair } from '../../core/presence/subscription.ts';
import type { Subscriptions } from '../../core/presence/subscriptions.ts';
import type { XmppLink } from '../link.ts';
import type { ComponentDomains } from '../map-address.ts';
import { ContactInterests } from './contact-interests.ts';
import { IqRequests } from './iq-requests.ts';
import { PepTeller } from './pep-teller.ts';
import { type PresenceHandler, presenceHandler } from './presence-handler.ts';
import { type LinkWay, PresenceNotifier } from './presence-notifier.ts';
import { stillThere } from './still-there.ts';
import type { UpstreamRecord } from './upstream-record.ts';
import { XmppUpstream } from './xmpp-upstream.ts';

export type XmppPresenceDeps = {
  /** By name. `peer`: the one domain at the far end of a link that has only one. */
  readonly links: ReadonlyMap<
    string,
    { readonly link: XmppLink; readonly domains: ComponentDomains; readonly peer?: string }
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
  readonly #ways: ReadonlyMap<string, LinkWay>;
  readonly #byLink: ReadonlyMap<string, LinkPresence>;

  /** Reads what an earlier process left. */
  constructor(deps: XmppPresenceDeps) {
    const { links, clock, newToken, log, subscriptions } = deps;
    this.#ways = new Map(
      [...links].map(([name, { link, domains }]) => [
        name,
        { link, domains, requests: new IqRequests({ post: (stanza) => link.post(stanza), clock, newToken }) },
      ]),
    );
    const linkOf = (name: string): LinkWay | undefined => this.#ways.get(name);
    const subscriptionOf = (pair: Pair) => {
      for (const name of this.#ways.keys()) {
        const peer = links.get(name)?.peer;
        if (peer !== undefined && peer !== domainOf(pair.watcher)) continue;
        const subscription = subscriptions().findOn(`link:${name}`, pair);
        if (subscription !== undefined) return subscription;
      }
      return undefined;
    };
    const isWatchedBy = (presentity: Address, watcher: Address): boolean =>
      subscriptionOf({ watcher, presentity })?.state.at === 'active';
    this.upstream = new XmppUpstream({ ...deps, linkOf, isWatchedBy });
    const interests = new ContactInterests(clock);
    const pep = new PepTeller({ interests, resourcesOf: (pair) => this.upstream.resourcesOf(pair) });
    this.notifier = new PresenceNotifier({ linkOf, subscriptions, pep, clock, log });
    this.isStillThere = stillThere({ linkOf, upstream: this.upstream, subscriptionOf });
    this.#byLink = new Map(
      [...this.#ways].map(([name, way]) => [name, this.#linkPresence(name, way, deps, () => pep.lost())]),
    );
  }

  /** The part of one link, by its name in the configuration. */
  forLink(name: string): LinkPresence | undefined {
    return this.#byLink.get(name);
  }

  /** Asks over a link, by its name in the configuration. */
  requestsOf(name: string): Pick<IqRequests, 'ask'> | undefined {
    return this.#ways.get(name)?.requests;
  }

  /** Asks nothing more; what is owed is asked by the next process. */
  stop(): void {
    this.upstream.stop();
    for (const { requests } of this.#ways.values()) requests.stop();
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
