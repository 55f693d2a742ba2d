import { pauseMs } from '../../core/backoff.ts';
import type { EndReason } from '../../core/presence/subscription.ts';
import { refreshTimeMs } from './refresh-time.ts';
import {
  TIMER_N_MS,
  type AnswerEvent,
  type Carried,
  type Unconnected,
  type UnderWay,
  type WatchEffect,
  type WatchEvent,
  type WatchFacts,
  type WatchPolicy,
  type WatchState,
  type WatchStep,
  type Word,
} from './subscriber-states.ts';

/** A dialog that has lasted so long is begun anew at once when it ends; one that has not may be one of a circle; ms. */
const STEADY_MS = 60_000;
/** A longer Min-Expires is no reason to ask for it; seconds. */
const MIN_EXPIRES_SECONDS_MAX = 604_800;
/** An end that has moved by less is the same end, counted down; ms. */
const SAME_END_MS = 2_000;

/** What a failure says about the next attempt. */
type Failure = { readonly retryAfterMs?: number; readonly isSilent?: true };

type Asking = Extract<WatchState, { at: 'asking' }>;
type Live = Extract<WatchState, { at: 'pending' | 'active' }>;
type Retry = Extract<WatchState, { at: 'retry' }>;
type Idle = Extract<WatchState, { at: 'invariant' | 'resting' | 'ended' }>;
type Notified = Extract<WatchEvent, { type: 'notified' }>;
type Terminated = Extract<WatchEvent, { type: 'terminated' }>;

/**
 * Moves a pair by one event: the subscriber of RFC 6665, section 4.1, for one that is to last as long as a permission of
 * XMPP does (RFC 8048, section 5.2). Pure and total: every state answers every event, one that means nothing in a state
 * changes nothing, and nothing throws.
 *
 * What becomes of the document when a subscription is lost: it stands while the next one may still be had within
 * `staleMs`, and is dropped, which is reported, as soon as that is out of reach.
 */
export function stepWatch(state: WatchState, event: WatchEvent, facts: WatchFacts): WatchStep {
  switch (state.at) {
    case 'asking':
      return stepAsking(state, event, facts);
    case 'pending':
    case 'active':
      return stepLive(state, event, facts);
    case 'retry':
      return stepRetry(state, event, facts);
    case 'invariant':
    case 'resting':
    case 'ended':
      return stepIdle(state, event, facts);
  }
}

function stepAsking(state: Asking, event: WatchEvent, facts: WatchFacts): WatchStep {
  const { nowMs, policy } = facts;
  switch (event.type) {
    case 'watch':
    case 'peer-up':
      return unchanged(state);
    case 'rest':
      return rested(state.told, state.lostAtMs ?? nowMs);
    case 'end':
      return { state, effects: [{ do: 'leave' }, { do: 'forget' }] };
    case 'restored':
      // Nobody knows whether it was sent; a dialog that came of it ends with our 481 to its NOTIFY.
      return retryAt(state, nowMs + spread(facts), facts, { failures: state.failures });
    case 'sent':
      return { state: { ...state, confirmByMs: nowMs + TIMER_N_MS }, effects: [] };
    case 'accepted': {
      const seconds = event.seconds ?? secondsToAsk(state, policy);
      return { state: { ...state, expiresAtMs: nowMs + seconds * 1_000 }, effects: [] };
    }
    case 'too-brief':
      if (!isWorthAsking(event.minSeconds, state, policy)) return failed(state, {}, facts);
      return ask({ ...unconnected(state), minSeconds: event.minSeconds }, policy);
    case 'forbidden':
      return ended('rejected', facts);
    case 'not-found':
      // Only who has never answered for himself is believed not to exist: a permission outlives a fault over there.
      return state.told === 'asked' ? ended('noresource', facts) : failed(state, {}, facts);
    case 'gone':
      return failed(state, {}, facts);
    case 'refused':
    case 'failed':
      return failed(state, event, facts);
    case 'due':
      if (state.confirmByMs === undefined || nowMs < state.confirmByMs) return unchanged(state);
      // Timer F of the transaction runs out with Timer N, and may be the later of the two.
      return failed(state, state.expiresAtMs === undefined ? { isSilent: true } : {}, facts);
    case 'notified':
      return established(state, event, facts);
    case 'terminated':
      return terminated(state, event, facts);
  }
}

