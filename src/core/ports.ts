/**
 * What the core asks of the world: time, chance, and stores that keep their promises.
 *
 * Each port is a numbered list of promises; `test/contract/<port>.ts` holds one test per number and runs against every
 * adapter. The SIP and XMPP transports are ports too, but of their own folders: `sip/stack.ts` and `xmpp/link.ts`.
 */
import type { Operation } from '../cpim/operation.ts';
import type { ErrorCode } from './errors.ts';

/** Time. `nowMs` may jump with the wall clock; timers never do. */
export interface Clock {
  /** Wall clock, ms since the epoch. */
  nowMs(): number;
  /** Runs `action` once after `delayMs` on a monotonic clock; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
}

/** A number in [0, 1), like Math.random; injected so that tests can repeat a run. */
export type Random = () => number;

/**
 * Where an operation goes next; the unit of breakers and bounds.
 * `link:<name>` an XMPP link, `sip:<domain>` a SIP peer, `user:<address key>` one local user's contacts.
 */
export type HopId = `link:${string}` | `sip:${string}` | `user:${string}`;

/** One accepted operation, as the queue is given it. */
export type QueueEntry = {
  /** The operation's id. */
  readonly id: string;
  /** Entries of one lane leave in the order they were added: `<source key>\n<destination key>`. */
  readonly lane: string;
  readonly hop: HopId;
  /** Whom the bound per sender counts this for: address key of the source. */
  readonly owner: string;
  readonly expiresAtMs: number;
  readonly operation: Operation;
  /** The node on which its sender waits for the first attempt. */
  readonly node?: string;
};

/** An entry on its way out. */
export type Delivery = QueueEntry & {
  /** Grows with every entry ever added, across restarts; at most 2^31 - 1. */
  readonly sequence: number;
  /** How many attempts have been made, this one included; 1 on the first. */
  readonly attempt: number;
  /** An earlier attempt, or a process that ended, may have put it on the wire already. */
  readonly maybeSent: boolean;
};

export type AttemptOutcome =
  /** The next hop has it. */
  | { readonly kind: 'delivered' }
  /** Not now: attempt the lane again at this time, ms since the epoch. Code and reason are for the operator's list. */
  | { readonly kind: 'again'; readonly atMs: number; readonly code?: ErrorCode; readonly reason?: string }
  /** Not before `wake(hop)`, `retry`, or the end of the lifetime. Counts as no attempt. */
  | { readonly kind: 'held' }
  /** Never: keep it as a dead letter with this reason. */
  | { readonly kind: 'dead'; readonly code: ErrorCode; readonly reason: string };

/** Makes one attempt. Never rejects; what goes wrong is an outcome. */
export type AttemptDelivery = (delivery: Delivery) => Promise<AttemptOutcome>;

export type QueueBounds = { readonly total: number; readonly perHop: number; readonly perOwner: number };

/** How the operator sees an entry. */
export type QueueItem = {
  readonly id: string;
  readonly state: 'waiting' | 'held' | 'under-way' | 'dead';
  readonly hop: HopId;
  readonly lane: string;
  readonly owner: string;
  readonly acceptedAtMs: number;
  readonly expiresAtMs: number;
  readonly attempts: number;
  /** When it will be tried again, where a time is set. */
  readonly notBeforeMs?: number;
  /** Why it died, or why the last attempt failed. */
  readonly code?: string;
  readonly reason?: string;
};

export type QueueFilter = {
  readonly state?: 'live' | 'dead';
  readonly hop?: string;
  readonly owner?: string;
  /** At most this many, oldest first; 1 to 10,000. */
  readonly limit: number;
};

export type QueueFigures = {
  readonly live: number;
  readonly dead: number;
  readonly underWay: number;
  /** Live entries per hop; only hops that have some. */
  readonly perHop: Readonly<Record<string, number>>;
  /** acceptedAtMs of the oldest live entry. */
  readonly oldestAtMs?: number;
};

/**
 * Holds accepted operations until the next hop has them, they die, or their lifetime ends.
 *
 * Promises of every implementation:
 *  1. `add` resolves only after the entry would survive what the adapter claims to survive.
 *  2. Adding an id that is held, or left within the remembered time, changes nothing and says 'known'.
 *  3. Entries of one lane are first attempted in the order they were added, and none overtakes one that waits for its
 *     retry; up to `window(hop)` of a lane are attempted at once, started in order.
 *  4. 'again' is attempted again at its time or at `wake` of its hop, 'held' at `wake` of its hop, 'dead' never
 *     (unless the operator says so); each keeps its place in the lane.
 *  5. At least once: a process that ends during an attempt repeats it with `maybeSent`, never loses it.
 *  6. Lanes go on side by side: one that waits, or whose attempt takes long, holds up no other.
 *  7. Over a bound `add` throws GatewayError('queue-full'); nothing already held is dropped for it. When the medium
 *     fails it throws 'store-unavailable', and works again when the medium does.
 *  8. An entry past `expiresAtMs` is handed to the attempt within a minute, even in a held lane; the attempt sees to it.
 *  9. `retry` brings a dead or waiting entry to an attempt now, `drop` removes it; both say whether it was there.
 * 10. `stop` starts nothing new, waits for attempts under way at most `graceMs`, and what was under way is kept.
 */
export interface DeliveryQueue {
  add(entry: QueueEntry): Promise<'added' | 'known'>;
  /**
   * Starts attempting, what an earlier process left included. Called once, after both transports exist.
   * `window` says how many entries of one lane may be under way at once towards this hop: 1 where each must be
   * answered before the next (RFC 3428, section 8), more where the transport itself keeps order.
   */
  start(attempt: AttemptDelivery, window: (hop: HopId) => number): Promise<void>;
  /** Lets the waiting lanes of a hop go on now; `lanesMax` lets only so many go, to try whether the hop is back. */
  wake(hop: HopId, lanesMax?: number): void;
  stop(graceMs: number): Promise<void>;
  figures(): QueueFigures;
  list(filter: QueueFilter): Promise<readonly QueueItem[]>;
  show(id: string): Promise<(QueueItem & { readonly operation: Operation }) | undefined>;
  retry(id: string): Promise<boolean>;
  drop(id: string): Promise<boolean>;
}

/** A contact of a local user (RFC 3261, section 10). */
export type Binding = {
  /** Contact URI as registered. */
  readonly contact: string;
  /** 0 to 1000: the q value times a thousand; 1000 when none was given. */
  readonly q: number;
  readonly expiresAtMs: number;
  readonly callId: string;
  readonly cseq: number;
  /** The instance (+sip.instance) where the contact named one. */
  readonly instance?: string;
  /** Which flow of its instance this is (RFC 5626, section 6): such a binding is known by both, not by its contact. */
  readonly regId?: number;
  /** Where the REGISTER came from, for answering over the same connection: an opaque name of the SIP engine. */
  readonly flow?: string;
  /** The contact is nowhere but at the end of `flow`: when that is gone, nothing leads there until the next REGISTER. */
  readonly isFlowOnly?: true;
  /** Route values that lead to the contact, the nearest first (RFC 3327, section 5.3). */
  readonly path?: readonly string[];
  /** The phone has asked for addresses of its own (RFC 5627). */
  readonly hasGruu?: true;
  /** Since when temporary GRUUs of the instance have been valid, ms since the epoch (RFC 5627, section 5.1). */
  readonly gruusSinceMs?: number;
  /** When it was made or refreshed, ms since the epoch. */
  readonly refreshedAtMs?: number;
  readonly userAgent?: string;
};

/**
 * Bindings of local users.
 *
 * 1. `replace` resolves only after the new set would survive what the adapter claims to survive.
 * 2. `of` answers from memory, at once, with what `replace` last resolved for that user, expired ones left out; what
 *    another process has stored since it knows within a second (`Store.isCurrent`).
 * 3. What was replaced is found again after a restart.
 * 4. An empty set removes the user's row.
 * 5. `users` gives every user with bindings, expired ones included, also those that did while no process ran.
 * 6. After `removeExpired` the user has no expired binding; one who has none left is not found again after a restart,
 *    unless the process ends within some milliseconds.
 * 7. `replace` never undoes what another process has stored since `of` last answered here: it throws
 *    GatewayError('conflict') and changes nothing, and `of` answers with the other's from then on.
 */
export interface BindingStore {
  of(userKey: string, nowMs: number): readonly Binding[];
  replace(userKey: string, bindings: readonly Binding[]): Promise<void>;
  /** Keys of users. */
  users(): Iterable<string>;
  /** Whether the user has a binding that is over and was not removed. */
  hasExpired(userKey: string, nowMs: number): boolean;
  removeExpired(userKey: string, nowMs: number): void;
  /** Users with at least one binding not expired. */
  count(nowMs: number): number;
}

/** A local user's digests (RFC 7616, section 3.4.2: H(A1)); the password itself is never kept. */
export type Credential = {
  /** Address key of the user. */
  readonly user: string;
  /** Hex of MD5(username:realm:password). */
  readonly md5: string;
  /** Hex of SHA-256(username:realm:password). */
  readonly sha256: string;
};

/**
 * Credentials of local users.
 *
 * 1. `put` resolves after all of them are durable, all or none; a user that exists is overwritten.
 * 2. `find` sees what another process put: at once where it asks a file, within a second where it is told
 *    (`Store.isCurrent`).
 * 3. `remove` says whether the user was there; 4. `list` is sorted by user and bounded.
 */
export interface CredentialStore {
  find(user: string): Credential | undefined;
  put(credentials: readonly Credential[]): Promise<void>;
  remove(user: string): Promise<boolean>;
  /** Sorted; those after `after`, at most `limit`. */
  list(limit: number, after?: string): readonly string[];
}

/**
 * Everything of a server that outlives its process. Where several processes share one, what `records`, `bindings` and
 * `credentials` answer from memory follows what the others store.
 */
export interface Store {
  readonly queue: DeliveryQueue;
  readonly bindings: BindingStore;
  readonly credentials: CredentialStore;
  /** Records of one kind; whoever asks for a kind owns it. */
  readonly records: <T>(kind: string) => Records<T>;
  /**
   * Tells what another process has changed, when the answers have followed: in the order of the changes of one key.
   *
   * @param kind `bindings` (the key is a user's), `credentials`, or a kind of records
   * @param listener `isThere`: whether it was put, not removed; must not throw
   * @returns stops telling
   */
  readonly onChange: (kind: string, listener: (key: string, isThere: boolean) => void) => () => void;
  /** Whether the medium is there, and what other processes stored a few seconds ago is known here. */
  readonly isCurrent: () => boolean;
  /** Stops the queue if that was not done, writes what is left to write, and lets go of the medium. */
  readonly close: () => Promise<void>;
}

/** The way an operation goes, as the router finds it for one source and destination. */
export type Route =
  /** To the contacts of a local user. */
  | { readonly kind: 'local'; readonly hop: HopId; readonly userKey: string }
  /** To an XMPP domain over a link. */
  | { readonly kind: 'link'; readonly hop: HopId; readonly link: string; readonly domain: string }
  /** To a SIP peer domain. `nextHop` is a SIP URI; absent: RFC 3263 on the domain. */
  | { readonly kind: 'sip'; readonly hop: HopId; readonly domain: string; readonly nextHop?: string };

/**
 * Puts one operation on the wire of one kind of route, and waits for the word that it was taken.
 *
 * Resolves when the next hop has it (SIP: a 2xx; XMPP: confirmed by the link). Rejects with a GatewayError: transient
 * when a later attempt may succeed, permanent otherwise. A report that its own protocol cannot carry resolves.
 */
export interface OperationSender {
  send(delivery: Delivery, route: Route): Promise<void>;
}

/**
 * Durable records of one kind, by key. Whoever owns the kind keeps them in memory, read once at the start.
 *
 * 1. `put` and `remove` resolve only after the change would survive what the adapter claims to survive; `later` variants
 *    return at once and become durable with the next write or within some milliseconds, unless the process ends first.
 * 2. Changes become durable in the order of the calls, over all kinds of one store: what is found after a crash is a
 *    state that was given, never a later change without an earlier one.
 * 3. `all` gives what was put and not removed, in no order; a record that cannot be read is left out and logged.
 * 4. When the medium fails, `put` and `remove` reject with GatewayError('store-unavailable'); `later` variants are tried
 *    again until they succeed.
 *
 * Values are plain data, kept as JSON. Keys are at most 8,192 characters: a pair of addresses fits.
 */
export interface Records<T> {
  all(): Iterable<readonly [key: string, value: T]>;
  put(key: string, value: T): Promise<void>;
  putLater(key: string, value: T): void;
  remove(key: string): Promise<void>;
  removeLater(key: string): void;
}
