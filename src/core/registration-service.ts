import { addressKey, type Address } from '../cpim/address.ts';
import { Alarms } from './alarms.ts';
import { contactsOfDevice, isSameDevice } from './devices.ts';
import { GatewayError } from './errors.ts';
import { grantedSeconds, type ExpiresLimits } from './granted-seconds.ts';
import type { Log } from './log.ts';
import type { Binding, BindingStore, Clock, HopId } from './ports.ts';
import { userHop } from './router.ts';
import { Turns } from './turns.ts';

export type RegisterContact = {
  /** Contact URI as sent. */
  readonly uri: string;
  /** 0 to 1000; absent: 1000. */
  readonly q?: number;
  /** The `expires` parameter, seconds. */
  readonly expiresSeconds?: number;
  readonly instance?: string;
  /** Present where the contact is one flow of its instance (RFC 5626); needs `instance`. */
  readonly regId?: number;
};

/** What a REGISTER asks for, whoever sent it having proved that he may (RFC 3261, section 10.2). */
export type RegisterRequest = {
  readonly callId: string;
  readonly cseq: number;
  /** None: only asks what is registered. `*`: remove all, with `expiresSeconds` 0. */
  readonly contacts: '*' | readonly RegisterContact[];
  /** The Expires header field, seconds. */
  readonly expiresSeconds?: number;
  readonly flow?: string;
  /** The contacts are reached over that flow and in no other way. */
  readonly isFlowOnly?: boolean;
  readonly path?: readonly string[];
  /** Whether instances get GRUUs. */
  readonly hasGruu?: boolean;
  readonly userAgent?: string;
};

export type RegistrationLimits = {
  readonly expires: ExpiresLimits;
  readonly contactsMax: number;
};

/** Whether two contact URIs are one (RFC 3261, section 19.1.4). */
export type SameContact = (a: string, b: string) => boolean;

export type RegistrationDeps = {
  readonly store: BindingStore;
  readonly limits: RegistrationLimits;
  readonly sameContact: SameContact;
  /** Whether requests can go over a flow at this moment. */
  readonly isFlowOpen: (flow: string) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each user who has just come or come again, so that what waits for him can go. */
  readonly wake: (hop: HopId) => void;
  /**
   * Told, by the key of the user, right before bindings that others may see change in the store: what it stores with a
   * `later` variant becomes durable with them. A refresh that changes nothing but the time is left out.
   */
  readonly beforeChange: (userKey: string) => void;
  /** Told after every stored change, refreshes included, and when bindings expire. */
  readonly changed: (userKey: string) => void;
};

/** So often a REGISTER starts again because another node was faster with one of the same user. */
const CONFLICTS_MAX = 5;
/** How often it is looked for contacts whose connections are gone; they are over at the second look. */
const GONE_LOOK_MS = 60_000;

/** Who is registered where. */
export class RegistrationService {
  readonly #deps: RegistrationDeps;
  /** The next registration of a user starts from the result of the one before. */
  readonly #turns = new Turns();
  /** When the first binding of each user expires. */
  readonly #alarms: Alarms;
  /** Flows that were gone at the last look. */
  #goneFlows: ReadonlySet<string> = new Set();
  #cancelLook: (() => void) | undefined;

  constructor(deps: RegistrationDeps) {
    this.#deps = deps;
    this.#alarms = new Alarms(deps.clock, (userKey) => this.#expire(userKey));
  }

  /** Notices from now on when bindings expire. Those that did while no process ran are reported within the call. */
  start(): void {
    const { store } = this.#deps;
    for (const userKey of [...store.users()]) this.#expire(userKey);
    this.#lookForGone();
  }

  stop(): void {
    this.#cancelLook?.();
    this.#alarms.stop();
  }

  /**
   * Carries out a REGISTER, whole or not at all.
   *
   * @returns the bindings of the user after it, none expired.
   * @throws GatewayError 'interval-too-brief' (with `minExpiresSeconds`), 'request-malformed' for a wrong `*`,
   *   'request-unexpected' for one older than what is stored, 'policy-violated' for too many contacts, and what the
   *   store throws.
   * @see RFC 3261, section 10.3, steps 6 to 8
   */
  async register(user: Address, request: RegisterRequest): Promise<readonly Binding[]> {
    const userKey = addressKey(user);
    // One that fails has changed nothing, so the next starts from the same set.
    return this.#turns.run(userKey, () => this.#applyOnce(userKey, request, CONFLICTS_MAX));
  }