function stepLive(state: Live, event: WatchEvent, facts: WatchFacts): WatchStep {
  const { nowMs, policy } = facts;
  const isOpen = state.underWay !== undefined && state.underWay.isAnswered !== true;
  switch (event.type) {
    case 'watch':
      return unchanged(state);
    case 'rest':
      return rested(state.at, nowMs);
    case 'end':
      return { state, effects: [{ do: 'leave' }, { do: 'forget' }] };
    case 'restored': {
      const { underWay, ...rest } = state;
      if (underWay === undefined && state.refreshAtMs > nowMs) return unchanged(state);
      return { state: { ...rest, refreshAtMs: nowMs + spread(facts) }, effects: [] };
    }
    case 'peer-up':
      if (state.underWay !== undefined || state.failures === 0) return unchanged(state);
      return { state: { ...state, refreshAtMs: Math.min(state.refreshAtMs, nowMs + spread(facts)) }, effects: [] };
    case 'sent':
      if (state.underWay === undefined || state.underWay.isConfirmed === true) return unchanged(state);
      return { state: { ...state, underWay: { ...state.underWay, confirmByMs: nowMs + TIMER_N_MS } }, effects: [] };
    case 'accepted':
      return isOpen ? refreshed(state, event, facts) : unchanged(state);
    case 'too-brief':
      if (!isOpen) return unchanged(state);
      if (!isWorthAsking(event.minSeconds, state, policy)) return refreshFailed(state, {}, facts);
      return refresh({ ...state, minSeconds: event.minSeconds }, policy);
    case 'forbidden':
      return isOpen ? ended('rejected', facts) : unchanged(state);
    case 'gone':
      return isOpen ? again(state, facts) : unchanged(state);
    case 'not-found':
      return isOpen ? failed(lost(state, facts), {}, facts) : unchanged(state);
    case 'refused':
      return isOpen ? failed(lost(state, facts), event, facts) : unchanged(state);
    case 'failed':
      return isOpen ? refreshFailed(state, event, facts) : unchanged(state);
    case 'due':
      return liveDue(state, facts);
    case 'notified':
      return renotified(state, event, facts);
    case 'terminated':
      return terminated(state, event, facts);
  }
}

function stepRetry(state: Retry, event: WatchEvent, facts: WatchFacts): WatchStep {
  const { nowMs, policy } = facts;
  switch (event.type) {
    case 'rest':
      return rested(state.told, state.lostAtMs ?? nowMs);
    case 'end':
      return { state, effects: [{ do: 'forget' }] };
    case 'restored':
      if (state.atMs > nowMs) return unchanged(state);
      return { state: { ...state, atMs: nowMs + spread(facts) }, effects: [] };
    case 'peer-up':
      if (state.isSilent !== true) return unchanged(state);
      return { state: { ...state, atMs: Math.min(state.atMs, nowMs + spread(facts)) }, effects: [] };
    case 'due':
      return nowMs < state.atMs ? unchanged(state) : ask(unconnected(state), policy);
    case 'watch':
    case 'sent':
    case 'accepted':
    case 'too-brief':
    case 'forbidden':
    case 'not-found':
    case 'gone':
    case 'refused':
    case 'failed':
    case 'notified':
    case 'terminated':
      return unchanged(state);
  }
}

function stepIdle(state: Idle, event: WatchEvent, facts: WatchFacts): WatchStep {
  switch (event.type) {
    case 'watch':
      return state.at === 'invariant' ? unchanged(state) : begin(state, facts);
    case 'rest':
      return state.at === 'invariant' ? rested(state.told, facts.nowMs) : unchanged(state);
    case 'end':
      return { state, effects: [{ do: 'forget' }] };
    case 'restored':
    case 'peer-up':
    case 'sent':
    case 'accepted':
    case 'too-brief':
    case 'forbidden':
    case 'not-found':
    case 'gone':
    case 'refused':
    case 'failed':
    case 'notified':
    case 'terminated':
    case 'due':
      return unchanged(state);
  }
}

/** A watcher who comes, or comes back. What he knew when he went says nothing after a while. */
function begin(state: Exclude<Idle, { at: 'invariant' }>, { nowMs, policy }: WatchFacts): WatchStep {
  if (state.at === 'ended') return ask({ told: 'asked', failures: 0 }, policy, [{ do: 'forget-document' }]);
  const { told, sinceMs } = state;
  if (told !== 'active') return ask({ told, failures: 0 }, policy);
  const isStale = nowMs - sinceMs >= policy.staleMs;
  if (isStale) return ask({ told, failures: 0 }, policy, [{ do: 'forget-document' }]);
  return ask({ told, failures: 0, lostAtMs: sinceMs }, policy);
}

