import { addressKey, domainOf, localpartOf, type Address } from '../cpim/address.ts';
import { pauseMs, type Backoff } from './backoff.ts';
import { onlyDeviceOf } from './devices.ts';
import { GatewayError } from './errors.ts';
import { failureReport, reportableOf, type Reportable } from './failure-report.ts';
import { HopStates, type HopState } from './hop-states.ts';
import type { Log } from './log.ts';
import type {
  AttemptOutcome,
  Binding,
  Clock,
  Delivery,
  DeliveryQueue,
  HopId,
  OperationSender,
  Random,
  Route,
} from './ports.ts';
import { isNotice } from './notice.ts';
import { isPostmaster } from './postmaster.ts';
import { queueEntryOf } from './queue-entry.ts';
import { RecentMap } from './recent-map.ts';
import type { Router } from './router.ts';
import { Settlements, type Settlement, type Waiting } from './settlements.ts';

export type DeliveryDeps = {
  readonly queue: Pick<DeliveryQueue, 'add' | 'wake'>;
  readonly router: Router;
  readonly senders: Readonly<Record<Route['kind'], OperationSender>>;
  /** Contacts that can be reached now; of one device alone where it is named. */
  readonly contactsOf: (userKey: string, device?: string) => readonly Binding[];
  /** Whether an address is the server itself: what it says and cannot deliver is reported to nobody. */
  readonly isService?: (address: Address) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Lifetime of a report. */
  readonly lifetimeMs: number;
  readonly retry: Backoff;
  /** How long a sender on the line waits for the first attempt; 2 s when absent. */
  readonly patienceMs?: number;
  /** Requests under way at once to one SIP peer or local user; 64 when absent. */
  readonly concurrency?: number;
  /** The other nodes, where there are several. */
  readonly elsewhere?: DeliveryElsewhere;
};

/** What a node must say to others about what it delivers. */
export type DeliveryElsewhere = {
  /** The name of this node. */
  readonly node: string;
  /** Says to a sender who waits on that node what became of it; resolves with whether he has been told. */
  readonly settle: (node: string, id: string, settlement: Settlement) => Promise<boolean>;
  /** An error came here for what none of ours is: another node may have sent it. */
  readonly failedLater: (id: string, error: GatewayError, from: Address) => void;
};

/** How many entries of one lane may be under way to a link: it keeps their order itself. */
const LINK_LANE_WINDOW = 256;
const PATIENCE_MS = 2_000;
const LATE_ERROR_MS = 10 * 60_000;
const LATE_ERRORS_MAX = 100_000;
const CONCURRENCY = 64;
/** How long to wait for a place in the queue for a report before the message is looked at again. */
const REPORT_PAUSE: Backoff = { firstMs: 5_000, maxMs: 300_000 };
const REPORT_TRIES_MAX = 12;
/** For what waits for a hop under which the queue does not know it: the peer table has changed since. */
const OTHER_HOP_PAUSE_MS = 60_000;

/**
 * Makes the attempts of the queue: chooses the sender, keeps away from peers that are down, says what became of each
 * operation, and tells senders of failures. The one place in the core that catches.
 */
