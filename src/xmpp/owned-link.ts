import type { XmlElement } from '../cpim/xml.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { type HandOverAnswer, type LeaseSpread, refused } from '../core/nodes/lease-spread.ts';
import type { LeaseWish, Membership } from '../core/nodes/membership.ts';
import type { NodeBus } from '../core/nodes/node-bus.ts';
import type { NodeView } from '../core/nodes/node-ports.ts';
import type { Clock } from '../core/ports.ts';
import type { LinkEvents, LinkState, XmppLink } from './link.ts';
import { sendAtNode } from './send-at-node.ts';

export type OwnableLink = XmppLink & {
  /** Resolves when no more waits to be written than whoever answers may add to. */
  room?(): Promise<void>;
  /** As `stop`, where another node goes on with it: what the far side has opened, or may still write to, stays open. */
  letGo?(graceMs: number): Promise<void>;
};

export type OwnedLinkDeps = {
  readonly name: string;
  /** Makes the link itself, anew each time this node comes to own it. */
  readonly create: () => OwnableLink;
  /** Where stanzas come in on all nodes: tells of those that come in here while another node owns the link. */
  readonly listen?: (face: Pick<LinkEvents, 'onStanza'> & Pick<XmppLink, 'post'>) => void;
  /** Writes an answer without the owner, over the stream on which was asked; false where that cannot be. */
  readonly answer?: (stanza: XmlElement) => boolean;
  /** Whether something waits for it. Given, an owner that has it down for long passes it on to a node that may do better. */
  readonly isWanted?: () => boolean;
  /** Whether its far side can be connected to from this node; absent: always. */
  readonly canReach?: () => Promise<boolean>;
  /** Asks this node to hand it over to another one, so that links spread; absent: nobody does. */
  readonly spread?: Pick<LeaseSpread, 'own'> | undefined;
  readonly members: Pick<Membership, 'want' | 'holderOf' | 'onChange' | 'name' | 'run' | 'nodes'>;
  readonly bus: Pick<NodeBus, 'call' | 'serve' | 'tell'>;
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly log: Log;
};

/** What the owner says about a link with its lease. */
type LinkNote = { readonly at: LinkState['at']; readonly sinceMs: number; readonly reason?: string };

/** A link itself gives up much earlier; this is for an owner that hangs. */
const SEND_MS = 60_000;
/** How long it may be down before another node is to try, ms; twice as long each time that did not help. */
const PATIENCE_MS = { first: 15_000, max: 600_000 };
/** Whoever has passed it on takes it again when nobody has taken it within this time, ms. */
const OTHERS_FIRST_MS = 3_000;
/** What is under way may take so long to be confirmed before it is handed over; below the term of a lease, ms. */
const HAND_OVER_MS = 2_000;
/** How long the next owner may take to say whether it can have it, ms. */
const ASK_MS = 10_000;
/** A node to which it was handed over, and that has it not up within this time, gives it back; ms. */
const GIVE_BACK_MS = 15_000;
/** And does not take it again for so long, ms. */
const UNFIT_MS = 600_000;

/**
 * A link that one node at a time runs, the one that holds its lease, and all nodes send over: what is sent on another
 * node goes to the owner, in the order of the calls, and resolves when the owner's link has confirmed it.
 *
 * Up and down are what the owner says. When the owner is gone, what it has not confirmed is rejected as by a link that
 * was lost, and the link is down until the next owner has it up. What comes in comes to `onStanza` where it came in: on the
 * owner alone, unless the link is one that far sides reach at all nodes.
 *
 * Keeps the promises of `XmppLink` on every node, but for `state().unconfirmed`, which is known to the owner only.
 */
