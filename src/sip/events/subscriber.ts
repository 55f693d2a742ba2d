import type { PresenceDocument } from '../../cpim/presence/document.ts';
import { Alarms } from '../../core/alarms.ts';
import type { Backoff } from '../../core/backoff.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random, Records } from '../../core/ports.ts';
import { isSameData } from '../../core/presence/same-data.ts';
import {
  pairKey,
  type OnUpstreamReport,
  type Pair,
  type Upstream,
  type UpstreamReport,
  type UpstreamRoute,
} from '../../core/presence/subscription.ts';
import { TokenSource } from '../engine/tokens.ts';
import type { Dialog } from './dialog.ts';
import { dialogToAskFor, takeLocalCseq } from './dialog-uac.ts';
import type { AnswerPlace, NotifiedDialog, NotifyWord } from './notify-handler.ts';
import { type Leaving, noteAnswer, PassingDialogs } from './passing-dialogs.ts';
import type { SipRoute } from './subscribe-request.ts';
import { hopOf, SubscribeSender, type SubscribeSenderDeps } from './subscribe-sender.ts';
import { stepWatch } from './subscriber-machine.ts';
import { dueAtMs, wordOf, type WatchEvent, type WatchPolicy, type WatchState } from './subscriber-states.ts';
import { restoredRecord, type UpstreamRecord } from './subscriber-records.ts';

export type SipSubscriberDeps = {
  /** Kind `sip-upstream`. */
  readonly records: Records<UpstreamRecord>;
  readonly request: SubscribeSenderDeps['request'];
  readonly contactFor: SubscribeSenderDeps['contactFor'];
  readonly onReport: OnUpstreamReport;
  /**
   * Whether anybody is there to see what is about to be asked for again (RFC 8048, section 8.1). Where not, `rest` has
   * been called. Absent: always.
   */
  readonly isWanted?: (pair: Pair) => Promise<boolean>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What is asked for; seconds. */
  readonly expiresSeconds: number;
  readonly retry?: Backoff;
  /** How long a document stands after its subscription was lost; ms. */
  readonly staleMs?: number;
  /** SUBSCRIBE requests under way to one next hop. */
  readonly perHopMax?: number;
  /** Unguessable, for tags and Call-IDs: whoever knows them could notify us. */
  readonly token?: () => string;
};

/** A pair in memory: its record, and what of it a restart does not need. */
type Watch = Pair & {
  readonly key: string;
  route: SipRoute;
  state: WatchState;
  dialog: Dialog | undefined;
  place: AnswerPlace | undefined;
  document: PresenceDocument | undefined;
  /** Counts the requests; what becomes of one that is not the last matters no more. */
  turn: number;
  answered: Promise<void> | undefined;
  /** The dialog of the last request, until it is stored. */
  storing: Promise<void> | undefined;
};

const RETRY: Backoff = { firstMs: 10_000, maxMs: 600_000 };
const STALE_MS = 300_000;
const SPREAD_MS = 10_000;
const PER_HOP_MAX = 200;

/**
 * Watches presentities elsewhere over SIP (RFC 6665, section 4.1; RFC 8048, section 5.2): the effects of
 * `subscriber-machine.ts`. All that lasts is in its records; a SUBSCRIBE leaves when its dialog is stored.
 */
export class SipSubscriber implements Upstream {
  readonly #deps: SipSubscriberDeps;
  readonly #policy: WatchPolicy;
  readonly #token: () => string;
  readonly #watches = new Map<string, Watch>();
  /** By local tag. */
  readonly #dialogs = new Map<string, Watch>();
  readonly #sender: SubscribeSender;
  readonly #passing: PassingDialogs;
  /** By the key of the pair. */
  readonly #alarms: Alarms;
  #isStarted = false;

