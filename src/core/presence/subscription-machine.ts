import type { EndReason, SubscriptionState } from './subscription.ts';

export type SubscriptionEvent =
  /** The watcher asks again, in time. `expiresAtMs` is absent where his lease knows no end. */
  | { readonly type: 'refreshed'; readonly expiresAtMs?: number }
  /** The owner, or the far side, lets him. */
  | { readonly type: 'approved' }
  | { readonly type: 'rejected' }
  | { readonly type: 'unsubscribed' }
  | { readonly type: 'expired' }
  /** Nobody decided for so long that it is not worth keeping. */
  | { readonly type: 'gave-up' }
  /** Ended from this side for another reason than a refusal. */
  | { readonly type: 'ended'; readonly reason: 'deactivated' | 'probation' | 'noresource' };

export type SubscriptionStep = {
  readonly state: SubscriptionState;
  /** The watcher must be told, before he is forgotten where the state says so. */
  readonly notifies: boolean;
};

type Live = Extract<SubscriptionState, { at: 'pending' | 'active' }>;

/**
 * Moves a subscription by one event: the machine of RFC 3857, section 4.7.1. Pure and total: every state answers every
 * event, an event that means nothing in a state changes nothing, and nothing throws.
 */
export function stepSubscription(state: SubscriptionState, event: SubscriptionEvent): SubscriptionStep {
  switch (state.at) {
    case 'pending':
    case 'active':
      return stepLive(state, event);
    case 'waiting':
      return stepWaiting(state, event);
    case 'terminated':
      return { state, notifies: false };
  }
}

function stepLive(state: Live, event: SubscriptionEvent): SubscriptionStep {
  switch (event.type) {
    case 'refreshed': {
      // Every accepted SUBSCRIBE is followed by a NOTIFY, even when nothing changed (RFC 6665, section 4.2.1.2).
      const { expiresAtMs } = event;
      return { state: { at: state.at, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) }, notifies: true };
    }
    case 'approved':
      if (state.at === 'active') return { state, notifies: false };
      return { state: { ...state, at: 'active' }, notifies: true };
    case 'rejected':
      return terminated('rejected');
    case 'gave-up':
      return state.at === 'pending' ? terminated('giveup') : { state, notifies: false };
    case 'expired':
    case 'unsubscribed':
      if (state.at === 'active') return terminated('timeout');
      // Kept, so that the owner still learns who asked (RFC 3857, section 4.7.1).
      return { state: { at: 'waiting' }, notifies: true };
    case 'ended':
      return terminated(event.reason);
  }
}

function stepWaiting(state: SubscriptionState, event: SubscriptionEvent): SubscriptionStep {
  switch (event.type) {
    // Nobody is listening any more: the owner's answer, or our patience, ends it without a NOTIFY.
    case 'approved':
      return { state: { at: 'terminated', reason: 'deactivated' }, notifies: false };
    case 'rejected':
      return { state: { at: 'terminated', reason: 'rejected' }, notifies: false };
    case 'gave-up':
      return { state: { at: 'terminated', reason: 'giveup' }, notifies: false };
    case 'ended':
      return { state: { at: 'terminated', reason: event.reason }, notifies: false };
    case 'refreshed':
    case 'unsubscribed':
    case 'expired':
      return { state, notifies: false };
  }
}

function terminated(reason: EndReason): SubscriptionStep {
  return { state: { at: 'terminated', reason }, notifies: true };
}
