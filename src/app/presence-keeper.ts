import { GatewayError } from '../core/errors.ts';
import type { LeaseView } from '../core/nodes/node-ports.ts';
import type { Membership } from '../core/nodes/membership.ts';
import { type NodeBus, NodeGone } from '../core/nodes/node-bus.ts';
import type { Clock } from '../core/ports.ts';

export const PRESENCE_LEASE = 'presence';

/** How long a request waits for presence to have an owner; a client's own patience is 32 s (RFC 3261, section 17.1.2.2). */
const OWNER_MS = 10_000;
const CALL_MS = 30_000;
const AGAIN_MS = 500;
const RETRY_AFTER_SECONDS = 5;

type Moved = { readonly isMoved: true };
const MOVED: Moved = { isMoved: true };

export type PresenceKeeperDeps = {
  readonly members: Pick<Membership, 'holderOf' | 'onChange'>;
  readonly bus: Pick<NodeBus, 'call' | 'serve'>;
  readonly clock: Clock;
};

/** What the holder of the lease says with it. */
export type KeeperNote = { readonly isReady: true };

/**
 * The way to the node that keeps presence, and whatever lives where presence does.
 *
 * A request waits for the next owner while there is none. One that the owner had when it went is not passed on a second
 * time: it is rejected with 'store-unavailable', and whoever sent it sends it again.
 */
export class PresenceKeeper {
  readonly #deps: PresenceKeeperDeps;
  #waiting: Array<() => void> = [];

  constructor(deps: PresenceKeeperDeps) {
    this.#deps = deps;
    deps.members.onChange(() => {
      for (const go of this.#waiting.splice(0)) go();
    });
  }

  /** The lease of the node that keeps presence and says that it is ready. */
  get holder(): LeaseView | undefined {
    const holder = this.#deps.members.holderOf(PRESENCE_LEASE);
    return (holder?.note as KeeperNote | undefined)?.isReady === true ? holder : undefined;
  }

  /** Answers what `ask` of another node, or of this one, asks for; where `kept` gives nothing it goes to the next owner. */
  serve<K>(service: string, kept: () => K | undefined, act: (kept: K, value: never) => unknown): void {
    this.#deps.bus.serve(`${PRESENCE_LEASE}:${service}`, (value) => {
      const here = kept();
      // What comes is what `ask` of another node has sent.
      return here === undefined ? MOVED : act(here, value as never);
    });
  }

  /** Asks the owner, also where that is this node; waits for one. */
  async ask(service: string, value: unknown): Promise<unknown> {
    const { bus, clock } = this.#deps;
    const untilMs = clock.nowMs() + OWNER_MS;
    for (;;) {
      const owner = await this.#owner(untilMs);
      try {
        const answer = await bus.call(owner, `${PRESENCE_LEASE}:${service}`, value, CALL_MS);
        if ((answer as Moved | null | undefined)?.isMoved !== true) return answer;
      } catch (thrown) {
        if (!(thrown instanceof NodeGone)) throw thrown;
        if (!thrown.isNotDone) throw noOwner(thrown);
      }
      if (clock.nowMs() >= untilMs) throw noOwner();
      await this.#changed(Math.min(AGAIN_MS, untilMs - clock.nowMs()));
    }
  }

  async #owner(untilMs: number): Promise<string> {
    for (;;) {
      const { holder } = this;
      if (holder !== undefined) return holder.node;
      const leftMs = untilMs - this.#deps.clock.nowMs();
      if (leftMs <= 0) throw noOwner();
      await this.#changed(leftMs);
    }
  }

  /** Resolves in the order of the calls when something about the nodes has changed, at the latest after so long. */
  #changed(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(withinMs, resolve);
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }
}

function noOwner(cause?: unknown): GatewayError {
  return new GatewayError('store-unavailable', 'presence is moving to another node', {
    cause,
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}