  /** Reads the records: `reportOf` answers from then on. Nothing is sent before `start`. */
  constructor(deps: SipSubscriberDeps) {
    this.#deps = deps;
    const { clock, expiresSeconds, request, contactFor, log } = deps;
    const { retry = RETRY, staleMs = STALE_MS, perHopMax = PER_HOP_MAX } = deps;
    this.#policy = { expiresSeconds, retry, staleMs, spreadMs: SPREAD_MS };
    const tokens = new TokenSource();
    this.#token = deps.token ?? (() => tokens.token());
    this.#sender = new SubscribeSender({ request, contactFor, perHopMax, log, onUp: (hop) => this.#wake(hop) });
    this.#passing = new PassingDialogs({ sender: this.#sender, token: this.#token, clock });
    this.#alarms = new Alarms(clock, (key) => this.#onDue(key));
    for (const [key, value] of deps.records.all()) this.#restore(key, value);
  }

  /** Goes on with what an earlier process has left: called once, when requests can be sent. */
  start(): void {
    this.#isStarted = true;
    for (const watch of this.#watches.values()) {
      void this.#apply(watch, { type: 'restored' });
      this.#arm(watch);
    }
  }

  /** Nothing is sent by itself any more. */
  stop(): void {
    this.#alarms.stop();
    this.#passing.stop();
  }

  async watch(pair: Pair, route: UpstreamRoute): Promise<void> {
    if (route.kind !== 'sip') throw new GatewayError('internal', 'a link is not reached over SIP');
    const key = pairKey(pair);
    const known = this.#watches.get(key);
    const watch = known ?? this.#newWatch(key, pair, route);
    const { state } = watch;
    if (watch.route.nextHop !== route.nextHop || watch.route.domain !== route.domain) {
      watch.route = route;
      if (known !== undefined) this.#deps.records.putLater(key, recordOf(watch));
    }
    void this.#apply(watch, { type: 'watch' });
    if (watch.state.at !== 'asking') return;
    const isBegun = watch.state !== state;
    const { turn } = watch;
    try {
      await watch.storing;
    } catch (cause) {
      // Whoever asked is told no, so that it must not happen after all.
      if (isBegun && watch.turn === turn) this.#takeBack(watch, known === undefined ? undefined : state);
      throw new GatewayError('store-unavailable', 'the intention to watch cannot be stored', { cause });
    }
  }

  rest(pair: Pair): void {
    const watch = this.#watches.get(pairKey(pair));
    if (watch !== undefined) void this.#apply(watch, { type: 'rest' });
  }

  end(pair: Pair): void {
    const watch = this.#watches.get(pairKey(pair));
    if (watch !== undefined) void this.#apply(watch, { type: 'end' });
  }

  fetch(pair: Pair, route: UpstreamRoute): Promise<UpstreamReport> {
    const watch = this.#watches.get(pairKey(pair));
    const known = (): UpstreamReport => this.reportOf(pair) ?? { state: { at: 'asked' } };
    // What is told as it changes is known as well as it can be.
    const isLive = watch?.state.at === 'pending' || watch?.state.at === 'active' || watch?.state.at === 'invariant';
    if (isLive || route.kind !== 'sip') return Promise.resolve(known());
    return this.#passing.fetch(pair, route, known);
  }

  reportOf(pair: Pair): UpstreamReport | undefined {
    const watch = this.#watches.get(pairKey(pair));
    return watch === undefined ? undefined : reportFrom(watch);
  }

