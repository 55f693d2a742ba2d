import type { Address } from '../../cpim/address.ts';
import type { Origin } from '../admission.ts';
import type { Pace } from './pace.ts';
import type { EventPackage, Lease, Notification, NotifyBody, Pair, Subscription } from './subscription.ts';

/** Who wants to watch whom; the sender has proved who he is. */
export type FetchRequest = Pair & {
  readonly package: EventPackage;
  readonly displayName?: string;
  readonly origin: Origin;
};

/** The subscribe operation of RFC 3859, section 3.4.1, for a new lease. */
export type SubscribeRequest = FetchRequest & {
  /** See `Subscription.id`. */
  readonly id: string;
  readonly lease: Lease;
  /** Seconds as asked for, above 0; absent: the configured default; `never`: the lease knows no end. */
  readonly expires?: number | 'never';
  /** How often the watcher wishes to be told; what of it is adopted is in the subscription. */
  readonly pace?: Pace;
  /** Whether the watcher has this body already (RFC 5839, section 6.2). */
  readonly hasBody?: (body: NotifyBody | undefined) => boolean;
};

export type RefreshRequest = {
  /** Seconds as asked for; 0 ends the subscription, absent: the configured default. */
  readonly expiresSeconds?: number;
  /** As above; absent: no wish any more. */
  readonly pace?: Pace;
  /** As above: true lets the notification be left out where nothing else has changed (RFC 5839, section 6.3). */
  readonly hasBody?: (body: NotifyBody | undefined) => boolean;
};

export type Granted = { readonly expiresSeconds: number };

/** What the sides of the protocols need of the core's subscriptions. */
export interface Subscriptions {
  /**
   * Resolves when the subscription is stored. What the watcher is told first follows by itself, after the caller has had
   * the time to answer.
   *
   * @throws GatewayError 'recipient-unknown', 'sender-forbidden' (blocked, or not the owner of winfo), 'peer-unknown',
   *   'interval-too-brief' (with `minExpiresSeconds`), 'policy-violated' (bounds), 'rate-exceeded', 'store-unavailable'.
   */
  subscribe(request: SubscribeRequest): Promise<Granted>;
  /**
   * Goes on with, or ends, a live subscription; its lease is stored with it, as changed in place by the caller.
   *
   * @throws GatewayError 'dialog-unknown' for a subscription that is not live, 'interval-too-brief', 'store-unavailable'.
   */
  refresh(id: string, request: RefreshRequest): Promise<Granted & { readonly isSuppressed: boolean }>;
  /** What the watcher may see now, without a subscription. @throws as `subscribe`. */
  fetch(request: FetchRequest): Promise<Pick<Notification, 'body'>>;
  find(id: string): Subscription | undefined;
  /** The subscription that a watcher has over a link; there is one at most for each pair. */
  findOn(via: Lease['via'], pair: Pair): Subscription | undefined;
  /** All subscriptions to the presence of a user of ours. */
  of(presentityKey: string): readonly Subscription[];
  /** Stores the lease of a live subscription as it is now. @throws GatewayError 'store-unavailable'. */
  saveLease(id: string): Promise<void>;
  /** As `saveLease`, soon. */
  saveLeaseLater(id: string): void;
  /** The watcher has given up his permission: nothing more is told (XMPP `unsubscribe`). */
  forget(id: string): Promise<void>;
  /** Whether the watcher is there to see what he is told; a lease counts as there until this says otherwise. */
  attend(id: string, isThere: boolean): void;
  /** Tells the watcher again whatever he was told before, for one who has just come (XMPP probe). */
  tellAgain(id: string): void;
  /** The way to watchers is up: what was held goes now. */
  wake(via: Lease['via']): void;
}

/** Who may be told what, for addresses of ours: 'known' users exist. */
export type IsUser = (address: Address) => boolean;