export class OwnedLink implements XmppLink {
  readonly name: string;
  readonly #deps: OwnedLinkDeps;
  readonly #lease: string;
  #wish: LeaseWish | undefined;
  #events: LinkEvents | undefined;
  #own: OwnableLink | undefined;
  /** Of the owner that was up when it was last heard of; undefined: down. */
  #upBy: number | undefined;
  #sinceMs: number;
  #isStopped = false;
  /** The newest answer that is on its way to the owner. */
  #posting: Promise<void> | undefined;
  #endListening: (() => void) | undefined;
  #patienceMs = PATIENCE_MS.first;
  #cancelPatience: () => void = () => undefined;
  /** While it is being handed over. */
  #handingOver: Promise<void> | undefined;
  /** Who has offered it, and until when that counts. */
  #offer: { readonly fromRun: string; readonly untilMs: number } | undefined;
  #unfitUntilMs = 0;
  #cancelGivingBack: () => void = () => undefined;

  constructor(deps: OwnedLinkDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#lease = linkLease(deps.name);
    this.#sinceMs = deps.clock.nowMs();
    deps.bus.serve(this.#lease, (stanza) => this.#sendOwn(stanza as XmlElement));
    deps.bus.serve(`${this.#lease}:post`, (stanza) => this.#postOwn(stanza as XmlElement));
    deps.bus.serve(`${this.#lease}:take`, (fromRun) => this.#canTake(String(fromRun)));
    deps.spread?.own(this.#lease, (to) => this.#handOverTo(to));
  }

  /** Wishes to own it; resolves at once where another node does, else when the first try to connect has ended. */
  async start(events: LinkEvents): Promise<void> {
    this.#events = events;
    this.#deps.listen?.({ onStanza: (stanza) => this.#received(stanza), post: (stanza) => this.post(stanza) });
    let firstTried: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (firstTried = resolve));
    this.#endListening = this.#deps.members.onChange(() => {
      this.#look();
      if (this.#holder() !== undefined && this.#own === undefined) firstTried();
    });
    this.#want(firstTried);
    this.#look();
    await first;
  }

  async send(stanza: XmlElement): Promise<void> {
    if (this.#own !== undefined) return this.#own.send(stanza);
    const holder = this.#upBy === undefined ? undefined : this.#holder();
    if (holder === undefined) throw new GatewayError('peer-unreachable', `link ${this.name} is down`);
    await sendAtNode(this.#deps.bus, holder.node, { what: this.#lease, value: stanza, withinMs: SEND_MS });
  }

  post(stanza: XmlElement): void {
    if (this.#own !== undefined) {
      this.#own.post(stanza);
      return;
    }
    if (isAnswer(stanza) && this.#deps.answer?.(stanza) === true) return;
    const holder = this.#upBy === undefined ? undefined : this.#holder();
    if (holder === undefined) return;
    const posting: Promise<void> = this.#deps.bus
      .call(holder.node, `${this.#lease}:post`, stanza, SEND_MS)
      .then(
        () => undefined,
        (error: unknown) => {
          this.#deps.log.debug({ link: this.name, error }, 'answer was not written, its link is gone');
        },
      )
      .then(() => {
        if (this.#posting === posting) this.#posting = undefined;
      });
    this.#posting = posting;
  }

  state(): LinkState & { readonly node?: string } {
    if (this.#isStopped) return { at: 'stopped', sinceMs: this.#sinceMs, unconfirmed: 0 };
    const holder = this.#holder();
    if (this.#own !== undefined) return { ...this.#own.state(), node: this.#deps.members.name };
    const note = holder?.note as LinkNote | undefined;
    if (holder === undefined || note === undefined) {
      const reason = holder === undefined ? 'no node runs it at present' : `node ${holder.node} has just taken it over`;
      return { at: 'connecting', sinceMs: this.#sinceMs, unconfirmed: 0, reason };
    }
    return { ...note, unconfirmed: 0, node: holder.node };
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#sinceMs = this.#deps.clock.nowMs();
    this.#endListening?.();
    this.#cancelPatience();
    this.#cancelGivingBack();
    await this.#handingOver;
    const own = this.#own;
    await own?.stop(graceMs);
    this.#own = undefined;
    // Now that nothing is done by it any more: the next owner begins at once.
    await this.#wish?.release();
  }

  #want(firstTried: () => void = () => undefined): void {
    this.#wish = this.#deps.members.want(this.#lease, {
      gained: () => void this.#run().then(firstTried),
      lost: (reason) => {
        this.#end(reason);
        firstTried();
      },
    });
  }

  #holder(): ReturnType<Membership['holderOf']> {
    return this.#deps.members.holderOf(this.#lease);
  }

  #sendOwn(stanza: XmlElement): Promise<void> {
    if (this.#own !== undefined) return this.#own.send(stanza);
    return Promise.reject(new GatewayError('peer-unreachable', `link ${this.name} is not run by this node`));
  }

  /** Resolves when more may come. */
  #postOwn(stanza: XmlElement): Promise<void> | undefined {
    this.#own?.post(stanza);
    return this.#own?.room?.();
  }

  /** Came in here, while another node owns the link: under way until its answers are taken there, too. */
  #received(stanza: XmlElement): void | Promise<void> {
    const done = this.#events?.onStanza(stanza);
    return done instanceof Promise ? done.then(() => this.#posting) : this.#posting;
  }

  async #run(): Promise<void> {
    const { create, log, members } = this.#deps;
    const own = create();
    this.#own = own;
    log.info({ link: this.name, node: members.name }, 'link is run by this node');
    const isOwn = (): boolean => this.#own === own && this.#handingOver === undefined;
    this.#awaitUp(own);
    await own.start({
      // Also what was on its way when the lease ended: the far side will not send it again.
      onStanza: (stanza) => this.#events?.onStanza(stanza),
      onUp: () => {
        if (!isOwn()) return;
        this.#say(own);
        this.#set(this.#wish?.fence() ?? 0);
      },
      onDown: (reason) => {
        if (!isOwn()) return;
        this.#say(own);
        this.#set(undefined, reason);
      },
    });
    if (isOwn()) this.#say(own);
  }

  #say(own: XmppLink): void {
    const { at, sinceMs, reason } = own.state();
    const note: LinkNote = { at, sinceMs, ...(reason === undefined ? {} : { reason }) };
    this.#wish?.note(note);
    this.#wait(own);
  }

  #wait(own: OwnableLink): void {
    this.#cancelPatience();
    if (this.#deps.isWanted === undefined || own.state().at === 'up') return;
    this.#cancelPatience = this.#deps.clock.after(this.#patienceMs, () => void this.#passOn(own));
  }

  /** It may be this node alone that cannot have it. */
  async #passOn(own: OwnableLink): Promise<void> {
    const { members, isWanted, clock } = this.#deps;
    if (!this.#isDown(own)) return;
    const hasOthers = members.nodes.some(({ run, isLeaving }) => run !== members.run && !isLeaving);
    if (!hasOthers || isWanted?.() !== true) {
      this.#wait(own);
      return;
    }
    this.#patienceMs = Math.min(2 * this.#patienceMs, PATIENCE_MS.max);
    this.#end('it cannot be had from here, another node is to try');
    await this.#wish?.release();
    this.#cancelPatience = clock.after(OTHERS_FIRST_MS, () => {
      if (!this.#isStopped) this.#want();
    });
  }

  /** Whether this node runs it, has it not up, and does nothing about it yet. */
  #isDown(own: OwnableLink): boolean {
    return this.#own === own && !this.#isStopped && this.#handingOver === undefined && own.state().at !== 'up';
  }

