import { randomBytes } from 'node:crypto';
import { eachAtOnce } from './each-at-once.ts';
import { PatientSipEnd } from './patient-sip-end.ts';
import { answerTo, branchOf, headerOf, statusOf } from './sip-wire.ts';

export type CountingWatchersOptions = {
  readonly transport: 'udp' | 'tcp';
  /** Loopback port of the server, which believes 127.0.0.1 whatever user of the domain it names. */
  readonly port: number;
  readonly domain: string;
  /** Of each watcher: whom he watches, the user part of one in the domain or a whole address. */
  readonly watched: readonly string[];
  readonly expiresSeconds?: number;
  /** Before the number of each watcher, in his user part; default `w`. */
  readonly prefix?: string;
  /** Keeps the text of the newest NOTIFY of each. */
  readonly keepsLast?: true;
};

/** One watcher and his subscription. */
export type WatcherDialog = {
  readonly user: string;
  readonly presentity: string;
  callId: string;
  tag: string;
  /** The server's tag as its answer said; undefined before that. */
  remoteTag: string | undefined;
  /** The tag of those NOTIFY requests that count; they may come before the answer. */
  toldBy: string | undefined;
  /** Our last CSeq number, and the highest of the server's. */
  cseq: number;
  highest: number;
  state: 'none' | 'asked' | 'live' | 'over';
  /** The newest that he was told; -1: nothing yet. */
  round: number;
  /** NOTIFY requests, each once. */
  notified: number;
  /** Of the newest NOTIFY, to tell a repeated one. */
  branch: string;
  /** The newest NOTIFY, where it is kept. */
  last: string;
};

/** What must not happen; all zero where all is well. */
export type WatcherFaults = {
  /** A NOTIFY with a number that was used before. */
  cseqRepeated: number;
  /** A NOTIFY with an older state than the one before. */
  wentBack: number;
  /** A subscription that the server has ended. */
  terminated: number;
  /** A refresh that was answered 481. */
  lost: number;
  /** A refresh or SUBSCRIBE that was answered otherwise than 2xx or 481, by its status. */
  readonly refused: Record<string, number>;
};

/** The text by which a state is told from the others. */
export function roundNote(round: number): string {
  return `round ${round};`;
}

const ROUND = /round (\d+);/g;

/** The newest of the states that a body names: what was published before may still stand beside it. */
function roundOf(text: string): number {
  let newest = -1;
  for (const [, number] of text.matchAll(ROUND)) newest = Math.max(newest, Number(number));
  return newest;
}

/** Thousands of watchers on one socket, each with his dialog; counts what they are told and what is wrong with it. */
export class CountingWatchers {
  readonly dialogs: readonly WatcherDialog[];
  readonly faults: WatcherFaults = { cseqRepeated: 0, wentBack: 0, terminated: 0, lost: 0, refused: {} };
  /** NOTIFY requests in all, repeated ones apart, and those for dialogs that nobody has. */
  notified = 0;
  repeated = 0;
  strays = 0;
  /** Whether a NOTIFY is heard at all; a dead watcher hears nothing. */
  hears: (dialog: WatcherDialog, text: string) => boolean = () => true;
  /** After each NOTIFY that was counted. */
  onNotified: (dialog: WatcherDialog) => void = () => undefined;
  readonly #options: CountingWatchersOptions;
  readonly #byCallId = new Map<string, WatcherDialog>();
  #end: PatientSipEnd | undefined;

  private constructor(options: CountingWatchersOptions) {
    this.#options = options;
    this.dialogs = options.watched.map((presentity, index) => ({
      user: `${options.prefix ?? 'w'}${index}`,
      presentity: presentity.includes('@') ? presentity : `${presentity}@${options.domain}`,
      ...NEW_DIALOG,
    }));
  }

