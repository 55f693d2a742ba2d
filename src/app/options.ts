import type { Config } from '../core/config.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from '../core/ports.ts';

/** What a server is made from. */
export type AppOptions = {
  readonly config: Config;
  readonly version: string;
  readonly controlSocket: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Of several nodes: how long none must have come or gone, and between two hand-overs of links, ms; absent: as usual. */
  readonly spread?: { readonly quietMs: number; readonly pauseMs: number };
};