  /** Another node would hand it over to this one. */
  async #canTake(fromRun: string): Promise<boolean> {
    const { clock, canReach } = this.#deps;
    if (this.#isStopped || this.#events === undefined || clock.nowMs() < this.#unfitUntilMs) return false;
    if (canReach !== undefined && !(await canReach())) return false;
    this.#offer = { fromRun, untilMs: clock.nowMs() + GIVE_BACK_MS };
    return true;
  }

  async #handOverTo({ name, run }: NodeView): Promise<HandOverAnswer> {
    const own = this.#own;
    const isFit = (): boolean =>
      own !== undefined &&
      this.#own === own &&
      !this.#isStopped &&
      this.#handingOver === undefined &&
      own.state().at === 'up';
    if (!isFit()) return refused('the link is not up at its node');
    const { bus, members } = this.#deps;
    const canTake = await bus.call(name, `${this.#lease}:take`, members.run, ASK_MS);
    if (canTake !== true) return refused(`node ${name} cannot connect to its far side, or could not a short time ago`);
    if (own === undefined || !isFit()) return refused('the link is not up at its node any more');
    return (await this.#handOver(own, run, `node ${name} takes it over`))
      ? { kind: 'done' }
      : refused('the lease was lost meanwhile');
  }

  /** @returns whether it was still this node's to be handed over in the end */
  async #handOver(own: OwnableLink, toRun: string, reason: string): Promise<boolean> {
    let handedOver: () => void = () => undefined;
    this.#handingOver = new Promise((resolve) => (handedOver = resolve));
    this.#cancelPatience();
    this.#cancelGivingBack();
    // All nodes keep what they have for it from now on; what is on its way is refused by the link, and comes again.
    this.#wish?.note({ at: 'connecting', sinceMs: this.#deps.clock.nowMs(), reason } satisfies LinkNote);
    this.#set(undefined, reason);
    await (own.letGo?.(HAND_OVER_MS) ?? own.stop(HAND_OVER_MS));
    const isStillOwn = this.#own === own;
    if (isStillOwn) {
      this.#own = undefined;
      this.#deps.log.info({ link: this.name, reason }, 'link is handed over to another node');
      await this.#wish?.release(toRun);
      if (!this.#isStopped) this.#want();
    }
    this.#handingOver = undefined;
    handedOver();
    this.#look();
    return isStillOwn;
  }

