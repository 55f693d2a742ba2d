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
  /** Whether this process is at the lane. */
  readonly isAt: (lane: string) => boolean;
  /** Sends a token to whichever process takes it. */
  readonly send: (job: string, token: Token) => void;
  /** Attempts a lane here, if the token is still good. */
  readonly attempt: (token: string, lane: Token) => void;
};

const LANES_PER_LOOK = 500;

/**
 * Who attempts lanes under tokens of his own, and what becomes of the lanes of those that are gone.
 *
 * Each process says several times in `lockSeconds` that it is there. Lanes whose token has no process, or no job of
 * BullMQ, are given out anew by whoever finds them.
 */
export class RedisProcesses {
  readonly #options: RedisProcessesOptions;
  /** Tokens of our own that Redis may have granted although we were not told. */
  readonly #doubtful = new Map<string, Token>();
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
    const { commands } = this.#options;
    let cursor = '0';
    do {
      const [next, ...suspects] = rowsOf(await commands.run('suspects', cursor, LANES_PER_LOOK, isStart ? 1 : 0));
      cursor = String(next);
      await Promise.all(suspects.map((suspect) => this.#rescue(rowsOf(suspect).map(String), isStart)));
    } while (cursor !== '0');
  }

  async #rescue([lane = '', token = '']: readonly string[], isStart: boolean): Promise<void> {
    const { commands, tokens, isAt, send } = this.#options;
    if (isAt(lane)) return;
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
    const { commands, name, lockSeconds, log, attempt } = this.#options;
    const gone = rowsOf(await commands.run('beat', name, lockSeconds * 1_000, former)).map(String);
    if (this.#isStopped) return;
    for (const [token, lane] of this.#doubtful) attempt(token, lane);
    this.#doubtful.clear();
    if (gone.length === 0) return;
    if (former === '') log.warn({ processes: gone.length }, 'lanes of a process that is gone are taken over');
    await this.sweep(false);
    for (const process of gone) await commands.run('leave', process);
  }
}
