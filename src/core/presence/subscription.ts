import { addressKey, type Address } from '../../cpim/address.ts';
import type { PresenceDocument } from '../../cpim/presence/document.ts';
import type { WatcherList } from '../../cpim/presence/watcherinfo.ts';
import type { Pace } from './pace.ts';

/** What may be subscribed to: the presence of somebody, or who watches it (RFC 3857). */
export type EventPackage = 'presence' | 'presence.winfo';

/** Why a subscription has ended (RFC 6665, section 4.1.3; RFC 3857, section 4.7.1). */
export type EndReason = 'rejected' | 'timeout' | 'giveup' | 'deactivated' | 'probation' | 'noresource';

/** Where a subscription stands: the state machine of RFC 3857, section 4.7.1. Times are ms since the epoch. */
export type SubscriptionState =
  /** `expiresAtMs` is absent where the lease knows no end: XMPP. */
  | { readonly at: 'pending' | 'active'; readonly expiresAtMs?: number }
  /** The watcher has gone before anybody decided; kept for the owner to decide. */
  | { readonly at: 'waiting' }
  | { readonly at: 'terminated'; readonly reason: EndReason };

/**
 * What a watcher's protocol needs to reach him. The side that made it reads it; the core keeps it and does not look
 * inside. Plain data, stored as JSON; the side may change its own fields in place where it says what a crash makes of it.
 */
export interface Lease {
  /** `sip`: a dialog. `link:<name>`: the watcher's XMPP account, over this link. */
  readonly via: 'sip' | `link:${string}`;
}

/** A watcher who would not say who he is (RFC 3323, section 4.1.1.3). */
export const ANONYMOUS = 'anonymous@anonymous.invalid' as Address;

/** One subscription of one watcher to one presentity over one lease; the durable part of it. */
export type Subscription = {
  /** The SubscriptID of CPP: at most 40 characters of `A-Z a-z 0-9 - _`, never used twice. */
  readonly id: string;
  readonly package: EventPackage;
  readonly watcher: Address;
  readonly presentity: Address;
  readonly state: SubscriptionState;
  readonly subscribedAtMs: number;
  /** What the watcher calls himself: shown to the owner. */
  readonly displayName?: string;
  /** How often the watcher is told, where he has a wish and beside what the server itself allows. */
  readonly pace?: Pace;
  /** Absent for `waiting`. */
  readonly lease?: Lease;
};

/** A watcher and whom he watches. */
export type Pair = { readonly watcher: Address; readonly presentity: Address };

/** The same two, the one who is watched as the one who watches. */
export function reversed({ watcher, presentity }: Pair): Pair {
  return { watcher: presentity, presentity: watcher };
}

/** The one key of a pair, whatever the spelling of its addresses. */
export function pairKey({ watcher, presentity }: Pair): string {
  return `${addressKey(watcher)}\n${addressKey(presentity)}`;
}

/** What a notification has to say beside the state of the subscription. Shared between watchers who see the same. */
export type NotifyBody =
  | { readonly kind: 'presence'; readonly document: PresenceDocument }
  | { readonly kind: 'watchers'; readonly list: WatcherList };

/** What one watcher is to be told now (the notify operation of RFC 3859, section 3.4.2). */
export type Notification = {
  readonly subscription: Subscription;
  /** As the watcher is to be told; `expiresAtMs` as in SubscriptionState. */
  readonly state:
    | { readonly at: 'pending' | 'active'; readonly expiresAtMs?: number }
    | { readonly at: 'terminated'; readonly reason: EndReason; readonly retryAfterSeconds?: number };
  /** Absent where nothing is known, or nothing may be seen. */
  readonly body?: NotifyBody;
  /** The watcher has this body already: say the state and the entity-tag alone (RFC 5839, section 6.2). */
  readonly isBodySuppressed?: true;
  /** The watcher may not have what he was told before: say everything, not only what has changed. */
  readonly isWhole?: true;
};

export type NotifyOutcome =
  /** The watcher, or his server, has it. */
  | { readonly kind: 'told' }
  /** He cannot be told any more: the subscription is over (RFC 6665, section 4.2.2). */
  | { readonly kind: 'gone'; readonly reason: string }
  /** Not now: the newest state then, after this time. */
  | { readonly kind: 'again'; readonly afterMs: number }
  /** Not before the way to him is up again (`SubscriptionService.wake`). */
  | { readonly kind: 'held' };

/**
 * Tells watchers, over one protocol.
 *
 * 1. `notify` never rejects, and resolves when the watcher has answered or will not.
 * 2. Nothing it says depends on what it was asked for another subscription.
 * 3. The caller has one notification outstanding for a subscription at most.
 */
export interface Notifier {
  notify(notification: Notification): Promise<NotifyOutcome>;
}

/** What a presentity elsewhere lets a watcher of ours know. */
export type UpstreamReport = {
  readonly state:
    /** `asked`: no word yet. */
    { readonly at: 'asked' | 'pending' | 'active' } | { readonly at: 'ended'; readonly reason: EndReason };
  /** The newest document; absent when nothing is known. */
  readonly document?: PresenceDocument;
};

/** How a presentity elsewhere is reached. */
export type UpstreamRoute =
  /** A SIP domain with a presence server of its own. `nextHop` is a SIP URI; absent: RFC 3263 on the domain. */
  | { readonly kind: 'sip'; readonly domain: string; readonly nextHop?: string }
  | { readonly kind: 'link'; readonly link: string };

/**
 * Watches presentities elsewhere on behalf of watchers here, over one protocol. One of them per pair, however many
 * subscriptions the watcher has.
 *
 * 1. `watch` resolves when the intention is stored; from then on it is carried out, over restarts and outages of either
 *    side, until `rest` or `end`. Asking again for what is under way changes nothing.
 * 2. Every change of what the far side says is given to `onReport`, in order; `reportOf` gives the last one, also
 *    directly after a start, before anything has come from the wire.
 * 3. `rest`: nobody is there to see it any more. What keeps the flow going stops; the permission stays.
 * 4. `end`: the watcher gives his permission up.
 * 5. `fetch` asks once, waits for about 2 s at most, and resolves with what is known then. It never rejects.
 */
export interface Upstream {
  watch(pair: Pair, route: UpstreamRoute): Promise<void>;
  rest(pair: Pair): void;
  end(pair: Pair): void;
  fetch(pair: Pair, route: UpstreamRoute): Promise<UpstreamReport>;
  reportOf(pair: Pair): UpstreamReport | undefined;
}

/** Told by an Upstream. */
export type OnUpstreamReport = (pair: Pair, report: UpstreamReport) => void;
