import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import type { RedisCommands } from './redis-commands.ts';
import { rowsOf } from './redis-entry.ts';
import type { RedisTokens, Token } from './redis-tokens.ts';

export type RedisProcessesOptions = {
  readonly commands: RedisCommands;
  readonly tokens: RedisTokens;
  readonly clock: Clock;
  readonly log: Log;
  /** This process among those that attempt lanes; no '.' in it. */
  readonly name: string;
  /** After so long without a word a process counts as dead. */
  readonly lockSeconds: number;
  /** Told the figures of the queue, and when its oldest entry was accepted, with each beat. */
  readonly heard: (figures: unknown, acceptedAtMs: unknown) => void;
  /** Whether this process is at the lane. */
  readonly isAt: (lane: string) => boolean;
  /** Sends a token to whichever process takes it. */
  readonly send: (job: string, token: Token) => void;
  /** Attempts a lane here, if the token is still good. */
  readonly attempt: (token: string, lane: Token) => void;
};

const LANES_PER_LOOK = 500;
/** Until then the answer by which a lane was granted may be on its way: a command has one within three seconds, or none. */
const ON_ITS_WAY_MS = 3_500;

/**
 * Who attempts lanes under tokens of his own, and what becomes of the lanes of those that are gone.
 *
 * Each process says several times in `lockSeconds` that it is there. Lanes whose token has no process, or no job of
 * BullMQ, are given out anew by whoever finds them.
 *
 * After a failover Redis may not have what it had confirmed last: that a lane was done with, that it was given to a job, or
 * woken. So whenever an answer was missing all lanes are looked at, and those are attempted that stand under a token of this
 * process and that it is not at.
 */
export class RedisProcesses {
  readonly #options: RedisProcessesOptions;
  /** Tokens of our own that Redis may have granted although we were not told. */
  readonly #doubtful = new Map<string, Token>();
  /** By lane: a token of our own under which we were not at it, and since when that is known. */
  readonly #unattended = new Map<string, { readonly token: string; readonly sinceMs: number }>();
  #interruptions = 0;
  #tokens = 0;
  #isStopped = false;
  #isClosed = false;
  #cancelBeat: (() => void) | undefined;

  constructor(options: RedisProcessesOptions) {
    this.#options = options;
  }

  newToken(): string {
    this.#tokens += 1;
    return `${this.#options.name}.${this.#tokens}`;
  }

  /** Whether it was granted is not known: nobody else would attempt the lane then. */
  doubt(token: string, lane: Token): void {
    this.#doubtful.set(token, lane);
  }

  /** @param former a process that is known to be gone, or '' */
  async start(former: string): Promise<void> {
    await this.#beat(former);
    this.#interruptions = this.#options.commands.interruptions;
    await this.sweep(true);
    this.#beatLater();
  }

  /** Takes over nothing more, but is still there. */
  stop(): void {
    this.#isStopped = true;
  }

  /** It is at no lane any more: nobody need wait until it is missed. */
  async leave(): Promise<void> {
    if (this.#cancelBeat === undefined) return;
    await this.#options.commands.run('leave', this.#options.name).catch(() => undefined);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelBeat?.();
  }

  /** Finds lanes that nobody will attempt. At the start also those whose wake may have gone to a process that is gone. */
  async sweep(isStart: boolean): Promise<void> {
    const { commands, name } = this.#options;
    let cursor = '0';
    do {
      const [next, ...suspects] = rowsOf(await commands.run('suspects', cursor, LANES_PER_LOOK, isStart ? 1 : 0, name));
      cursor = String(next);
      await Promise.all(suspects.map((suspect) => this.#rescue(rowsOf(suspect).map(String), isStart)));
    } while (cursor !== '0');
  }

  async #rescue([lane = '', token = '']: readonly string[], isStart: boolean): Promise<void> {
    const { commands, tokens, isAt, send, name } = this.#options;
    if (isAt(lane)) return;
    if (token.startsWith(`${name}.`)) {
      if (this.#unattended.get(lane)?.token !== token) {
        this.#unattended.set(lane, { token, sinceMs: performance.now() });
      }
      return;
    }
    if (token !== '' && !token.includes('.') && (await tokens.isAlive(token))) return;
    const job = tokens.newJob(lane);
    const granted = await commands.run('grant', lane, job, token, isStart ? 1 : 0);
    if (granted === 1) send(job, { lane, hop: '' });
  }

  #beatLater(): void {
    const { clock, lockSeconds, log } = this.#options;
    this.#cancelBeat = clock.after((lockSeconds * 1_000) / 4, () => {
      this.#beat('')
        .catch((error: unknown) => log.debug({ error }, 'beat was not taken'))
        .finally(() => {
          if (!this.#isClosed) this.#beatLater();
        });
    });
  }

  async #beat(former: string): Promise<void> {
    const { commands, name, lockSeconds, log, attempt, heard } = this.#options;
    const [figures, acceptedAtMs, ...gone] = rowsOf(await commands.run('beat', name, lockSeconds * 1_000, former));
    heard(figures, acceptedAtMs);
    if (this.#isStopped) return;
    for (const [token, lane] of this.#doubtful) attempt(token, lane);
    this.#doubtful.clear();
    await this.#takeUp();
    const { interruptions } = commands;
    if (interruptions !== this.#interruptions) {
      await this.sweep(true);
      this.#interruptions = interruptions;
    }
    if (gone.length === 0) return;
    if (former === '') log.warn({ processes: gone.length }, 'lanes of a process that is gone are taken over');
    await this.sweep(false);
    for (const process of gone) await commands.run('leave', String(process));
  }

  /** Attempts what has stood under a token of ours for so long that nobody will. */
  async #takeUp(): Promise<void> {
    const { commands, isAt, attempt, log } = this.#options;
    const nowMs = performance.now();
    const due = [...this.#unattended].filter(([, { sinceMs }]) => nowMs - sinceMs > ON_ITS_WAY_MS);
    for (let from = 0; from < due.length; from += LANES_PER_LOOK) {
      const lanes = due.slice(from, from + LANES_PER_LOOK);
      const stand = rowsOf(await commands.run('tokens', ...lanes.map(([lane]) => lane)));
      const left = lanes.filter(([lane, { token }], at) => stand[at] === token && !isAt(lane));
      for (const [lane, { token }] of left) attempt(token, { lane, hop: '' });
      for (const [lane] of lanes) this.#unattended.delete(lane);
      if (left.length > 0) log.warn({ lanes: left.length }, 'lanes that redis has as not done with are taken up again');
    }
  }
}
