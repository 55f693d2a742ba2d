import type { Address } from '../../cpim/address.ts';
import { DueList, LOOK_MS } from '../../core/due-list.ts';
import type { Clock } from '../../core/ports.ts';
import type { Pair, UpstreamReport } from '../../core/presence/subscription.ts';
import type { Dialog } from './dialog.ts';
import { dialogToAskFor, learnFromAnswer, takeLocalCseq } from './dialog-uac.ts';
import type { AnswerPlace, NotifiedDialog, NotifyWord } from './notify-handler.ts';
import type { SipResponse } from '../message.ts';
import { placeOf, type SubscribeSender } from './subscribe-sender.ts';
import type { SipRoute } from './subscribe-request.ts';
import { TIMER_N_MS, type AnswerEvent } from './subscriber-states.ts';

export type PassingDialogsDeps = {
  readonly sender: Pick<SubscribeSender, 'send'>;
  readonly token: () => string;
  readonly clock: Clock;
};

type Passing = {
  readonly dialog: Dialog;
  readonly presentity: Address;
  place: AnswerPlace | undefined;
  answered: Promise<void> | undefined;
  readonly take: (word: NotifyWord) => Promise<void>;
};

/** A dialog that a watcher turns his back on. */
export type Leaving = Pair & {
  readonly route: SipRoute;
  readonly dialog: Dialog;
  readonly place: AnswerPlace | undefined;
  /** Its first SUBSCRIBE is under way: the way to end it is not known yet. */
  readonly answered: Promise<void> | undefined;
};

/** How long somebody who asks once is kept waiting; ms. */
const FETCH_MS = 2_000;
/** Dialogs that are not stored; more fetches than that are answered with what is known. */
const PASSING_MAX = 20_000;

/**
 * Dialogs of seconds, which nobody misses after a restart: those of fetches (RFC 6665, section 4.4.3), and those that
 * were left and in which a last NOTIFY is still to come (section 4.1.2.3).
 */
export class PassingDialogs {
  readonly #deps: PassingDialogsDeps;
  readonly #open = new Map<string, Passing>();
  readonly #later: DueList<() => void>;

  constructor(deps: PassingDialogsDeps) {
    this.#deps = deps;
    this.#later = new DueList(deps.clock, LOOK_MS, (action) => action());
  }

  find(localTag: string): NotifiedDialog | undefined {
    return this.#open.get(localTag);
  }

  stop(): void {
    this.#later.stop();
  }

  /**
   * Ends a subscription: at once, or as soon as the far side has said by which tag. What it still says is taken and
   * means nothing. If nothing of this arrives, the subscription ends by itself.
   *
   * @param stored what must be stored before
   */
  leave(leaving: Leaving, stored: Promise<void>): void {
    const { dialog, presentity, place, answered } = leaving;
    let isLeft = false;
    const unsubscribe = (): void => {
      if (isLeft || dialog.remoteTag === undefined) return;
      isLeft = true;
      takeLocalCseq(dialog);
      void this.#deps.sender.send({ ...leaving, seconds: 0, stored, begin: () => true });
    };
    this.#add({
      dialog,
      presentity,
      place,
      answered,
      take: (word) => {
        if (word.state === 'terminated') this.#open.delete(dialog.localTag);
        else unsubscribe();
        return Promise.resolve();
      },
    });
    unsubscribe();
    // The 2xx to what was under way has been learned from by then.
    void answered?.then(unsubscribe);
  }

  /** The answer to a SUBSCRIBE of a dialog that was left while it was under way. */
  note(dialog: Dialog, answer: SipResponse | undefined): void {
    const passing = this.#open.get(dialog.localTag);
    if (passing !== undefined && answer !== undefined) noteAnswer(passing, dialog, answer);
  }

  /** Asks once. @param known what to say when nothing better comes */
  fetch(pair: Pair, route: SipRoute, known: () => UpstreamReport): Promise<UpstreamReport> {
    if (this.#open.size >= PASSING_MAX) return Promise.resolve(known());
    const dialog = dialogToAskFor(pair, this.#deps.token);
    takeLocalCseq(dialog);
    return new Promise((resolve) => {
      let isOver = false;
      const finish = (report: UpstreamReport): void => {
        isOver = true;
        resolve(report);
      };
      const passing: Passing = {
        dialog,
        presentity: pair.presentity,
        place: undefined,
        answered: undefined,
        take: (word) => {
          if (word.state === 'terminated') this.#open.delete(dialog.localTag);
          finish(reportFromFetch(word) ?? known());
          return Promise.resolve();
        },
      };
      this.#add(passing);
      this.#later.add(this.#deps.clock.nowMs() + FETCH_MS, () => finish(known()));
      const sent = this.#deps.sender.send({ watcher: pair.watcher, route, dialog, seconds: 0, begin: () => !isOver });
      passing.answered = sent.then((answer) => {
        if (answer?.response !== undefined) noteAnswer(passing, dialog, answer.response);
        const report = answer === undefined ? undefined : reportFromAnswer(answer.event, known);
        if (report !== undefined) finish(report);
      });
    });
  }

  #add(passing: Passing): void {
    const { localTag } = passing.dialog;
    this.#open.set(localTag, passing);
    this.#later.add(this.#deps.clock.nowMs() + TIMER_N_MS, () => this.#open.delete(localTag));
  }
}

/** Takes what a 2xx says about a dialog. */
export function noteAnswer(to: { place: AnswerPlace | undefined }, dialog: Dialog, answer: SipResponse): void {
  if (answer.status >= 300) return;
  learnFromAnswer(dialog, answer);
  to.place = placeOf(answer);
}

/** Without a subscription there is nothing to wait for. */
function reportFromAnswer({ type }: AnswerEvent, known: () => UpstreamReport): UpstreamReport | undefined {
  switch (type) {
    case 'accepted':
      return undefined;
    case 'forbidden':
      return { state: { at: 'ended', reason: 'rejected' } };
    case 'not-found':
      return { state: { at: 'ended', reason: 'noresource' } };
    case 'failed':
    case 'gone':
    case 'refused':
    case 'too-brief':
      return known();
  }
}

/** The body counts, not that it ends; undefined where there is nothing to be learned. */
function reportFromFetch(word: NotifyWord): UpstreamReport | undefined {
  const { document } = word;
  if (word.state === 'terminated') {
    if (word.reason === 'rejected' || word.reason === 'noresource') {
      return { state: { at: 'ended', reason: word.reason } };
    }
    return document === undefined ? undefined : { state: { at: 'active' }, document };
  }
  if (document === undefined || word.state === 'pending') return { state: { at: word.state } };
  return { state: { at: 'active' }, document };
}