  static async open(options: CountingWatchersOptions): Promise<CountingWatchers> {
    const watchers = new CountingWatchers(options);
    const { transport, port } = options;
    watchers.#end = await PatientSipEnd.open({
      transport,
      port,
      onRequest: (text, reply) => watchers.#take(text, reply),
    });
    return watchers;
  }

  get end(): PatientSipEnd {
    return this.#end!;
  }

  /** Subscribes, or asks again in the dialogs there are; all of these, 256 at once. */
  subscribe(dialogs: readonly WatcherDialog[] = this.dialogs): Promise<void> {
    return eachAtOnce(dialogs, 256, (dialog) => this.ask(dialog));
  }

  /** One SUBSCRIBE: in the dialog where there is one, else a new one. Resolves with the status. */
  async ask(dialog: WatcherDialog, expiresSeconds?: number): Promise<number> {
    return statusOf(await this.answerTo(dialog, expiresSeconds)) ?? 0;
  }

  /** The same; resolves with the whole answer. */
  async answerTo(dialog: WatcherDialog, expiresSeconds = this.#options.expiresSeconds ?? 3_600): Promise<string> {
    const isFirst = dialog.state !== 'live';
    if (isFirst) this.#renew(dialog);
    dialog.cseq += 1;
    const { callId } = dialog;
    const answer = await this.end.request((via) => this.#subscribe(dialog, via, expiresSeconds));
    const status = statusOf(answer) ?? 0;
    // What came meanwhile may have ended it.
    if (dialog.callId !== callId) return answer;
    if (status < 300) {
      if (isFirst) {
        const tag = toTagOf(answer);
        // Told of another one, before: the answer to the SUBSCRIBE that made it was lost with the server.
        if (dialog.toldBy !== tag) Object.assign(dialog, UNTOLD, { toldBy: tag });
        dialog.remoteTag = tag;
        dialog.state = 'live';
      }
    } else if (status === 481) {
      this.faults.lost += 1;
      this.#forget(dialog);
    } else {
      this.faults.refused[status] = (this.faults.refused[status] ?? 0) + 1;
      if (isFirst) this.#forget(dialog);
    }
    return answer;
  }

  /** Makes everybody believe in a dialog that the server does not have, as after an outage that has taken all of them. */
  pretend(): void {
    for (const dialog of this.dialogs) {
      this.#renew(dialog);
      dialog.remoteTag = 'gone';
      dialog.state = 'live';
    }
  }

  /** How many live watchers hold at least this state. */
  holding(round: number): number {
    let count = 0;
    for (const dialog of this.dialogs) if (dialog.state === 'live' && dialog.round >= round) count += 1;
    return count;
  }

  get live(): number {
    let count = 0;
    for (const dialog of this.dialogs) if (dialog.state === 'live') count += 1;
    return count;
  }

  close(): Promise<void> {
    return this.end.close();
  }

  #renew(dialog: WatcherDialog): void {
    this.#byCallId.delete(dialog.callId);
    Object.assign(dialog, NEW_DIALOG);
    dialog.callId = randomBytes(12).toString('base64url');
    dialog.tag = randomBytes(6).toString('base64url');
    dialog.state = 'asked';
    this.#byCallId.set(dialog.callId, dialog);
  }

  #forget(dialog: WatcherDialog): void {
    dialog.state = 'over';
    this.#byCallId.delete(dialog.callId);
  }

  #subscribe(dialog: WatcherDialog, via: string, expiresSeconds: number): string {
    const { domain, port } = this.#options;
    const { user, presentity, callId, tag, remoteTag, cseq } = dialog;
    const uri = remoteTag === undefined ? `sip:${presentity}` : `sip:127.0.0.1:${port}`;
    const toTag = remoteTag === undefined ? '' : `;tag=${remoteTag}`;
    return (
      `SUBSCRIBE ${uri} SIP/2.0\r\nVia: ${via}\r\nMax-Forwards: 70\r\nFrom: <sip:${user}@${domain}>;tag=${tag}\r\n` +
      `To: <sip:${presentity}>${toTag}\r\nCall-ID: ${callId}\r\nCSeq: ${cseq} SUBSCRIBE\r\n` +
      `Contact: <${this.end.contactOf(user)}>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\n` +
      `Expires: ${expiresSeconds}\r\nContent-Length: 0\r\n\r\n`
    );
  }

  #take(text: string, reply: (answer: string) => void): void {
    const dialog = this.#byCallId.get(headerOf(text, 'Call-ID') ?? '');
    const tag = /;tag=([^;]+)/.exec(headerOf(text, 'From') ?? '')?.[1];
    if (dialog === undefined || (dialog.remoteTag !== undefined && dialog.remoteTag !== tag)) {
      this.strays += 1;
      reply(answerTo(text, '481 Subscription does not exist'));
      return;
    }
    if (!this.hears(dialog, text)) return;
    if (dialog.toldBy !== tag) Object.assign(dialog, UNTOLD, { toldBy: tag });
    reply(answerTo(text, '200 OK'));
    const branch = branchOf(text);
    if (branch === dialog.branch) this.repeated += 1;
    else this.#count(dialog, text, branch);
  }

  #count(dialog: WatcherDialog, text: string, branch: string): void {
    const number = Number.parseInt(headerOf(text, 'CSeq') ?? '', 10);
    if (!(number > dialog.highest)) this.faults.cseqRepeated += 1;
    const round = roundOf(text);
    if (round >= 0 && round < dialog.round) this.faults.wentBack += 1;
    dialog.highest = Math.max(dialog.highest, number);
    dialog.round = Math.max(dialog.round, round);
    dialog.branch = branch;
    if (this.#options.keepsLast === true) dialog.last = text;
    dialog.notified += 1;
    this.notified += 1;
    if (headerOf(text, 'Subscription-State')?.startsWith('terminated') === true) {
      this.faults.terminated += 1;
      this.#forget(dialog);
    }
    this.onNotified(dialog);
  }
}

const UNTOLD = { highest: 0, round: -1, notified: 0, branch: '', last: '' } as const;
const NEW_DIALOG = {
  callId: '',
  tag: '',
  remoteTag: undefined,
  toldBy: undefined,
  cseq: 0,
  state: 'none',
  ...UNTOLD,
} as const;

function toTagOf(answer: string): string | undefined {
  return /;tag=([^;]+)/.exec(headerOf(answer, 'To') ?? '')?.[1];
}
