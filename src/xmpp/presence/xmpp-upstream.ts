import type { Address } from '../../cpim/address.ts';
import { pauseMs } from '../../core/backoff.ts';
import { DueList, LOOK_MS } from '../../core/due-list.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random, Records } from '../../core/ports.ts';
import {
  type EndReason,
  type OnUpstreamReport,
  type Pair,
  pairKey,
  type Upstream,
  type UpstreamReport,
  type UpstreamRoute,
} from '../../core/presence/subscription.ts';
import { RecentMap } from '../../core/recent-map.ts';
import type { XmppLink } from '../link.ts';
import type { ComponentDomains } from '../map-address.ts';
import type { Condition } from '../stanza-error.ts';
import type { PresenceStanza } from '../stanza.ts';
import type { ContactCards } from './contact-cards.ts';
import { ContactStanzas } from './contact-stanzas.ts';
import { type KnownResource, KnownResources } from './known-resources.ts';
import { documentFromResources } from './map-presence.ts';
import { PacedCalls } from './paced-calls.ts';
import type { PepEvent } from './pep-event.ts';
import { type PresenceFetch, PresenceFetches } from './presence-fetches.ts';
import { meaningOfSubscribeError } from './subscribe-error.ts';
import { type UpstreamRecord, upstreamRecordFrom } from './upstream-record.ts';
import { WatchedContact } from './watched-contact.ts';
import { WatchedContacts } from './watched-contacts.ts';

