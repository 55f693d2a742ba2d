/** A numbered message: which pair of sender and receiver, and its place among theirs. */
export type Mark = { readonly pair: number; readonly number: number };

/** How one copy of a message came: what a receiver could tell repeated ones by. */
export type Copy = {
  /** XMPP: stanza id; SIP: Call-ID, CSeq and From tag. */
  readonly id: string;
  readonly originId?: string;
  /** Carries a delay stamp. */
  readonly delayed?: boolean;
};

export type LedgerFigures = {
  readonly sent: number;
  /** Answered with success, or where the protocol has no such answer, not refused. */
  readonly accepted: number;
  readonly refused: number;
  readonly arrived: number;
  /** Accepted, and never seen. */
  readonly lost: number;
  /** Seen for the first time after a later one of its pair. */
  readonly reordered: number;
  /** Further copies of messages seen before. */
  readonly doubled: number;
  /** Further copies that a receiver could not tell as such: another id, or no delay stamp. */
  readonly doubledUnmarked: number;
};

type Entry = { state: 'sent' | 'accepted' | 'refused'; sentAtMs: number; first?: Copy };

/** Counts what was sent against what arrived; pairs are independent, order is judged within a pair. */
export class Ledger {
  readonly #pairs = new Map<number, { entries: Entry[]; highest: number }>();
  readonly #latenciesMs: number[] = [];
  /** SIP repeats the request itself and has no delay stamp: the id alone marks a copy. */
  readonly #stamped: boolean;
  #arrived = 0;
  #reordered = 0;
  #doubled = 0;
  #doubledUnmarked = 0;
  #strangers = 0;
  #lastArrivalMs = 0;

  constructor(options: { stamped: boolean }) {
    this.#stamped = options.stamped;
  }

  /** Body of a message: the mark, then what fills it up. */
  static body({ pair, number }: Mark, filler = ''): string {
    return `#${pair}:${number};${filler}`;
  }

  static markOf(body: string): Mark | undefined {
    if (!body.startsWith('#')) return undefined;
    const colon = body.indexOf(':');
    const end = body.indexOf(';');
    if (colon < 0 || end < colon) return undefined;
    return { pair: Number(body.slice(1, colon)), number: Number(body.slice(colon + 1, end)) };
  }

  sent({ pair, number }: Mark): void {
    let known = this.#pairs.get(pair);
    if (known === undefined) this.#pairs.set(pair, (known = { entries: [], highest: -1 }));
    known.entries[number] = { state: 'sent', sentAtMs: performance.now() };
  }

  accepted(mark: Mark): void {
    const entry = this.#entry(mark);
    if (entry !== undefined) entry.state = 'accepted';
  }

  refused(mark: Mark): void {
    const entry = this.#entry(mark);
    if (entry !== undefined) entry.state = 'refused';
  }

  seen(mark: Mark, copy: Copy): void {
    const entry = this.#entry(mark);
    const pair = this.#pairs.get(mark.pair);
    if (entry === undefined || pair === undefined) {
      this.#strangers++;
      return;
    }
    if (entry.first === undefined) {
      entry.first = copy;
      this.#arrived++;
      this.#lastArrivalMs = performance.now();
      this.#latenciesMs.push(this.#lastArrivalMs - entry.sentAtMs);
      if (mark.number < pair.highest) this.#reordered++;
      else pair.highest = mark.number;
      return;
    }
    this.#doubled++;
    const same = copy.id === entry.first.id && copy.originId === entry.first.originId;
    if (!same || (this.#stamped && copy.delayed !== true)) this.#doubledUnmarked++;
  }

  get arrivedCount(): number {
    return this.#arrived;
  }

  /** On the clock of `performance.now()`. */
  get lastArrivalMs(): number {
    return this.#lastArrivalMs;
  }

  /** Whether everything accepted has been seen, and everything sent has an answer. */
  isComplete(): boolean {
    for (const { entries } of this.#pairs.values()) {
      for (const entry of entries) {
        if (entry.state === 'sent' || (entry.state === 'accepted' && entry.first === undefined)) return false;
      }
    }
    return true;
  }

  /** Time from the first sending to the first arrival, ms: quantiles in per cent. */
  latencyMs(...quantiles: readonly number[]): readonly number[] {
    const sorted = Float64Array.from(this.#latenciesMs).sort();
    return quantiles.map((quantile) => {
      const at = Math.min(sorted.length - 1, Math.floor((sorted.length * quantile) / 100));
      return Math.round((sorted[at] ?? Number.NaN) * 100) / 100;
    });
  }

  figures(): LedgerFigures {
    let sent = 0;
    let accepted = 0;
    let refused = 0;
    let lost = 0;
    for (const { entries } of this.#pairs.values()) {
      for (const entry of entries) {
        sent++;
        if (entry.state === 'refused') refused++;
        if (entry.state !== 'accepted') continue;
        accepted++;
        if (entry.first === undefined) lost++;
      }
    }
    if (this.#strangers > 0) throw new Error(`${this.#strangers} messages arrived that nobody sent`);
    return {
      sent,
      accepted,
      refused,
      arrived: this.#arrived,
      lost,
      reordered: this.#reordered,
      doubled: this.#doubled,
      doubledUnmarked: this.#doubledUnmarked,
    };
  }

  /** Marks of what is lost, for the text of a failure; at most 20. */
  lostMarks(): readonly string[] {
    const marks: string[] = [];
    for (const [pair, { entries }] of this.#pairs) {
      entries.forEach((entry, number) => {
        if (entry.state === 'accepted' && entry.first === undefined && marks.length < 20)
          marks.push(`${pair}:${number}`);
      });
    }
    return marks;
  }

  #entry({ pair, number }: Mark): Entry | undefined {
    return this.#pairs.get(pair)?.entries[number];
  }
}

/** A ledger, or a function that names the one in use now: a bench has one per phase. */
export type LedgerSource = Ledger | (() => Ledger);

export function currentLedger(source: LedgerSource | undefined): Ledger | undefined {
  return typeof source === 'function' ? source() : source;
}