  /** The contacts of a user that have not expired, best first. Answers from memory. */
  contactsOf(userKey: string): readonly Binding[] {
    const bindings = this.#deps.store.of(userKey, this.#deps.clock.nowMs());
    return bindings.length < 2 ? bindings : [...bindings].sort((a, b) => b.q - a.q);
  }

  /**
   * Those of them to which a request can be sent now: not contacts at the end of a connection that is gone (RFC 5626,
   * section 7).
   *
   * @param device those of this device alone, by its URN
   */
  reachableOf(userKey: string, device?: string): readonly Binding[] {
    const { isFlowOpen } = this.#deps;
    const bindings = this.contactsOf(userKey);
    const wanted = device === undefined ? bindings : contactsOfDevice(bindings, device);
    return wanted.filter(({ isFlowOnly, flow }) => isFlowOnly !== true || (flow !== undefined && isFlowOpen(flow)));
  }

  /** Another node may have taken a REGISTER of the same user meanwhile: then again, on top of what came of that. */
  async #applyOnce(userKey: string, request: RegisterRequest, conflictsLeft: number): Promise<readonly Binding[]> {
    try {
      return await this.#apply(userKey, request);
    } catch (thrown) {
      if (!(thrown instanceof GatewayError) || thrown.code !== 'conflict' || conflictsLeft === 0) throw thrown;
      return this.#applyOnce(userKey, request, conflictsLeft - 1);
    }
  }

  async #apply(userKey: string, request: RegisterRequest): Promise<readonly Binding[]> {
    const { store, clock, limits, sameContact, log, wake } = this.#deps;
    const nowMs = clock.nowMs();
    const current = store.of(userKey, nowMs);
    if (request.contacts.length === 0) return current;
    const { bindings, isReachable } = bindingsAfter(current, request, limits, nowMs, sameContact);
    if (!isSameToOthers(current, bindings)) this.#deps.beforeChange(userKey);
    await this.#replace(userKey, bindings);
    log.info({ aor: userKey, callId: request.callId, contacts: bindings.length }, 'registration changed');
    if (isReachable) wake(userHop(userKey));
    return bindings;
  }

  /**
   * A contact at the end of a connection that is gone is over (RFC 5626, section 7), once its phone has had a minute to
   * come back: who watches its user is told that he is away, and does not have to wait for the end of the registration.
   */
  #lookForGone(): void {
    const { store, clock, isFlowOpen } = this.#deps;
    this.#cancelLook = clock.after(GONE_LOOK_MS, () => this.#lookForGone());
    const nowMs = clock.nowMs();
    const gone = new Set<string>();
    for (const userKey of [...store.users()]) {
      for (const { isFlowOnly, flow } of store.of(userKey, nowMs)) {
        if (isFlowOnly !== true || flow === undefined || isFlowOpen(flow)) continue;
        gone.add(flow);
        if (this.#goneFlows.has(flow)) void this.#drop(userKey, flow);
      }
    }
    this.#goneFlows = gone;
  }

  async #drop(userKey: string, flow: string): Promise<void> {
    const { store, clock, log, beforeChange } = this.#deps;
    try {
      await this.#turns.run(userKey, async () => {
        const bindings = store.of(userKey, clock.nowMs());
        const left = bindings.filter((binding) => binding.isFlowOnly !== true || binding.flow !== flow);
        // It may have come back meanwhile.
        if (left.length === bindings.length) return;
        beforeChange(userKey);
        await this.#replace(userKey, left);
        log.info({ aor: userKey, contacts: left.length }, 'contact dropped, its connection is gone');
      });
    } catch (error) {
      log.info({ aor: userKey, error }, 'contact without a connection stays until the next look');
    }
  }

  async #replace(userKey: string, bindings: readonly Binding[]): Promise<void> {
    await this.#deps.store.replace(userKey, bindings);
    this.#alarms.setFirst(userKey, bindings);
    this.#deps.changed(userKey);
  }

  /** Reports bindings that have expired, if any, and waits for the next. */
  #expire(userKey: string): void {
    void this.#turns.run(userKey, () => {
      const { store, clock, log, beforeChange, changed } = this.#deps;
      const nowMs = clock.nowMs();
      if (store.hasExpired(userKey, nowMs)) {
        beforeChange(userKey);
        store.removeExpired(userKey, nowMs);
        log.info({ aor: userKey, contacts: store.of(userKey, nowMs).length }, 'registration expired');
        changed(userKey);
      }
      this.#alarms.setFirst(userKey, store.of(userKey, nowMs));
    });
  }
}