export type XmppUpstreamDeps = {
  /** A link by its name in the configuration. */
  readonly linkOf: (name: string) => { readonly link: XmppLink; readonly domains: ComponentDomains } | undefined;
  readonly records: Records<UpstreamRecord>;
  readonly onReport: OnUpstreamReport;
  /** Whether a contact watches a user of ours, so that he is told of his presence anyway. */
  readonly isWatchedBy: (presentity: Address, watcher: Address) => boolean;
  /** Finds what contacts are called; absent: nobody asks. */
  readonly cards?: Pick<ContactCards, 'want'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** Stanzas in one tick after a link has come up; 10,000 contacts take ten seconds. */
const PER_TICK = 100;
const TICK_MS = 100;
/** After a probe whoever is still there has been heard of in this time, ms. */
const CONFIRM_MS = 10_000;
/** The answers to a fetch, ms: all of it, and after the first. */
const FETCH_MS = 2_000;
const FETCH_REST_MS = 200;
const RETRY = { firstMs: 60_000, maxMs: 3_600_000 };
/** A contact that could not be asked for so long is given up, ms. */
const GIVE_UP_MS = 86_400_000;
/** Presence that contacts have sent to users who have not asked for it. */
const DIRECTED_MAX = 10_000;
const DIRECTED_MS = 86_400_000;

/** Errors in answer to a probe, or to asking once more, that say more than that the far side is not there. */
const PROBE_ENDS: ReadonlySet<Condition> = new Set([
  'forbidden',
  'gone',
  'item-not-found',
  'not-allowed',
  'not-authorized',
]);

type Due =
  | { readonly kind: 'confirm'; readonly contact: WatchedContact; readonly asking: number; readonly time: number }
  | { readonly kind: 'retry'; readonly contact: WatchedContact; readonly asking: number }
  | { readonly kind: 'fetch'; readonly fetch: PresenceFetch; readonly pair: Pair };

/**
 * Watches XMPP users for users of ours (RFC 8048, section 5.3): the permission is asked for once and kept, and XMPP itself
 * keeps the flow going. What was asked is durable and asked again with every link that comes up, until there is an answer.
 *
 * A link that comes up may have missed anything. Each contact is then probed, and a resource that is not heard of again
 * is taken to be gone. `time` counts the ups and downs of a link, so that what was confirmed in one is not in the next.
 */
export class XmppUpstream implements Upstream {
  readonly #deps: XmppUpstreamDeps;
  readonly #stanzas: ContactStanzas;
  /** Those whose presence somebody has asked for. */
  readonly contacts = new WatchedContacts();
  readonly #directed = new RecentMap<KnownResources>({ keepMs: DIRECTED_MS, max: DIRECTED_MAX });
  readonly #fetches = new PresenceFetches();
  readonly #due: DueList<Due>;
  readonly #times = new Map<string, number>();
  readonly #paced = new Map<string, PacedCalls>();

  /** Takes up what an earlier process left. */
  constructor(deps: XmppUpstreamDeps) {
    this.#deps = deps;
    this.#stanzas = new ContactStanzas(deps.linkOf);
    this.#due = new DueList(deps.clock, LOOK_MS, (due) => this.#onDue(due));
    for (const [key, value] of deps.records.all()) {
      const record = upstreamRecordFrom(value);
      if (record === undefined) deps.log.warn({ key }, 'record of a contact cannot be read');
      else this.contacts.add(new WatchedContact(record));
    }
  }

  async watch(pair: Pair, route: UpstreamRoute): Promise<void> {
    if (route.kind !== 'link') throw new GatewayError('internal', 'route does not lead over a link');
    const key = pairKey(pair);
    const known = this.contacts.get(key);
    if (known === undefined) return this.#begin(key, pair, route.link);
    if (known.isWatched && known.link === route.link && known.permission !== 'ending') return known.stored;
    known.isWatched = true;
    this.contacts.move(known, route.link);
    if (known.permission === 'ending') known.permission = 'asked';
    known.stored = this.#deps.records.put(key, known.record);
    await known.stored;
    this.#goOn(known);
  }

  rest(pair: Pair): void {
    const contact = this.contacts.of(pair);
    if (contact?.isWatched !== true) return;
    contact.isWatched = false;
    this.#deps.records.putLater(contact.key, contact.record);
    // RFC 8048, section 5.3.3; not to one who watches the user himself, and would take him for gone.
    if (contact.permission === 'active' && !this.#deps.isWatchedBy(pair.watcher, pair.presentity)) {
      this.#stanzas.post(contact, 'unavailable');
    }
  }

  end(pair: Pair): void {
    const contact = this.contacts.of(pair);
    if (contact === undefined) return;
    contact.permission = 'ending';
    contact.isWatched = false;
    this.#deps.records.putLater(contact.key, contact.record);
    this.#unsubscribe(contact);
  }

  /** As `end`, for all contacts of one who is a user of ours no more. */
  endAll(watcherKey: string): void {
    for (const contact of this.contacts.ofWatcher(watcherKey)) this.end(contact);
  }

  fetch(pair: Pair, route: UpstreamRoute): Promise<UpstreamReport> {
    const key = pairKey(pair);
    const under = this.#fetches.get(key);
    if (under !== undefined) return under.answer;
    const contact = this.contacts.get(key);
    const isKnown =
      contact === undefined
        ? this.#directedOf(key)?.isAnyAvailable === true
        : contact.permission !== 'active' || contact.confirmedIn === this.#timeOf(contact.link);
    const way = { ...pair, link: route.kind === 'link' ? route.link : '' };
    // A probe before the contact has decided would be answered as if he had refused (RFC 6121, section 4.3.2).
    if (isKnown || this.#fetches.isFull || !this.#stanzas.canReach(way)) return Promise.resolve(this.#known(pair));
    const fetch = this.#fetches.begin(key);
    this.#due.add(this.#deps.clock.nowMs() + FETCH_MS, { kind: 'fetch', fetch, pair });
    this.#stanzas.send(way, 'probe').catch(() => this.#fetches.settle(key, this.#known(pair)));
    return fetch.answer;
  }

  reportOf(pair: Pair): UpstreamReport | undefined {
    const contact = this.contacts.of(pair);
    return contact === undefined || contact.permission === 'ending' ? undefined : contact.report;
  }

  /** What a contact lets a user of ours know of his resources, asked for or not. */
  resourcesOf(pair: Pair): readonly KnownResource[] {
    const key = pairKey(pair);
    return (this.contacts.get(key)?.resources ?? this.#directedOf(key))?.all ?? [];
  }

  /** The pair's contact has sent its user presence of any kind but `probe`, `subscribe` and `unsubscribe`. */
  received(pair: Pair, stanza: PresenceStanza): Promise<void> | undefined {
    switch (stanza.type) {
      case 'available':
      case 'unavailable':
        this.#heard(pair, stanza);
        return undefined;
      case 'subscribed':
        return this.#allowed(pairKey(pair));
      case 'unsubscribed':
        this.#refused(pair);
        return undefined;
      case 'error':
        this.#failed(pair, stanza);
        return undefined;
      case 'subscribe':
      case 'unsubscribe':
      case 'probe':
      case 'unknown':
        return undefined;
    }
  }

  /** The account of the pair's contact tells of a mood, an activity, a place. */
  told(pair: Pair, event: PepEvent): void {
    const contact = this.contacts.of(pair);
    if (contact?.permission !== 'active') return;
    contact.told(event);
    this.#changed(contact);
  }

  /** What is owed goes, then everybody who is watched is probed. */
  linkUp(name: string): void {
    this.#times.set(name, this.#timeOf(name) + 1);
    const contacts = this.contacts.over(name);
    const owed = contacts.filter(
      ({ permission, isWatched }) => permission === 'ending' || (permission === 'asked' && isWatched),
    );
    const watched = contacts.filter(({ permission, isWatched }) => permission === 'active' && isWatched);
    let paced = this.#paced.get(name);
    if (paced === undefined) this.#paced.set(name, (paced = new PacedCalls(this.#deps.clock, PER_TICK, TICK_MS)));
    paced.start([...owed, ...watched].map((contact) => () => this.#goOn(contact)));
  }

  linkDown(name: string): void {
    this.#times.set(name, this.#timeOf(name) + 1);
    this.#paced.get(name)?.stop();
  }

  /** A link is gone for good: whoever was seen over it cannot be seen any more. Nothing is said to the contacts. */
  forgetLink(name: string): void {
    this.linkDown(name);
    this.#paced.delete(name);
    for (const contact of this.contacts.over(name)) {
      this.#forget(contact);
      this.#deps.onReport(contact.pair, { state: { at: 'ended', reason: 'noresource' } });
    }
  }

  stop(): void {
    this.#due.stop();
    for (const paced of this.#paced.values()) paced.stop();
  }

  async #begin(key: string, pair: Pair, link: string): Promise<void> {
    const contact = new WatchedContact(
      {
        watcher: pair.watcher,
        presentity: pair.presentity,
        link,
        permission: 'asked',
        isWatched: true,
        resources: [],
        pep: {},
      },
      // What he has sent without being asked is known from the first moment on.
      this.#directedOf(key),
    );
    if (!this.#stanzas.canReach(contact)) {
      this.#deps.onReport(contact.pair, { state: { at: 'ended', reason: 'noresource' } });
      return;
    }
    this.contacts.add(contact);
    contact.stored = this.#deps.records.put(key, contact.record);
    await contact.stored.catch((thrown: unknown) => {
      this.contacts.remove(contact);
      throw new GatewayError('store-unavailable', 'contact cannot be stored', { cause: thrown });
    });
    this.#directed.delete(key);
    this.#goOn(contact);
  }

  /** Asks the contact's side for what is not known, or takes back what was asked. */
  #goOn(contact: WatchedContact): void {
    if (!this.contacts.has(contact)) return;
    if (contact.permission === 'ending') this.#unsubscribe(contact);
    else if (contact.isWatched && contact.permission === 'asked') this.#subscribe(contact);
    else if (contact.isWatched) this.#probe(contact);
  }

  #subscribe(contact: WatchedContact): void {
    contact.asking += 1;
    // A link that is lost comes up again, and then it is asked once more.
    this.#stanzas.send(contact, 'subscribe').catch(() => undefined);
  }

  #unsubscribe(contact: WatchedContact): void {
    this.#stanzas.send(contact, 'unsubscribe').then(
      () => {
        if (contact.permission === 'ending') this.#forget(contact);
      },
      () => undefined,
    );
  }

  #wantCard(contact: WatchedContact): void {
    const { watcher, presentity, link } = contact;
    this.#deps.cards?.want({ watcher, presentity, link }, (card) => {
      if (this.contacts.has(contact) && contact.permission === 'active' && contact.carded(card)) {
        this.#changed(contact);
      }
    });
  }

  #probe(contact: WatchedContact): void {
    this.#wantCard(contact);
    contact.asking += 1;
    contact.resources.expectAll();
    const { asking, link } = contact;
    const time = this.#timeOf(link);
    this.#stanzas.send(contact, 'probe').then(
      () => this.#due.add(this.#deps.clock.nowMs() + CONFIRM_MS, { kind: 'confirm', contact, asking, time }),
      () => undefined,
    );
  }

  #heard(pair: Pair, stanza: PresenceStanza): void {
    const key = pairKey(pair);
    const contact = this.contacts.get(key);
    const nowMs = this.#deps.clock.nowMs();
    if (contact === undefined) {
      const directed = this.#directedOf(key) ?? new KnownResources();
      directed.heard(stanza, nowMs);
      if (directed.isAnyAvailable || this.#fetches.get(key) !== undefined) this.#directed.set(key, directed, nowMs);
      else this.#directed.delete(key);
    } else if (contact.permission === 'asked' && stanza.type === 'unavailable' && !contact.resources.isAnyAvailable) {
      // So Prosody answers whoever asks, whether there is such a user or not: it says nothing of him.
      return;
    } else if (contact.permission !== 'ending') {
      contact.confirmedIn = this.#timeOf(contact.link);
      if (contact.resources.heard(stanza, nowMs)) this.#changed(contact);
    }
    const fetch = this.#fetches.get(key);
    if (fetch === undefined || fetch.isHeard) return;
    fetch.isHeard = true;
    this.#due.add(nowMs + FETCH_REST_MS, { kind: 'fetch', fetch, pair });
  }

  #allowed(key: string): Promise<void> | undefined {
    const contact = this.contacts.get(key);
    if (contact?.permission !== 'asked') return undefined;
    contact.permission = 'active';
    contact.failedSinceMs = undefined;
    contact.failures = 0;
    const stored = this.#deps.records.put(key, contact.record);
    if (contact.isWatched) {
      this.#deps.onReport(contact.pair, contact.report);
      // A server that answers by itself, because the contact has allowed it long ago, does not say how he is.
      this.#probe(contact);
    }
    // Not stored: it is asked again, and answered by the server.
    return stored.catch(() => this.#deps.records.putLater(key, contact.record));
  }

  #refused(pair: Pair): void {
    const key = pairKey(pair);
    const contact = this.contacts.get(key);
    // It answers the probe of one who only looked, and says nothing about what was asked meanwhile.
    const isForFetch = this.#fetches.settle(key, { state: { at: 'ended', reason: 'rejected' } });
    if (contact === undefined || (isForFetch && contact.permission === 'asked')) return;
    if (contact.permission === 'ending') this.#forget(contact);
    else this.#over(contact, 'rejected');
  }

  #failed(pair: Pair, { id, error }: PresenceStanza): void {
    const contact = this.contacts.of(pair);
    if (error === undefined) return;
    const { condition } = error;
    this.#fetches.settle(pairKey(pair), this.#known(pair));
    if (contact === undefined) return;
    if (contact.permission === 'asked' && (id === 'subscribe' || id === undefined)) {
      const meaning = meaningOfSubscribeError(condition);
      if (meaning === 'wait') this.#askLater(contact, condition);
      else this.#over(contact, meaning);
    } else if (contact.permission === 'active' && (id === 'probe' || id === 'subscribe') && PROBE_ENDS.has(condition)) {
      const meaning = meaningOfSubscribeError(condition);
      if (meaning !== 'wait') this.#over(contact, meaning);
    }
  }

  /** Nobody has decided: asked again after a pause that grows, and given up one day. */
  #askLater(contact: WatchedContact, condition: Condition): void {
    const { clock, random, records, log } = this.#deps;
    const nowMs = clock.nowMs();
    contact.failedSinceMs ??= nowMs;
    contact.failures += 1;
    contact.asking += 1;
    if (nowMs - contact.failedSinceMs >= GIVE_UP_MS) {
      this.#over(contact, 'giveup');
      return;
    }
    records.putLater(contact.key, contact.record);
    const afterMs = pauseMs(RETRY, contact.failures, random);
    log.debug({ ...contact.pair, condition, afterMs }, 'contact cannot be asked now');
    this.#due.add(nowMs + afterMs, { kind: 'retry', contact, asking: contact.asking });
  }

  #onDue(due: Due): void {
    if (due.kind === 'fetch') {
      const { fetch, pair } = due;
      if (this.#fetches.get(fetch.key) === fetch) this.#fetches.settle(fetch.key, this.#known(pair));
      return;
    }
    const { contact, asking } = due;
    if (contact.asking !== asking || !this.contacts.has(contact)) return;
    if (due.kind === 'retry') {
      this.#goOn(contact);
    } else if (due.time === this.#timeOf(contact.link)) {
      const isSilent = contact.confirmedIn !== due.time;
      contact.confirmedIn = due.time;
      if (contact.resources.dropUnconfirmed(this.#deps.clock.nowMs())) this.#changed(contact);
      // What he has refused while the link was down is told by nobody, and the probe of one who may not watch answered by
      // few. Where he allows it still, his server says so by itself; else he is asked, and this time heard.
      if (isSilent) this.#subscribe(contact);
    }
  }

  #changed(contact: WatchedContact): void {
    contact.changed();
    // What nobody looks at need not outlive this process: it is asked for again when somebody does.
    if (!contact.isWatched) return;
    this.#deps.records.putLater(contact.key, contact.record);
    if (contact.permission === 'active') this.#deps.onReport(contact.pair, contact.report);
  }

  #over(contact: WatchedContact, reason: EndReason): void {
    this.#forget(contact);
    this.#deps.log.info({ ...contact.pair, reason }, 'contact does not let himself be watched');
    this.#deps.onReport(contact.pair, { state: { at: 'ended', reason } });
  }

  #forget(contact: WatchedContact): void {
    if (this.contacts.remove(contact)) this.#deps.records.removeLater(contact.key);
  }

  #known(pair: Pair): UpstreamReport {
    const key = pairKey(pair);
    const contact = this.contacts.get(key);
    if (contact !== undefined) return contact.report;
    const resources = this.#directedOf(key)?.all ?? [];
    if (resources.length === 0) return { state: { at: 'asked' } };
    // He has told this user himself.
    return { state: { at: 'active' }, document: documentFromResources(pair.presentity, resources) };
  }

  #directedOf(key: string): KnownResources | undefined {
    return this.#directed.get(key, this.#deps.clock.nowMs());
  }

  #timeOf(link: string): number {
    return this.#times.get(link) ?? 1;
  }
}
