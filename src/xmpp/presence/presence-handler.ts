import type { XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { type Pair, reversed, type Subscription } from '../../core/presence/subscription.ts';
import type { Subscriptions } from '../../core/presence/subscriptions.ts';
import { Turns } from '../../core/turns.ts';
import { bareJid, formatJid } from '../jid.ts';
import { addressFromJid, type ComponentDomains } from '../map-address.ts';
import { type MessageStanza, type PresenceStanza, presenceElement } from '../stanza.ts';
import { linkLeaseFrom, newLinkLease } from './link-lease.ts';
import { readPepEvent } from './pep-event.ts';
import { NOTIFY_ID, type PresenceNotifier } from './presence-notifier.ts';
import type { XmppUpstream } from './xmpp-upstream.ts';

export type PresenceHandlerDeps = {
  /** The link's name. */
  readonly link: string;
  readonly domains: ComponentDomains;
  /** Answers that are worth nothing once the link is gone. */
  readonly post: (stanza: XmlElement) => void;
  readonly subscriptions: Pick<
    Subscriptions,
    'subscribe' | 'findOn' | 'forget' | 'attend' | 'tellAgain' | 'saveLeaseLater'
  >;
  readonly upstream: Pick<XmppUpstream, 'received' | 'told' | 'resourcesOf' | 'reportOf'>;
  readonly notifier: Pick<PresenceNotifier, 'asked' | 'appeared'>;
  /** See `Subscription.id`. */
  readonly newToken: () => string;
  readonly log: Log;
};

/** What one link hands over of presence. */
export type PresenceHandler = {
  /** A presence stanza of a peer to one of our names. @throws GatewayError, also later, for what is to be answered: 'sender-forbidden' for one who may not watch. */
  presence(stanza: PresenceStanza): Promise<void> | void;
  /** A message that carries an event; says whether it was one of presence. */
  event(stanza: MessageStanza): boolean;
};

/**
 * Takes the presence of XMPP users (RFC 6121, sections 3 and 4) to the core: those who watch users of ours are its
 * watchers, those who are watched by users of ours report through the upstream. One stanza may concern both.
 *
 * What one sender sends is taken in the order of the stream.
 */
export function presenceHandler(deps: PresenceHandlerDeps): PresenceHandler {
  const { subscriptions, upstream, notifier, domains } = deps;
  const via = `link:${deps.link}` as const;
  const order = new Turns();

  const subscriptionOf = ({ watcher, presentity }: Pair): Subscription | undefined =>
    subscriptions.findOn(via, { watcher, presentity });

  const answer = ({ from, to }: PresenceStanza, type: 'unsubscribed' | 'unavailable', resource = ''): void => {
    const own = resource === '' ? bareJid(to) : { ...bareJid(to), resource };
    deps.post(presenceElement({ from: own, to: bareJid(from), id: NOTIFY_ID }, type, []));
  };

  /** Remembers from where a watcher asked, to see later whether he is still there. */
  const rememberPlace = (subscription: Subscription, { from }: PresenceStanza): void => {
    const lease = linkLeaseFrom(subscription.lease);
    if (lease === undefined || from.resource === undefined || lease.askedFrom === from.resource) return;
    lease.askedFrom = from.resource;
    subscriptions.saveLeaseLater(subscription.id);
  };

  /** He has come, or asks as if he had: everything is told to him again. */
  const tellAgain = (subscription: Subscription, stanza: PresenceStanza): void => {
    const lease = linkLeaseFrom(subscription.lease);
    if (lease === undefined) return;
    rememberPlace(subscription, stanza);
    subscriptions.attend(subscription.id, true);
    if (subscription.state.at !== 'active') return;
    notifier.asked(lease, stanza.from, stanza.type === 'subscribe');
    subscriptions.tellAgain(subscription.id);
  };

  const subscribe = async (pair: Pair, stanza: PresenceStanza): Promise<void> => {
    const known = subscriptionOf(pair);
    if (known !== undefined) {
      // RFC 6121, section 3.1.3: what is allowed already is answered at once.
      tellAgain(known, stanza);
      return;
    }
    const { from, nick } = stanza;
    await subscriptions.subscribe({
      ...pair,
      id: deps.newToken(),
      package: 'presence',
      lease: newLinkLease(deps.link, from.resource),
      expires: 'never',
      origin: { kind: 'link', link: deps.link, domain: from.domain },
      ...(nick === undefined ? {} : { displayName: nick }),
    });
  };

  const unsubscribe = async (pair: Pair, stanza: PresenceStanza): Promise<void> => {
    const subscription = subscriptionOf(pair);
    if (subscription !== undefined) {
      const told = linkLeaseFrom(subscription.lease)?.resources ?? [];
      await subscriptions.forget(subscription.id);
      // RFC 6121, section 3.3.3: whoever gives up his permission sees the contact go.
      for (const resource of told) answer(stanza, 'unavailable', resource);
    }
    answer(stanza, 'unsubscribed');
  };

  const probe = (pair: Pair, stanza: PresenceStanza): void => {
    const subscription = subscriptionOf(pair);
    // RFC 6121, section 4.3.2: one who may not watch is told so, whether there is such a user or not.
    if (subscription === undefined) answer(stanza, 'unsubscribed');
    else tellAgain(subscription, stanza);
  };

  /** What a watcher shows of himself says whether he is there to see anything. */
  const attend = (pair: Pair, stanza: PresenceStanza): void => {
    const subscription = subscriptionOf(pair);
    if (subscription === undefined) return;
    const asContact = reversed(pair);
    const isThere = upstream.resourcesOf(asContact).some(({ isAvailable }) => isAvailable);
    // COMPAT(Prosody 0.12, 2026-11): it answers `subscribe` so, whether he is there or not, until he has decided.
    const isOfNobody = !isThere && stanza.from.resource === undefined;
    if (isOfNobody && upstream.reportOf(asContact)?.state.at !== 'active') return;
    if (stanza.type === 'available') rememberPlace(subscription, stanza);
    subscriptions.attend(subscription.id, isThere);
    if (stanza.type === 'available') notifier.appeared(subscription);
  };

  /** An error for what we told a watcher: one who does not exist any more watches nobody. */
  const lost = async (pair: Pair, { id, from, error }: PresenceStanza): Promise<void> => {
    const isGone = error?.condition === 'gone' || error?.condition === 'item-not-found';
    if (id !== NOTIFY_ID || !isGone || from.resource !== undefined) return;
    const subscription = subscriptionOf(pair);
    if (subscription === undefined) return;
    deps.log.info({ ...pair, condition: error.condition }, 'watcher does not exist any more');
    await subscriptions.forget(subscription.id);
  };

  const handle = (pair: Pair, stanza: PresenceStanza): Promise<void> | void => {
    const asContact = reversed(pair);
    switch (stanza.type) {
      case 'subscribe':
        return subscribe(pair, stanza);
      case 'unsubscribe':
        return unsubscribe(pair, stanza);
      case 'probe':
        probe(pair, stanza);
        return undefined;
      case 'subscribed':
      case 'unsubscribed':
        return upstream.received(asContact, stanza);
      case 'available':
      case 'unavailable':
        // First what he shows, then what that means for what he watches.
        void upstream.received(asContact, stanza);
        attend(pair, stanza);
        return undefined;
      case 'error':
        void upstream.received(asContact, stanza);
        return lost(pair, stanza);
      case 'unknown':
        deps.log.debug({ jid: formatJid(stanza.from) }, 'presence of an unknown type ignored');
        return undefined;
    }
  };

  /** The sender as watcher, ours as presentity. */
  const pairOf = ({ from, to }: PresenceStanza | MessageStanza): Pair | undefined => {
    const watcher = from.local === undefined ? undefined : addressFromJid(from, domains);
    const presentity = to.local === undefined ? undefined : addressFromJid(to, domains);
    return watcher === undefined || presentity === undefined ? undefined : { watcher, presentity };
  };

  return {
    presence(stanza) {
      const pair = pairOf(stanza);
      if (pair === undefined) {
        // The domain itself has no presence, and a domain watches nobody.
        if (stanza.type === 'subscribe') throw new GatewayError('service-refused', 'only users have presence');
        return undefined;
      }
      return order.runNow(pair.watcher, () => handle(pair, stanza));
    },
    event(stanza) {
      const event = stanza.event === undefined ? undefined : readPepEvent(stanza.event);
      const pair = pairOf(stanza);
      if (event === undefined || pair === undefined) return stanza.event !== undefined;
      // An account's own service speaks for it by its bare JID (XEP-0163, section 4.3).
      if (stanza.from.resource === undefined) {
        void order.run(pair.watcher, () => upstream.told(reversed(pair), event));
      }
      return true;
    },
  };
}