/** Whether nobody but the phones themselves could tell the difference, however the bindings are ordered. */
function isSameToOthers(before: readonly Binding[], after: readonly Binding[]): boolean {
  if (before.length !== after.length) return false;
  return after.every((binding) =>
    before.some(
      ({ contact, instance, q, hasGruu }) =>
        contact === binding.contact && instance === binding.instance && q === binding.q && hasGruu === binding.hasGruu,
    ),
  );
}

/** What a REGISTER makes of a user's bindings; `isReachable` when it added or refreshed one. Pure. */
export function bindingsAfter(
  current: readonly Binding[],
  request: RegisterRequest,
  limits: RegistrationLimits,
  nowMs: number,
  sameContact: SameContact,
): { readonly bindings: readonly Binding[]; readonly isReachable: boolean } {
  const live = current.filter((binding) => binding.expiresAtMs > nowMs);
  if (request.contacts === '*') {
    if (request.expiresSeconds !== 0) throw new GatewayError('request-malformed', 'contact * without Expires: 0');
    for (const binding of live) refuseOlder(binding, request);
    return { bindings: [], isReachable: false };
  }
  let bindings = live;
  let isReachable = false;
  for (const contact of request.contacts) {
    const seconds = grantedSeconds(contact.expiresSeconds ?? request.expiresSeconds, limits.expires);
    const isReplaced = (binding: Binding): boolean => isSameBinding(binding, contact, sameContact);
    for (const binding of live.filter(isReplaced)) refuseOlder(binding, request);
    bindings = bindings.filter((binding) => !isReplaced(binding));
    if (seconds === 0) continue;
    bindings.push({
      ...bindingOf(contact, request, nowMs + seconds * 1_000),
      refreshedAtMs: nowMs,
      ...(request.hasGruu === true && contact.instance !== undefined
        ? { hasGruu: true, gruusSinceMs: gruusSinceMs(live, contact.instance, request.callId, nowMs) }
        : {}),
    });
    isReachable = true;
  }
  if (bindings.length > limits.contactsMax) {
    throw new GatewayError('policy-violated', `more than ${limits.contactsMax} contacts for one user`);
  }
  return { bindings, isReachable };
}

/**
 * Whether a contact takes the place of a binding: one flow of an instance the one it had (RFC 5626, section 6), any other
 * that with the same URI (RFC 3261, section 10.3). A contact that a phone has first registered without naming a flow is
 * no second one; and one that is taken away goes whatever it was registered as.
 */
function isSameBinding(binding: Binding, contact: RegisterContact, sameContact: SameContact): boolean {
  if (contact.regId === undefined || binding.regId === undefined) return sameContact(binding.contact, contact.uri);
  return binding.regId === contact.regId && isSameDevice(contact.instance, binding.instance);
}

/** Since when: a new Call-ID says that the phone has started anew, and ends those it had before (RFC 5627, section 5.1). */
function gruusSinceMs(live: readonly Binding[], instance: string, callId: string, nowMs: number): number {
  const [last] = live
    .filter((binding) => isSameDevice(instance, binding.instance))
    .sort((a, b) => (b.refreshedAtMs ?? 0) - (a.refreshedAtMs ?? 0));
  return last?.callId === callId ? (last.gruusSinceMs ?? nowMs) : nowMs;
}

/** RFC 3261, section 10.3, step 7: within one Call-ID only a higher CSeq may change a binding. */
function refuseOlder(binding: Binding, request: RegisterRequest): void {
  if (binding.callId === request.callId && request.cseq <= binding.cseq) {
    throw new GatewayError('request-unexpected', 'CSeq is not above that of the binding');
  }
}

function bindingOf(contact: RegisterContact, request: RegisterRequest, expiresAtMs: number): Binding {
  return {
    contact: contact.uri,
    q: contact.q ?? 1_000,
    expiresAtMs,
    callId: request.callId,
    cseq: request.cseq,
    ...(contact.instance === undefined ? {} : { instance: contact.instance }),
    ...(contact.regId === undefined ? {} : { regId: contact.regId }),
    ...(request.flow === undefined ? {} : { flow: request.flow }),
    ...(request.flow !== undefined && request.isFlowOnly === true ? { isFlowOnly: true } : {}),
    ...(request.path === undefined || request.path.length === 0 ? {} : { path: request.path }),
    ...(request.userAgent === undefined ? {} : { userAgent: request.userAgent }),
  };
}