  /** For the handler of NOTIFY. */
  find(localTag: string): NotifiedDialog | undefined {
    const watch = this.#dialogs.get(localTag);
    if (watch?.dialog === undefined) return this.#passing.find(localTag);
    const { dialog, presentity, place, answered } = watch;
    return { dialog, presentity, place, answered, take: (word) => this.#takeWord(watch, word) };
  }

  #newWatch(key: string, { watcher, presentity }: Pair, route: SipRoute): Watch {
    const state: WatchState = { at: 'resting', told: 'asked', sinceMs: this.#deps.clock.nowMs() };
    const watch: Watch = {
      key,
      watcher,
      presentity,
      route,
      state,
      dialog: undefined,
      place: undefined,
      document: undefined,
      turn: 0,
      answered: undefined,
      storing: undefined,
    };
    this.#watches.set(key, watch);
    return watch;
  }

  #restore(key: string, value: UpstreamRecord): void {
    const record = restoredRecord(value, this.#deps.clock.nowMs());
    if (record === undefined) {
      this.#deps.records.removeLater(key);
      return;
    }
    const watch = this.#newWatch(key, record, record.route);
    watch.state = record.state;
    watch.dialog = record.dialog;
    watch.place = record.place;
    watch.document = record.document;
    if (watch.dialog !== undefined) this.#dialogs.set(watch.dialog.localTag, watch);
  }

  #takeBack(watch: Watch, state: WatchState | undefined): void {
    this.#dropDialog(watch);
    if (state === undefined) this.#watches.delete(watch.key);
    else watch.state = state;
  }

