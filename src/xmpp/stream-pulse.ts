/** What the passing of time says about a stream. */
export type PulseVerdict = {
  /** The far side is gone: cut the stream. */
  readonly dead?: string;
  /** It answers no pings at all; said once. From now on time confirms. */
  readonly mute?: true;
  /** Nothing has been asked for long: send a ping. */
  readonly pingDue?: true;
  /** So many stanzas ever written count as taken, because the stream has outlived them. */
  readonly confirmed?: number;
};

/** Pings unanswered for this long, or bytes that nobody takes, mean that nobody is there, ms. */
const DEAD_MS = 20_000;
/** A ping is sent when none was sent for this long, ms. */
const IDLE_MS = 60_000;
/** A peer that has not answered its first ping for this long is taken for one that never does, ms; unless told otherwise. */
const MUTE_MS = 3_000;
/** What a mute peer has not refused for this long after it left counts as taken, ms. */
const OUTLIVED_MS = 250;

type Ping = { readonly id: string; readonly covers: number };

/**
 * The pings of one stream and what follows from them: which stanzas are confirmed, whether the peer is alive.
 *
 * An XEP-0114 stream has no acknowledgements. But a server handles what comes over one stream in order, so that a ping
 * that comes back, in whatever form, says that all before it has been handled. Several may be under way, so that a slow
 * server shows that it goes on.
 *
 * Pure: time comes in through `passed`, in steps, so that a wall clock that jumps means nothing here.
 */
export class StreamPulse {
  readonly #prefix: string;
  /** Whether a ping was ever answered by this peer, on an earlier stream too. */
  #answers: boolean;
  #mute = false;
  readonly #muteMs: number;
  #nowMs = 0;
  #sent = 0;
  #lastPingMs = 0;
  /** Under way, oldest first. */
  #pings: Ping[] = [];
  /** Since when an answer is waited for: the last answer, or the first ping after all were answered. */
  #waitingSinceMs = 0;
  /** Stanzas that have left our system, and when; kept only while the peer has never answered. */
  readonly #left: Array<{ readonly count: number; readonly atMs: number }> = [];
  /** When bytes were last seen to leave, or none were waiting. */
  #movedAtMs = 0;

  /**
   * @param prefix begins the id of every ping; unguessable, so that nobody else can confirm anything
   * @param answers whether this peer has answered pings before
   * @param wasMute whether it was found mute on the stream before: that is not waited for a second time
   * @param muteMs how long a peer is given for its first answer: longer where it must open a stream of its own for it
   */
  constructor(prefix: string, answers: boolean, wasMute = false, muteMs = MUTE_MS) {
    this.#prefix = prefix;
    this.#answers = answers;
    this.#mute = wasMute && !answers;
    this.#muteMs = muteMs;
  }

  get answers(): boolean {
    return this.#answers;
  }

  /** Whether it has never answered, and was given time to. */
  get isMute(): boolean {
    return this.#mute;
  }

  /** Whether a ping is under way. */
  get pinging(): boolean {
    return this.#pings.length > 0;
  }

  /** A new ping for what has been written so far. @returns its id */
  ping(written: number): string {
    this.#sent += 1;
    const id = `${this.#prefix}-${this.#sent}`;
    if (this.#pings.length === 0) this.#waitingSinceMs = this.#nowMs;
    // To one that answers none, the newest is enough.
    if (this.#mute) this.#pings.length = 0;
    this.#pings.push({ id, covers: written });
    this.#lastPingMs = this.#nowMs;
    return id;
  }

  /** Whether this is the id of a ping of this stream, answered already or not. */
  isOurs(id: string): boolean {
    return id.startsWith(this.#prefix);
  }

  /**
   * An answer from the right sender. It stands for the pings before it too.
   *
   * @returns how many stanzas ever written are taken; undefined when no such ping is under way
   */
  answered(id: string): number | undefined {
    const at = this.#pings.findIndex((ping) => ping.id === id);
    const ping = this.#pings[at];
    if (ping === undefined) return undefined;
    this.#pings.splice(0, at + 1);
    this.#waitingSinceMs = this.#nowMs;
    this.#answers = true;
    this.#mute = false;
    this.#left.length = 0;
    return ping.covers;
  }

  /** The system has taken so many stanzas ever written. */
  flushed(count: number): void {
    this.#movedAtMs = this.#nowMs;
    if (!this.#answers) this.#left.push({ count, atMs: this.#nowMs });
  }

  /**
   * Time has passed.
   *
   * @param holding we ourselves read nothing at present, so that a missing answer says nothing
   */
  passed(ms: number, state: { readonly holding: boolean; readonly bytesWaiting: number }): PulseVerdict {
    this.#nowMs += ms;
    if (state.bytesWaiting === 0) this.#movedAtMs = this.#nowMs;
    else if (this.#nowMs - this.#movedAtMs >= DEAD_MS) return { dead: 'the server reads nothing' };
    if (state.holding) this.#waitingSinceMs += ms;
    const unansweredMs = this.pinging ? this.#nowMs - this.#waitingSinceMs : 0;
    if (this.#answers && unansweredMs >= DEAD_MS) return { dead: 'the server answers no pings any more' };
    const isNewlyMute = !this.#answers && !this.#mute && unansweredMs >= this.#muteMs;
    if (isNewlyMute) this.#mute = true;
    const confirmed = this.#mute ? this.#outlived() : undefined;
    return {
      ...(isNewlyMute ? { mute: true } : {}),
      ...(this.#nowMs - this.#lastPingMs >= IDLE_MS && (!this.pinging || this.#mute) ? { pingDue: true } : {}),
      ...(confirmed === undefined ? {} : { confirmed }),
    };
  }

  #outlived(): number | undefined {
    let count: number | undefined;
    while (this.#left.length > 0) {
      const [oldest] = this.#left;
      if (oldest === undefined || this.#nowMs - oldest.atMs < OUTLIVED_MS) break;
      count = oldest.count;
      this.#left.shift();
    }
    return count;
  }
}
