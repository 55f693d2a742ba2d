import { childOf } from '../../cpim/xml.ts';
import type { Clock } from '../../core/ports.ts';
import { RecentMap } from '../../core/recent-map.ts';
import type { Jid } from '../jid.ts';
import { DISCO_INFO_NAMESPACE, isCheckable, isVerified, readDiscoInfo } from './disco-info.ts';
import type { IqRequests } from './iq-requests.ts';
import { TOLD_NODES, type ToldNode } from './pep-nodes.ts';
import type { Caps } from './presence-content.ts';

/** The nodes whose events somebody's client wants. */
export type Interests = readonly ToldNode[];

const NONE: Interests = [];
/** Kinds of clients that are remembered. */
const KINDS_MAX = 10_000;
const REMEMBERED_MS = 7 * 86_400_000;
/** One who has not answered, or not honestly, is not asked again for so long, ms. */
const DOUBT_MS = 3_600_000;

/**
 * What the clients of contacts want to be told (XEP-0163, section 4.2), found by their capabilities (XEP-0115): asked once
 * for all that show the same verified `ver`, so that one who lies about it harms nobody but himself.
 */
export class ContactInterests {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #verified = new RecentMap<Interests>({ keepMs: REMEMBERED_MS, max: KINDS_MAX });
  /** By full JID and `ver`: what could not be verified counts for nobody else. */
  readonly #ofOne = new RecentMap<Interests>({ keepMs: DOUBT_MS, max: KINDS_MAX });
  readonly #asking = new Map<string, Promise<Interests>>();

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  /** What is known at once; undefined where it must be asked. */
  known(jid: string, caps: Caps): Interests | undefined {
    const nowMs = this.#clock.nowMs();
    return this.#verified.get(kindOf(caps), nowMs) ?? this.#ofOne.get(`${jid}\n${kindOf(caps)}`, nowMs);
  }

  /**
   * Asks a client in the name of one of our users, to whom it has shown itself.
   *
   * @param jid its full JID as text; `to` is the same
   */
  async find(requests: IqRequests, from: Jid, to: Jid, jid: string, caps: Caps): Promise<Interests> {
    const known = this.known(jid, caps);
    if (known !== undefined) return known;
    // Whoever else shows the same waits for the first answer; where that proves nothing he is asked himself.
    const kind = kindOf(caps);
    const first = this.#asking.get(kind);
    if (first !== undefined) {
      await first;
      return this.find(requests, from, to, jid, caps);
    }
    const asking = this.#ask(requests, from, to, jid, caps);
    this.#asking.set(kind, asking);
    return asking.finally(() => this.#asking.delete(kind));
  }

  async #ask(requests: IqRequests, from: Jid, to: Jid, jid: string, caps: Caps): Promise<Interests> {
    const node = `${caps.node}#${caps.ver}`;
    const answer = await requests.ask(from, to, {
      name: 'query',
      attrs: { xmlns: DISCO_INFO_NAMESPACE, node },
      children: [],
    });
    const query = answer?.attrs['type'] === 'result' ? childOf(answer, 'query', DISCO_INFO_NAMESPACE) : undefined;
    const info = query === undefined ? undefined : readDiscoInfo(query);
    const features = new Set(info?.features);
    const interests = TOLD_NODES.filter((wanted) => features.has(`${wanted}+notify`));
    const nowMs = this.#clock.nowMs();
    if (info !== undefined && isCheckable(caps) && isVerified(caps, info)) {
      this.#verified.set(kindOf(caps), interests, nowMs);
    } else {
      this.#ofOne.set(`${jid}\n${kindOf(caps)}`, isCheckable(caps) ? NONE : interests, nowMs);
    }
    return this.known(jid, caps) ?? NONE;
  }
}

function kindOf({ hash, ver, node }: Caps): string {
  // With a hash that is not checked, `ver` means something together with its node alone.
  return `${hash}\n${ver}\n${node}`;
}
