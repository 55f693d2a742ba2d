import { domainOf, type Address } from '../../cpim/address.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log, LogFields } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import type { Notification, Notifier, NotifyOutcome } from '../../core/presence/subscription.ts';
import { parseRetryAfter } from '../header-values.ts';
import type { SipOutgoing, SipResponse } from '../message.ts';
import { namesExpectedOf } from '../next-hop.ts';
import { NoWayOut } from '../stack.ts';
import { parseSipUri } from '../uri.ts';
import { contactUriOf, replaceTarget, requestInDialog, targetOf } from './dialog.ts';
import { notifyParts, verdictOf } from './map-notify.ts';
import { asSipLease, reserveCseq, takeCseq, type SipLease } from './subscription-lease.ts';

export type SipNotifierDeps = {
  readonly request: (outgoing: SipOutgoing, domain: string) => Promise<SipResponse>;
  readonly saveLease: (subscriptionId: string) => Promise<void>;
  /** The flow over which a user of ours has registered this contact, if he has. */
  readonly flowOf: (user: Address, contact: string) => string | undefined;
  /** Where requests for a domain go that is not looked up, a SIP URI. */
  readonly nextHopOf: (domain: string) => string | undefined;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** Differs from one start of the server to the next. */
  readonly run: number;
};

/** After silence: the transaction itself has taken 32 s already. */
const AFTER_SILENCE_MS = 5_000;
/** Doubles with each failure in a row: 5, 10, 20, 40, 80 and 160 s. */
const AFTER_FAILURE_MS = 5_000;
const FAILURES_MAX = 6;
const RETRY_AFTER_MIN_MS = 1_000;
/** A store that takes nothing is not waited for any longer than this. */
const AFTER_STORE_FAILURE_MS = 5_000;

/**
 * Tells watchers in their dialogs (RFC 6665, section 4.2.2).
 *
 * A subscription is over where that section says so, and when nobody has answered twice in a row: once may be a packet
 * that was lost or a phone that was away for half a minute, and a subscription must outlive that. While no connection
 * can be made, or notifications are refused for a reason that may pass, it is tried for some minutes.
 */
export class SipNotifier implements Notifier {
  readonly #deps: SipNotifierDeps;

  constructor(deps: SipNotifierDeps) {
    this.#deps = deps;
  }

  async notify(notification: Notification): Promise<NotifyOutcome> {
    const lease = asSipLease(notification.subscription.lease);
    if (lease === undefined) {
      this.#deps.log.error(fieldsOf(notification, undefined), 'subscription without a dialog');
      return { kind: 'gone', reason: 'there is no dialog' };
    }
    const { flow } = lease.dialog;
    try {
      return this.#outcomeOf(await this.#send(notification, lease), notification, lease);
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      if (flow === undefined || error.code !== 'peer-unreachable' || error instanceof NoWayOut) {
        return this.#outcomeOfFailure(error, notification, lease);
      }
    }
    this.#leaveFlow(flow, notification, lease);
    try {
      return this.#outcomeOf(await this.#send(notification, lease), notification, lease);
    } catch (thrown) {
      return this.#outcomeOfFailure(GatewayError.of(thrown), notification, lease);
    }
  }