  /** One that was handed over to this node, and does not come up here, goes back to where it was up. */
  #awaitUp(own: OwnableLink): void {
    const { clock, members } = this.#deps;
    const offer = this.#offer;
    this.#offer = undefined;
    if (offer === undefined || offer.untilMs < clock.nowMs()) return;
    this.#cancelGivingBack = clock.after(GIVE_BACK_MS, () => {
      const from = members.nodes.find(({ run, isLeaving }) => run === offer.fromRun && !isLeaving);
      if (from === undefined || !this.#isDown(own)) return;
      this.#unfitUntilMs = clock.nowMs() + UNFIT_MS;
      void this.#handOver(own, from.run, `it does not come up here, node ${from.name} had it up`);
    });
  }

  #end(reason: string): void {
    const own = this.#own;
    if (own === undefined) return;
    this.#own = undefined;
    this.#cancelPatience();
    this.#cancelGivingBack();
    this.#deps.log.warn({ link: this.name, reason }, 'link is not run by this node any more');
    this.#set(undefined, reason);
    void own.stop(0);
  }

  /** Follows what the owner says, where that is another node. */
  #look(): void {
    if (this.#own !== undefined || this.#isStopped || this.#handingOver !== undefined) return;
    const holder = this.#holder();
    const isUp = (holder?.note as LinkNote | undefined)?.at === 'up';
    if (!isUp || holder === undefined) this.#set(undefined, 'the node that runs the link says so');
    else if (this.#upBy !== holder.fence) {
      // Under another owner than before it has been down in between, whether that was seen or not.
      this.#set(undefined, 'another node runs the link');
      this.#set(holder.fence);
    }
  }

  #set(upBy: number | undefined, reason = ''): void {
    if (upBy === this.#upBy) return;
    const wasUp = this.#upBy !== undefined;
    this.#upBy = upBy;
    if (upBy !== undefined) this.#patienceMs = PATIENCE_MS.first;
    this.#sinceMs = this.#deps.clock.nowMs();
    if (wasUp) this.#events?.onDown(reason);
    if (upBy !== undefined) this.#events?.onUp();
  }
}

/** The lease of whoever runs the link of this name. */
export function linkLease(name: string): string {
  return `link:${name}`;
}

/** Whether a lease is that of whoever runs a link. */
export function isLinkLease(lease: string): boolean {
  return lease.startsWith(linkLease(''));
}

/** Not what has an order among others, as presence and messages have. */
function isAnswer({ name, attrs }: XmlElement): boolean {
  return name === 'iq' && (attrs['type'] === 'result' || attrs['type'] === 'error');
}
