import type { Log } from '../log.ts';
import type { Upstream, UpstreamReport, UpstreamRoute } from './subscription.ts';
import type { Watched } from './watched.ts';

export type UpstreamWatchesDeps = {
  readonly upstreamOf: (route: UpstreamRoute) => Upstream;
  readonly log: Log;
};

type Elsewhere = NonNullable<Watched['upstream']>;

const NOTHING_YET: UpstreamReport = { state: { at: 'asked' } };

/** What is watched elsewhere for watchers here: as long as one of them is there to see it. */
export class UpstreamWatches {
  readonly #deps: UpstreamWatchesDeps;

  constructor(deps: UpstreamWatchesDeps) {
    this.#deps = deps;
  }

  reportOf({ pair, route }: Elsewhere): UpstreamReport {
    return this.#deps.upstreamOf(route).reportOf(pair) ?? NOTHING_YET;
  }

  /** Resolves when that is durable. */
  watch({ pair, route }: Elsewhere): Promise<void> {
    return this.#deps.upstreamOf(route).watch(pair, route);
  }

  /** As `watch`, where nobody waits for it. */
  watchAgain(upstream: Elsewhere): void {
    this.watch(upstream).catch((thrown: unknown) => {
      this.#deps.log.error({ ...upstream.pair, error: thrown }, 'presentity elsewhere could not be watched again');
    });
  }

  /** Lets a presentity elsewhere be when nobody here is left to see it. */
  rest({ upstream, presence }: Watched): void {
    if (upstream === undefined || presence.some((watching) => watching.isLive() && watching.isThere)) return;
    this.#deps.upstreamOf(upstream.route).rest(upstream.pair);
  }

  /** The permission itself is given up. */
  end({ upstream }: Watched): void {
    if (upstream !== undefined) this.#deps.upstreamOf(upstream.route).end(upstream.pair);
  }
}