  /** The connection is gone: the phone may have registered over another one, or be reached where its Contact says. */
  #leaveFlow(flow: string, notification: Notification, { dialog }: SipLease): void {
    const { flowOf, log } = this.#deps;
    const other = flowOf(notification.subscription.watcher, dialog.remoteTarget);
    // A SUBSCRIBE may have brought a new one meanwhile.
    if (dialog.flow === flow) dialog.flow = other === flow ? undefined : other;
    log.debug(fieldsOf(notification, dialog.callId), 'flow of the watcher is gone');
  }

  #send(notification: Notification, lease: SipLease): Promise<SipResponse> {
    const { saveLease, run } = this.#deps;
    const cseq = takeCseq(lease, run);
    if (cseq !== undefined) return this.#sendAs(cseq, notification, lease);
    const { id } = notification.subscription;
    return reserveCseq(lease, () => saveLease(id)).then((first) => this.#sendAs(first, notification, lease));
  }

  #sendAs(cseq: number, notification: Notification, lease: SipLease): Promise<SipResponse> {
    const { clock, request } = this.#deps;
    const { headers, body } = notifyParts(notification, lease, cseq, clock.nowMs());
    const parts = { method: 'NOTIFY', cseq, headers, ...(body === undefined ? {} : { body }) };
    const outgoing = this.#onItsWay(requestInDialog(lease.dialog, parts), notification, lease);
    return request(outgoing, domainOf(notification.subscription.watcher));
  }

  /** A target that is the watcher's domain, not a machine of it, is where the configuration says. */
  #onItsWay(outgoing: SipOutgoing, { subscription }: Notification, { dialog }: SipLease): SipOutgoing {
    if (outgoing.nextHop !== undefined || dialog.routeSet.length > 0) return outgoing;
    const domain = domainOf(subscription.watcher);
    const nextHop = this.#deps.nextHopOf(domain);
    if (nextHop === undefined || parseSipUri(outgoing.uri)?.host !== domain) return outgoing;
    return { ...outgoing, nextHop: { uri: nextHop }, expectNames: namesExpectedOf(domain, nextHop) };
  }

  #outcomeOf(response: SipResponse, notification: Notification, lease: SipLease): NotifyOutcome {
    const { log } = this.#deps;
    const { status, headers } = response;
    const fields = { ...fieldsOf(notification, lease.dialog.callId), status };
    switch (verdictOf(status)) {
      case 'told':
        lease.unanswered = 0;
        lease.failed = 0;
        refreshTarget(lease, response);
        log.trace(fields, 'watcher notified');
        return { kind: 'told' };
      case 'gone': {
        const refusal = { ...fields, peer: response.flow.remoteAddress };
        if (status === 401 || status === 407) log.warn(refusal, 'watcher asks for credentials that this server lacks');
        else log.info(refusal, 'watcher has no such subscription');
        return { kind: 'gone', reason: `NOTIFY answered ${status}` };
      }
      case 'unanswered':
        return this.#unanswered(fields, lease);
      case 'refused': {
        const refusal = { ...fields, peer: response.flow.remoteAddress };
        const retryAfterSeconds = parseRetryAfter(headers.get('Retry-After') ?? '');
        if (retryAfterSeconds === undefined) return this.#failed(refusal, lease, `NOTIFY answered ${status}`);
        log.info({ ...refusal, retryAfterSeconds }, 'notification put off by the watcher');
        // However often: the subscription ends by itself when it is not refreshed.
        return { kind: 'again', afterMs: Math.max(RETRY_AFTER_MIN_MS, retryAfterSeconds * 1_000) };
      }
    }
  }

  #outcomeOfFailure(error: GatewayError, notification: Notification, lease: SipLease): NotifyOutcome {
    const { log } = this.#deps;
    const { code } = error;
    const fields = { ...fieldsOf(notification, lease.dialog.callId), code };
    if (code === 'peer-timeout') return this.#unanswered(fields, lease);
    if (code === 'store-unavailable' || code === 'shutting-down' || error instanceof NoWayOut) {
      // Whoever cannot says so himself.
      log.debug(fields, 'notification cannot go now');
      return { kind: 'again', afterMs: AFTER_STORE_FAILURE_MS };
    }
    if (code === 'internal') {
      log.error({ ...fields, error }, 'notification cannot be sent');
      return { kind: 'gone', reason: 'the notification cannot be sent' };
    }
    // The core has forgotten it while it was to be stored.
    if (code === 'dialog-unknown') return { kind: 'gone', reason: 'the subscription is over' };
    return this.#failed({ ...fields, reason: error.message }, lease, error.message);
  }

  #unanswered(fields: LogFields, lease: SipLease): NotifyOutcome {
    lease.unanswered += 1;
    this.#deps.log.info({ ...fields, attempt: lease.unanswered }, 'notification was not answered');
    if (lease.unanswered > 1) return { kind: 'gone', reason: 'the watcher does not answer' };
    return { kind: 'again', afterMs: AFTER_SILENCE_MS };
  }

  #failed(fields: LogFields, lease: SipLease, reason: string): NotifyOutcome {
    lease.failed += 1;
    this.#deps.log.info({ ...fields, attempt: lease.failed }, 'notification failed');
    if (lease.failed > FAILURES_MAX) return { kind: 'gone', reason };
    return { kind: 'again', afterMs: AFTER_FAILURE_MS * 2 ** (lease.failed - 1) };
  }
}

/** A NOTIFY refreshes the target of its answer, too (RFC 3261, section 12.2.1.2). */
function refreshTarget(lease: SipLease, response: SipResponse): void {
  if (response.headers.get('Contact') === undefined) return;
  const uri = contactUriOf(response);
  const remoteTarget = uri === undefined ? undefined : targetOf(uri);
  // COMPAT(libpurple 2.14, 2026-11): it answers with all fields of the request, our own Contact among them.
  if (remoteTarget === undefined || remoteTarget === lease.contact) return;
  if (remoteTarget !== lease.dialog.remoteTarget) {
    replaceTarget(lease.dialog, { remoteTarget, flow: lease.dialog.flow });
  }
}

function fieldsOf({ subscription }: Notification, callId: string | undefined): LogFields {
  const { id, watcher, presentity } = subscription;
  const fields = { subscriptionId: id, watcher, presentity };
  return callId === undefined ? fields : { ...fields, callId };
}
