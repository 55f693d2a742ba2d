import type { UpstreamReport } from '../../core/presence/subscription.ts';

/** One who waits for the answers to a probe. */
export type PresenceFetch = {
  readonly key: string;
  readonly answer: Promise<UpstreamReport>;
  readonly settle: (report: UpstreamReport) => void;
  /** Something has been heard: what else there is comes at once. */
  isHeard: boolean;
};

/** More at once are answered with what is known. */
const FETCHES_MAX = 5_000;

/** Those who wait for the answers to probes, one per pair however many ask. */
export class PresenceFetches {
  readonly #fetches = new Map<string, PresenceFetch>();

  get isFull(): boolean {
    return this.#fetches.size >= FETCHES_MAX;
  }

  get(key: string): PresenceFetch | undefined {
    return this.#fetches.get(key);
  }

  begin(key: string): PresenceFetch {
    let settle: (report: UpstreamReport) => void = () => undefined;
    const answer = new Promise<UpstreamReport>((resolve) => (settle = resolve));
    const fetch: PresenceFetch = { key, answer, settle, isHeard: false };
    this.#fetches.set(key, fetch);
    return fetch;
  }

  /** Answers whoever waits; says whether anybody did. */
  settle(key: string, report: UpstreamReport): boolean {
    const fetch = this.#fetches.get(key);
    if (fetch === undefined) return false;
    this.#fetches.delete(key);
    fetch.settle(report);
    return true;
  }
}