export class DeliveryService {
  readonly #deps: DeliveryDeps;
  readonly #hops: HopStates;
  readonly #settlements: Settlements;
  /** What links have taken lately, for errors that come after that. Lost with the process. */
  readonly #recent = new RecentMap<Reportable>({ keepMs: LATE_ERROR_MS, max: LATE_ERRORS_MAX });
  /** What is under way over links, and the error stanza that came before the confirmation. */
  readonly #onLinks = new Map<string, { readonly delivery: Delivery; failure?: GatewayError }>();

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#settlements = new Settlements(deps.clock, deps.patienceMs ?? PATIENCE_MS);
    this.#hops = new HopStates({
      clock: deps.clock,
      random: deps.random,
      log: deps.log,
      concurrency: deps.concurrency ?? CONCURRENCY,
      wake: (hop, lanesMax) => deps.queue.wake(hop, lanesMax),
    });
  }

  /** How many entries of one lane may be under way at once: many on a link, else one (RFC 3428, section 8). */
  window(hop: HopId): number {
    return hop.startsWith('link:') ? LINK_LANE_WINDOW : 1;
  }

  /** A link is up, or a user has registered. Links count as down until the first call. */
  hopUp(hop: HopId): void {
    this.#hops.up(hop);
  }

  hopDown(hop: HopId): void {
    this.#hops.down(hop);
  }

  /** Whether attempts towards a hop go out at present; for health. */
  isReachable(hop: HopId): boolean {
    return this.#hops.isReachable(hop);
  }

  /** Begins to wait for the first attempt of an operation; 'pending' when the patience is over. Before it is added. */
  whenSettled(id: string): Waiting {
    return this.#settlements.wait(id);
  }

  /** What whoever waited for an operation was told within the last minute. */
  settledLately(id: string): Settlement | undefined {
    return this.#settlements.recent(id);
  }

  stop(): void {
    this.#hops.stop();
    this.#settlements.stop();
  }

  /**
   * Makes one attempt (see AttemptDelivery). Towards a link the sender is called before this returns, so that the
   * order of the calls is the order on the stream.
   */
  async attempt(delivery: Delivery): Promise<AttemptOutcome> {
    const { clock, log } = this.#deps;
    const startedAtMs = clock.nowMs();
    try {
      return await this.#tried(delivery, startedAtMs);
    } catch (thrown) {
      // Whatever it was, the entry is not given up for a mistake of ours around the attempt.
      log.error({ messageId: delivery.id, nextHop: delivery.hop, error: thrown }, 'attempt failed unexpectedly');
      return this.#again(delivery, GatewayError.of(thrown));
    }
  }

  /**
   * An error came for something that had been sent: its sender is told, unless it is not known any more, is itself a
   * report, or the error is from somebody else than whom it was sent to.
   */
  failedLater(id: string, error: GatewayError, from: Address): void {
    const { elsewhere } = this.#deps;
    const isOurs = this.#onLinks.has(id) || this.#recent.get(id, this.#deps.clock.nowMs()) !== undefined;
    if (isOurs || elsewhere === undefined) this.failedHere(id, error, from);
    else elsewhere.failedLater(id, error, from);
  }

  /** As `failedLater`, for what this node has sent itself. */
  failedHere(id: string, error: GatewayError, from: Address): void {
    const { clock, log } = this.#deps;
    const underWay = this.#onLinks.get(id);
    const recent = underWay === undefined ? this.#recent.get(id, clock.nowMs()) : undefined;
    const sent = underWay?.delivery.operation ?? recent;
    if (sent === undefined || !isFromDestination(from, sent.destination.address)) {
      log.info({ messageId: id, code: error.code, from }, 'error for nothing that was sent');
      return;
    }
    if (underWay !== undefined) underWay.failure = error;
    if (recent === undefined) return;
    this.#recent.delete(id);
    log.info({ messageId: id, code: error.code, reason: error.message }, 'operation failed after delivery');
    void this.#reportUntilTaken(recent, error, 1);
  }

  async #tried(delivery: Delivery, startedAtMs: number): Promise<AttemptOutcome> {
    const { router, contactsOf } = this.#deps;
    const { source, destination } = delivery.operation;
    const hop = this.#hops.enter(delivery.hop);
    try {
      if (delivery.expiresAtMs <= startedAtMs) {
        hop.breaker?.skipped();
        return await this.#dead(delivery, new GatewayError('lifetime-over', 'the lifetime is over'));
      }
      let route: Route;
      try {
        route = router.routeOf(source.address, destination.address);
      } catch (thrown) {
        hop.breaker?.skipped();
        return await this.#dead(delivery, GatewayError.of(thrown));
      }
      if (route.kind === 'local' && contactsOf(route.userKey, onlyDeviceOf(delivery.operation)).length === 0) {
        return this.#held(delivery, route);
      }
      if (route.kind === 'link' && !this.#hops.isReachable(route.hop)) return this.#held(delivery, route);
      if (hop.breaker?.isOpen === true) return this.#held(delivery, route);
      return await this.#sent(delivery, route, hop);
    } finally {
      this.#hops.leave(delivery.hop, hop);
    }
  }

  async #sent(delivery: Delivery, route: Route, hop: HopState): Promise<AttemptOutcome> {
    const { clock, senders } = this.#deps;
    const turn = hop.turnstile?.enter();
    if (turn !== undefined) await turn;
    try {
      const { wakes } = hop;
      if (hop.breaker?.admit() === false) return this.#held(delivery, route);
      const startedAtMs = clock.nowMs();
      try {
        if (route.kind === 'link') {
          const refusal = await this.#sendOnLink(delivery, route);
          // What the far side said no to is over, even where it might take it later: others of the lane went since.
          if (refusal !== undefined) return await this.#dead(delivery, refusal);
        } else {
          await senders[route.kind].send(delivery, route);
        }
      } catch (thrown) {
        const error = GatewayError.of(thrown);
        tellBreaker(hop, error, startedAtMs);
        // Even where the hop is away now this was an attempt: the far side may have it (`maybeSent`).
        return error.transient ? this.#again(delivery, error, hop.wakes !== wakes) : await this.#dead(delivery, error);
      }
      hop.breaker?.answered();
      return this.#delivered(delivery, route);
    } finally {
      hop.turnstile?.leave();
    }
  }

  /** @returns the error stanza that came before the confirmation that covers its message. */
  async #sendOnLink(delivery: Delivery, route: Route): Promise<GatewayError | undefined> {
    const underWay: { readonly delivery: Delivery; failure?: GatewayError } = { delivery };
    this.#onLinks.set(delivery.id, underWay);
    try {
      await this.#deps.senders.link.send(delivery, route);
    } finally {
      this.#onLinks.delete(delivery.id);
    }
    return underWay.failure;
  }

  #delivered(delivery: Delivery, route: Route): AttemptOutcome {
    const { clock, log } = this.#deps;
    const { operation } = delivery;
    const nowMs = clock.nowMs();
    void this.#settle(delivery, { kind: 'delivered' });
    if (route.kind === 'link' && operation.op === 'message')
      this.#recent.set(operation.id, reportableOf(operation), nowMs);
    log.info(
      {
        messageId: delivery.id,
        operation: operation.op,
        nextHop: route.hop,
        attempt: delivery.attempt,
        durationMs: nowMs - operation.acceptedAtMs,
      },
      'operation delivered',
    );
    return { kind: 'delivered' };
  }

  async #dead(delivery: Delivery, error: GatewayError): Promise<AttemptOutcome> {
    const { clock, log } = this.#deps;
    const { operation } = delivery;
    const isTold = await this.#settle(delivery, { kind: 'failed', error });
    if (operation.op === 'message' && !isTold) {
      const unreported = await this.#report(reportableOf(operation), error);
      if (unreported !== undefined) return this.#again(delivery, unreported);
    }
    log[error.code === 'internal' ? 'error' : 'info'](
      {
        messageId: delivery.id,
        operation: operation.op,
        nextHop: delivery.hop,
        attempt: delivery.attempt,
        code: error.code,
        durationMs: clock.nowMs() - operation.acceptedAtMs,
        reason: error.message,
        // A refusal by others needs no stack.
        ...(error.code === 'internal' ? { error } : {}),
      },
      'operation failed',
    );
    return { kind: 'dead', code: error.code, reason: error.message };
  }

  /** Says to a sender on the line what became of it, wherever he is. @returns whether he has been told */
  #settle({ id, node, operation }: Delivery, settlement: Settlement): Promise<boolean> | boolean {
    const { elsewhere, clock, patienceMs = PATIENCE_MS } = this.#deps;
    if (node === undefined || elsewhere === undefined || node === elsewhere.node) {
      return this.#settlements.settle(id, settlement);
    }
    // He waits no longer than that; clocks of nodes may differ.
    if (clock.nowMs() - operation.acceptedAtMs > 2 * patienceMs) return false;
    return elsewhere.settle(node, id, settlement);
  }

  /** A sender waits here for what another node has attempted. @returns whether he does */
  settledElsewhere(id: string, settlement: Settlement): boolean {
    return this.#settlements.settle(id, settlement);
  }

  /** Waits for the hop, unless that is another than the one the queue wakes. Only before anything was sent. */
  #held(delivery: Delivery, route: Route): AttemptOutcome {
    const { clock, log } = this.#deps;
    void this.#settle(delivery, { kind: 'pending' });
    if (route.hop !== delivery.hop) return { kind: 'again', atMs: clock.nowMs() + OTHER_HOP_PAUSE_MS };
    log.debug({ messageId: delivery.id, nextHop: delivery.hop }, 'operation waits for its hop');
    return { kind: 'held' };
  }

  #again(delivery: Delivery, error: GatewayError, isWoken = false): AttemptOutcome {
    const { clock, random, log, retry } = this.#deps;
    const nowMs = clock.nowMs();
    const pause = isWoken ? 0 : pauseMs(retry, delivery.attempt, random);
    const asked = (error.details.retryAfterSeconds ?? 0) * 1_000;
    const wantedMs = nowMs + Math.max(pause, asked);
    // Not past the end of its lifetime, where the sender is told; past that, when he could not be told yet.
    const atMs = delivery.expiresAtMs > nowMs ? Math.min(wantedMs, delivery.expiresAtMs) : wantedMs;
    void this.#settle(delivery, { kind: 'pending' });
    log.info(
      {
        messageId: delivery.id,
        nextHop: delivery.hop,
        attempt: delivery.attempt,
        code: error.code,
        reason: error.message,
        againInMs: atMs - nowMs,
      },
      'operation will be tried again',
    );
    return { kind: 'again', atMs, code: error.code, reason: error.message };
  }

  /** Queues the report of a failure. @returns why it could not be queued for now; undefined when all is done. */
  async #report(about: Reportable, error: GatewayError): Promise<GatewayError | undefined> {
    const { router, queue, clock, log, lifetimeMs, isService } = this.#deps;
    if (isService?.(about.source.address) === true) return undefined;
    try {
      const { hop, kind } = router.routeOf(about.destination.address, about.source.address);
      // A SIP peer may tell failures as we do, in a message from its postmaster to one of our users. Were its failure
      // told to him, two such servers could go on telling each other for ever (as with mail: RFC 5321, section 4.5.5).
      if (kind === 'sip' && isPostmaster(about.source.address)) {
        log.info({ messageId: about.id, code: error.code }, 'failure of a report is not reported');
        return undefined;
      }
      if (isNotice(about)) {
        log.info({ messageId: about.id, code: error.code }, 'failure of a notice of ours is not reported');
        return undefined;
      }
      const nowMs = clock.nowMs();
      const report = failureReport(about, error, nowMs, lifetimeMs);
      const added = await queue.add(queueEntryOf(report, hop, nowMs + lifetimeMs));
      if (added === 'added')
        log.info({ messageId: report.id, about: about.id, operation: 'report', nextHop: hop }, 'operation accepted');
      return undefined;
    } catch (thrown) {
      const failure = GatewayError.of(thrown);
      if (failure.transient) return failure;
      log.warn({ messageId: about.id, code: failure.code, error: failure }, 'sender cannot be told of a failure');
      return undefined;
    }
  }

  async #reportUntilTaken(about: Reportable, error: GatewayError, tries: number): Promise<void> {
    const { clock, random, log } = this.#deps;
    const unreported = await this.#report(about, error);
    if (unreported === undefined) return;
    if (tries >= REPORT_TRIES_MAX) {
      log.error({ messageId: about.id, error: unreported }, 'sender was not told of a failure');
      return;
    }
    clock.after(pauseMs(REPORT_PAUSE, tries, random), () => void this.#reportUntilTaken(about, error, tries + 1));
  }
}

/** Says to the breaker of a SIP peer whether the peer is there: one that refuses is. */
function tellBreaker({ breaker }: HopState, error: GatewayError, startedAtMs: number): void {
  if (breaker === undefined) return;
  if (error.details.status !== undefined) breaker.answered();
  else if (error.code === 'peer-unreachable' || error.code === 'peer-timeout') breaker.failed(startedAtMs);
  // What failed before it was sent leaves a peer that is being tried untried.
  else if (!breaker.isClosed) breaker.failed(startedAtMs);
}

/** An error may come from whom it was sent to, or from his server. */
function isFromDestination(from: Address, destination: Address): boolean {
  if (domainOf(from) !== domainOf(destination)) return false;
  return localpartOf(from) === undefined || addressKey(from) === addressKey(destination);
}