  async #takeWord(watch: Watch, word: NotifyWord): Promise<void> {
    const { document } = word;
    // What a pending watcher is shown says nothing (RFC 8048, section 5.2.1), and the last NOTIFY of a dialog may say
    // that nobody is there any more; only `invariant` means what it shows.
    const counts = word.state === 'active' || (word.state === 'terminated' && word.reason === 'invariant');
    const isNews = counts && document !== undefined && !isSameData(document, watch.document);
    if (isNews) watch.document = document;
    const news = isNews ? ({ isNews } as const) : {};
    if (word.state !== 'terminated') {
      const { state, expiresSeconds } = word;
      const timed = expiresSeconds === undefined ? {} : { expiresSeconds };
      return this.#apply(watch, { type: 'notified', state, ...timed, ...news });
    }
    const { reason, retryAfterSeconds } = word;
    const later = retryAfterSeconds === undefined ? {} : { retryAfterMs: retryAfterSeconds * 1_000 };
    return this.#apply(watch, { type: 'terminated', reason, ...later, ...news });
  }

  /** Moves a pair. @returns what must be stored before anybody is told that it is so, where there is such a thing */
  #apply(watch: Watch, event: WatchEvent): Promise<void> {
    const { clock, random, records, onReport, log } = this.#deps;
    const { watcher, presentity } = watch;
    const facts = { nowMs: clock.nowMs(), chance: random(), policy: this.#policy };
    const { state, effects } = stepWatch(watch.state, event, facts);
    if (state.at === 'ended' && watch.state.at !== 'ended') {
      log.info({ watcher, presentity, reason: state.reason }, 'subscription ended by the far side');
    }
    watch.state = state;
    let stored: Promise<void> | undefined;
    let left: Leaving | undefined;
    for (const effect of effects) {
      switch (effect.do) {
        case 'ask':
          stored = this.#ask(watch, effect.seconds);
          break;
        case 'refresh':
          stored = this.#refresh(watch, effect.seconds);
          break;
        case 'leave':
          left = leavingFrom(watch);
          this.#dropDialog(watch);
          break;
        case 'drop':
          this.#dropDialog(watch);
          break;
        case 'forget-document':
          watch.document = undefined;
          break;
        case 'report':
          onReport({ watcher, presentity }, reportFrom(watch));
          break;
        case 'store':
          stored = records.put(watch.key, recordOf(watch));
          break;
        case 'store-later':
          records.putLater(watch.key, recordOf(watch));
          break;
        case 'forget':
          this.#watches.delete(watch.key);
          stored = records.remove(watch.key);
          break;
      }
    }
    if (stored === undefined) stored = Promise.resolve();
    // Most of those who cause this cannot wait; those who do see the failure themselves.
    else stored.catch((error: unknown) => this.#notStored(watch, error));
    if (left !== undefined) this.#passing.leave(left, stored);
    this.#arm(watch);
    return stored;
  }

  /** It is stored with the next change, or comes out by itself: at worst a request meets 481 after a restart. */
  #notStored(watch: Watch, error: unknown): void {
    const { watcher, presentity } = watch;
    this.#deps.log.warn({ watcher, presentity, error }, 'state of a subscription could not be stored');
  }

  #ask(watch: Watch, seconds: number): Promise<void> {
    this.#dropDialog(watch);
    const dialog = dialogToAskFor(watch, this.#token);
    watch.dialog = dialog;
    this.#dialogs.set(dialog.localTag, watch);
    return this.#send(watch, dialog, seconds);
  }

  #refresh(watch: Watch, seconds: number): Promise<void> {
    // There always is one in the states that refresh.
    return watch.dialog === undefined ? Promise.resolve() : this.#send(watch, watch.dialog, seconds);
  }

  #send(watch: Watch, dialog: Dialog, seconds: number): Promise<void> {
    takeLocalCseq(dialog);
    watch.turn += 1;
    const stored = this.#deps.records.put(watch.key, recordOf(watch));
    watch.storing = stored;
    watch.answered = this.#exchange(watch, dialog, seconds, stored);
    return stored;
  }

  async #exchange(watch: Watch, dialog: Dialog, seconds: number, stored: Promise<void>): Promise<void> {
    const { turn, watcher, route } = watch;
    const isLast = (): boolean => watch.turn === turn;
    const begin = (): boolean => {
      if (!isLast()) return false;
      watch.storing = undefined;
      void this.#apply(watch, { type: 'sent' });
      return true;
    };
    const answer = await this.#sender.send({ watcher, route, dialog, seconds, stored, begin });
    if (answer === undefined) return;
    const { event, response } = answer;
    // Where it was left meanwhile, too: without the far side's tag it could not be ended.
    if (!isLast()) {
      this.#passing.note(dialog, response);
      return;
    }
    if (response !== undefined) noteAnswer(watch, dialog, response);
    watch.answered = undefined;
    void this.#apply(watch, event);
  }

  #dropDialog(watch: Watch): void {
    watch.turn += 1;
    watch.answered = undefined;
    watch.storing = undefined;
    watch.place = undefined;
    if (watch.dialog === undefined) return;
    this.#dialogs.delete(watch.dialog.localTag);
    watch.dialog = undefined;
  }

  #wake(hop: string): void {
    for (const watch of this.#watches.values()) {
      if (hopOf(watch.route) === hop) void this.#apply(watch, { type: 'peer-up' });
    }
  }

  #arm(watch: Watch): void {
    if (!this.#isStarted) return;
    const isKept = this.#watches.get(watch.key) === watch;
    this.#alarms.set(watch.key, isKept ? dueAtMs(watch.state) : undefined);
  }

  #onDue(key: string): void {
    const watch = this.#watches.get(key);
    if (watch === undefined) return;
    const { isWanted } = this.#deps;
    const { at } = watch.state;
    if (isWanted === undefined || (at !== 'active' && at !== 'pending')) void this.#apply(watch, { type: 'due' });
    else void isWanted(watch).then((wanted) => (wanted ? this.#apply(watch, { type: 'due' }) : undefined));
  }
}

function recordOf({ watcher, presentity, route, state, dialog, place, document }: Watch): UpstreamRecord {
  return {
    watcher,
    presentity,
    route,
    state,
    ...(dialog === undefined ? {} : { dialog }),
    ...(place === undefined ? {} : { place }),
    ...(document === undefined ? {} : { document }),
  };
}

function reportFrom({ state, document }: Watch): UpstreamReport {
  const word = wordOf(state);
  return document === undefined ? { state: word } : { state: word, document };
}

function leavingFrom(watch: Watch): Leaving | undefined {
  const { watcher, presentity, route, dialog, place, answered } = watch;
  return dialog === undefined ? undefined : { watcher, presentity, route, dialog, place, answered };
}