/** The first NOTIFY makes the dialog (RFC 6665, section 4.4.1). */
function established(state: Asking, event: Notified, facts: WatchFacts): WatchStep {
  const { nowMs, policy } = facts;
  const { failures, minSeconds, expiresAtMs, told } = state;
  const isAnswered = expiresAtMs !== undefined;
  const isTimed = event.expiresSeconds !== undefined;
  const endsAtMs = isTimed
    ? nowMs + event.expiresSeconds * 1_000
    : (expiresAtMs ?? nowMs + secondsToAsk(state, policy) * 1_000);
  const isNews = event.isNews === true || event.state !== told;
  return {
    state: {
      at: event.state,
      failures,
      ...(minSeconds === undefined ? {} : { minSeconds }),
      sinceMs: nowMs,
      expiresAtMs: endsAtMs,
      refreshAtMs: refreshTimeMs(endsAtMs, facts),
      ...(isAnswered ? {} : { underWay: { isConfirmed: true, ...(isTimed ? { isTimed } : {}) } }),
    },
    effects: [{ do: 'store' }, ...(isNews ? [{ do: 'report' } as const] : [])],
  };
}

function renotified(state: Live, event: Notified, facts: WatchFacts): WatchStep {
  const { underWay, ...rest } = state;
  const { expiresSeconds } = event;
  const isChange = event.state !== state.at;
  const isNews = event.isNews === true || isChange;
  const isTimed = expiresSeconds !== undefined;
  const timed = isTimed ? endingAt(rest, facts.nowMs + expiresSeconds * 1_000, facts) : rest;
  const open: UnderWay | undefined =
    underWay === undefined || underWay.isAnswered === true
      ? undefined
      : { isConfirmed: true, ...(isTimed || underWay.isTimed === true ? { isTimed: true } : {}) };
  return {
    state: { ...timed, at: event.state, ...(open === undefined ? {} : { underWay: open }) },
    effects: [isChange ? { do: 'store' } : { do: 'store-later' }, ...(isNews ? [{ do: 'report' } as const] : [])],
  };
}

function refreshed(
  state: Live,
  { seconds, isQuiet }: Extract<AnswerEvent, { type: 'accepted' }>,
  facts: WatchFacts,
): WatchStep {
  const { underWay, ...rest } = state;
  const endsAtMs = facts.nowMs + (seconds ?? secondsToAsk(state, facts.policy)) * 1_000;
  // Only one that has lasted is over the failures before it.
  const failures = isSteady(state, facts) ? 0 : state.failures;
  const timed = underWay?.isTimed === true ? rest : endingAt(rest, endsAtMs, facts);
  const isOver = isQuiet === true || underWay?.isConfirmed === true;
  return {
    state: { ...timed, failures, ...(isOver ? {} : { underWay: { ...underWay, isAnswered: true } }) },
    effects: [{ do: 'store-later' }],
  };
}

/** The subscription lasts as long as it was granted, whatever becomes of a refresh (RFC 6665, section 4.1.2.2). */
function refreshFailed(state: Live, event: Failure, facts: WatchFacts): WatchStep {
  const atMs = facts.nowMs + pauseAfter(state, event.retryAfterMs, facts);
  if (atMs >= state.expiresAtMs) return failed(lost(state, facts), event, facts);
  const { at, sinceMs, expiresAtMs, minSeconds } = state;
  return {
    state: {
      at,
      sinceMs,
      expiresAtMs,
      ...(minSeconds === undefined ? {} : { minSeconds }),
      failures: state.failures + 1,
      refreshAtMs: atMs,
    },
    effects: [{ do: 'store-later' }],
  };
}

function liveDue(state: Live, facts: WatchFacts): WatchStep {
  const { nowMs, policy } = facts;
  const { underWay } = state;
  if (underWay !== undefined) {
    if (underWay.confirmByMs === undefined || nowMs < underWay.confirmByMs) return unchanged(state);
    // As above: no answer is a refresh that failed.
    if (underWay.isAnswered !== true) return refreshFailed(state, { isSilent: true }, facts);
    // Without its NOTIFY it counts as over (RFC 6665, section 4.1.2.2).
    return failed(lost(state, facts), {}, facts);
  }
  if (nowMs < state.refreshAtMs) return unchanged(state);
  return nowMs < state.expiresAtMs ? refresh(state, policy) : again(state, facts);
}

function refresh(state: Live, policy: WatchPolicy): WatchStep {
  return {
    state: { ...state, underWay: {} },
    effects: [{ do: 'refresh', seconds: secondsToAsk(state, policy) }],
  };
}

/** RFC 6665, section 4.1.3: what each reason asks of the subscriber. */
function terminated(state: Asking | Live, event: Terminated, facts: WatchFacts): WatchStep {
  const { reason, retryAfterMs } = event;
  switch (reason) {
    case 'rejected':
    case 'noresource':
      return ended(reason, facts);
    case 'invariant':
      return {
        state: { at: 'invariant', told: 'told' in state ? state.told : state.at },
        effects: [{ do: 'drop' }, { do: 'store' }, ...(event.isNews === true ? [{ do: 'report' } as const] : [])],
      };
    case 'deactivated':
    case 'timeout':
      // retry-after has no meaning with these.
      return again(state, facts);
    case 'probation':
      return failed(lost(state, facts), retryAfterMs === undefined ? {} : { retryAfterMs }, facts);
    case 'giveup':
    case 'other':
      if (retryAfterMs === undefined) return again(state, facts);
      return retryAt(lost(state, facts), facts.nowMs + retryAfterMs, facts, { failures: state.failures });
  }
}

