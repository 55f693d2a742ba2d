import type { Backoff } from '../../core/backoff.ts';
import type { EndReason, UpstreamReport } from '../../core/presence/subscription.ts';

/** The last word of the far side; `asked`: none yet. */
export type Word = 'asked' | 'pending' | 'active';

/** What goes from one dialog of a pair to the next. */
export type Carried = {
  /** Attempts that came to nothing, or dialogs that ended soon after they began, since it last went well. */
  readonly failures: number;
  /** The far side takes no shorter subscription. */
  readonly minSeconds?: number;
};

export type Unconnected = Carried & {
  readonly told: Word;
  /** Since when what is known of the presentity is no longer kept fresh; absent where nothing is known. */
  readonly lostAtMs?: number;
};

/** A SUBSCRIBE within the dialog on its way; an initial one whose NOTIFY was faster than its answer, too. */
export type UnderWay = {
  /** Timer N; absent until it is sent, and once the NOTIFY is here. */
  readonly confirmByMs?: number;
  readonly isAnswered?: true;
  readonly isConfirmed?: true;
  /** The NOTIFY has said how long it lasts, which counts more than the answer (RFC 6665, section 4.1.3). */
  readonly isTimed?: true;
};

/** How one watcher here stands to one presentity elsewhere. Plain data; times are ms since the epoch. */
export type WatchState =
  /** A SUBSCRIBE for a new dialog is on its way: no NOTIFY yet. `confirmByMs` is Timer N, absent until it is sent. */
  | (Unconnected & { readonly at: 'asking'; readonly confirmByMs?: number; readonly expiresAtMs?: number })
  | (Carried & {
      readonly at: 'pending' | 'active';
      /** Since when there is this dialog. */
      readonly sinceMs: number;
      readonly expiresAtMs: number;
      readonly refreshAtMs: number;
      readonly underWay?: UnderWay;
    })
  /** No dialog; the next one is asked for at this time. */
  | (Unconnected & {
      readonly at: 'retry';
      readonly atMs: number;
      /** Nobody answered: to be tried as soon as the far side is there again. */
      readonly isSilent?: true;
    })
  /** What is known will not change (RFC 6665, section 4.1.3): nothing to ask for. */
  | { readonly at: 'invariant'; readonly told: Word }
  /** Nobody is there to see it; the permission stays. */
  | { readonly at: 'resting'; readonly told: Word; readonly sinceMs: number }
  | { readonly at: 'ended'; readonly reason: EndReason; readonly sinceMs: number };

/** What a NOTIFY with `terminated` says; `other`: none, or one that is not known. */
export type TerminatedReason =
  'deactivated' | 'probation' | 'rejected' | 'timeout' | 'giveup' | 'noresource' | 'invariant' | 'other';

/** What the answer to a SUBSCRIBE comes to. */
export type AnswerEvent =
  /** `isQuiet`: no NOTIFY will follow (RFC 5839, section 7.2). */
  | { readonly type: 'accepted'; readonly seconds?: number; readonly isQuiet?: true }
  | { readonly type: 'too-brief'; readonly minSeconds: number }
  /** Over for good (RFC 8048, section 5.2.2). */
  | { readonly type: 'forbidden' }
  | { readonly type: 'not-found' }
  /** 481: the far side has no such dialog any more. */
  | { readonly type: 'gone' }
  /** Ends a subscription where it answers a refresh (RFC 6665, section 4.1.2.2). */
  | { readonly type: 'refused'; readonly retryAfterMs?: number }
  /** Not now. `isSilent`: nobody answered. */
  | { readonly type: 'failed'; readonly retryAfterMs?: number; readonly isSilent?: true };

export type WatchEvent =
  | { readonly type: 'watch' }
  | { readonly type: 'rest' }
  | { readonly type: 'end' }
  /** Read from the store by a process that has just begun. */
  | { readonly type: 'restored' }
  /** The far side answers again. */
  | { readonly type: 'peer-up' }
  /** The SUBSCRIBE leaves now. */
  | { readonly type: 'sent' }
  | AnswerEvent
  /** `isNews`: with a document other than the last. */
  | {
      readonly type: 'notified';
      readonly state: 'pending' | 'active';
      readonly expiresSeconds?: number;
      readonly isNews?: true;
    }
  | {
      readonly type: 'terminated';
      readonly reason: TerminatedReason;
      readonly retryAfterMs?: number;
      readonly isNews?: true;
    }
  /** The time of `dueAtMs` has come. */
  | { readonly type: 'due' };

/** What the caller does, in this order. After each step it also watches for `dueAtMs`. */
export type WatchEffect =
  /** Store, then send a SUBSCRIBE in a dialog of its own; what dialog there was is dropped. */
  | { readonly do: 'ask'; readonly seconds: number }
  /** Store, then send a SUBSCRIBE within the dialog. */
  | { readonly do: 'refresh'; readonly seconds: number }
  /** The dialog is over for us: say so to the far side, and take what it still sends. */
  | { readonly do: 'leave' }
  /** The dialog is over for both. */
  | { readonly do: 'drop' }
  | { readonly do: 'forget-document' }
  | { readonly do: 'report' }
  | { readonly do: 'store' }
  /** Lost without harm when the process ends now. */
  | { readonly do: 'store-later' }
  | { readonly do: 'forget' };

export type WatchStep = { readonly state: WatchState; readonly effects: readonly WatchEffect[] };

export type WatchPolicy = {
  /** What is asked for. */
  readonly expiresSeconds: number;
  /** Pauses between attempts; Retry-After makes them longer, never shorter. */
  readonly retry: Backoff;
  /** How long a document stands after its subscription was lost. */
  readonly staleMs: number;
  /** Over how long what falls due together, after an outage of either side, is spread. */
  readonly spreadMs: number;
};

export type WatchFacts = {
  readonly nowMs: number;
  /** In [0, 1). */
  readonly chance: number;
  readonly policy: WatchPolicy;
};

/** Timer N: 64*T1 (RFC 6665, section 4.1.2.4); ms. */
export const TIMER_N_MS = 32_000;

/** When something is to be done about it without anybody asking. */
export function dueAtMs(state: WatchState): number | undefined {
  switch (state.at) {
    case 'asking':
      return state.confirmByMs;
    case 'pending':
    case 'active':
      return state.underWay === undefined ? state.refreshAtMs : state.underWay.confirmByMs;
    case 'retry':
      return state.atMs;
    case 'invariant':
    case 'resting':
    case 'ended':
      return undefined;
  }
}

/** The last word of the far side, as it is reported. */
export function wordOf(state: WatchState): UpstreamReport['state'] {
  switch (state.at) {
    case 'ended':
      return { at: 'ended', reason: state.reason };
    case 'pending':
    case 'active':
      return { at: state.at };
    case 'asking':
    case 'retry':
    case 'invariant':
    case 'resting':
      return { at: state.told };
  }
}