/** A new dialog at once; after a pause where the last one was new itself, so that no circle turns at full speed. */
function again(state: Asking | Live, facts: WatchFacts): WatchStep {
  const next = lost(state, facts);
  if (next.failures > 0) return failed(next, {}, facts);
  return ask({ ...next, failures: 1 }, facts.policy);
}

function failed(state: Unconnected, event: Failure, facts: WatchFacts): WatchStep {
  const atMs = facts.nowMs + pauseAfter(state, event.retryAfterMs, facts);
  const { isSilent } = event;
  return retryAt(state, atMs, facts, {
    failures: state.failures + 1,
    ...(isSilent === undefined || event.retryAfterMs !== undefined ? {} : { isSilent }),
  });
}

function retryAt(
  state: Unconnected,
  atMs: number,
  { policy }: WatchFacts,
  more: { readonly failures: number; readonly isSilent?: true },
): WatchStep {
  const { lostAtMs, ...rest } = unconnected(state);
  const isStale = lostAtMs !== undefined && atMs - lostAtMs >= policy.staleMs;
  return {
    state: { ...rest, ...(lostAtMs === undefined || isStale ? {} : { lostAtMs }), ...more, at: 'retry', atMs },
    effects: [
      { do: 'drop' },
      ...(isStale ? [{ do: 'forget-document' } as const] : []),
      { do: 'store' },
      ...(isStale ? [{ do: 'report' } as const] : []),
    ],
  };
}

function ask(state: Unconnected, policy: WatchPolicy, before: readonly WatchEffect[] = []): WatchStep {
  return {
    state: { ...state, at: 'asking' },
    effects: [...before, { do: 'ask', seconds: secondsToAsk(state, policy) }],
  };
}

function ended(reason: EndReason, { nowMs }: WatchFacts): WatchStep {
  return {
    state: { at: 'ended', reason, sinceMs: nowMs },
    effects: [{ do: 'drop' }, { do: 'forget-document' }, { do: 'store' }, { do: 'report' }],
  };
}

function rested(told: Word, sinceMs: number): WatchStep {
  return { state: { at: 'resting', told, sinceMs }, effects: [{ do: 'leave' }, { do: 'store' }] };
}

function unchanged(state: WatchState): WatchStep {
  return { state, effects: [] };
}

/** What is left of a state once its dialog is gone. */
function lost(state: Asking | Live, facts: WatchFacts): Unconnected {
  if (state.at === 'asking') return unconnected(state);
  const { at, minSeconds } = state;
  return {
    told: at,
    failures: isSteady(state, facts) ? 0 : state.failures,
    ...(minSeconds === undefined ? {} : { minSeconds }),
    ...(at === 'active' ? { lostAtMs: facts.nowMs } : {}),
  };
}

function unconnected({ told, failures, minSeconds, lostAtMs }: Unconnected): Unconnected {
  return {
    told,
    failures,
    ...(minSeconds === undefined ? {} : { minSeconds }),
    ...(lostAtMs === undefined ? {} : { lostAtMs }),
  };
}

function isSteady({ sinceMs }: Live, { nowMs }: WatchFacts): boolean {
  return nowMs - sinceMs >= STEADY_MS;
}

function secondsToAsk({ minSeconds = 0 }: Carried, { expiresSeconds }: WatchPolicy): number {
  return Math.max(expiresSeconds, minSeconds);
}

/** Whether asking for so long is something else than what was refused. */
function isWorthAsking(minSeconds: number, state: Carried, policy: WatchPolicy): boolean {
  return minSeconds > secondsToAsk(state, policy) && minSeconds <= MIN_EXPIRES_SECONDS_MAX;
}

function pauseAfter({ failures }: Carried, retryAfterMs: number | undefined, facts: WatchFacts): number {
  return Math.max(
    retryAfterMs ?? 0,
    pauseMs(facts.policy.retry, failures + 1, () => facts.chance),
  );
}

function spread({ chance, policy }: WatchFacts): number {
  return Math.round(chance * policy.spreadMs);
}

function endingAt<S extends Omit<Live, 'underWay'>>(state: S, endsAtMs: number, facts: WatchFacts): S {
  if (Math.abs(endsAtMs - state.expiresAtMs) < SAME_END_MS) return state;
  return { ...state, expiresAtMs: endsAtMs, refreshAtMs: refreshTimeMs(endsAtMs, facts) };
}
