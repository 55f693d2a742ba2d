import type { Address } from '../cpim/address.ts';
import type { XmlElement } from '../cpim/xml.ts';
import type { ProfileAdministration } from '../core/directory/directory.ts';
import type { Log } from '../core/log.ts';
import type { LeaseWish, Membership } from '../core/nodes/membership.ts';
import type { NodeBus } from '../core/nodes/node-bus.ts';
import type { Clock, Records } from '../core/ports.ts';
import type { WatcherAdministration } from '../core/presence/rules.ts';
import type { Health } from '../http/routes-health.ts';
import type { SipReply, SipRequest } from '../sip/message.ts';
import { plainReply, plainRequest, replyFrom, requestFrom, type Plain } from '../sip/plain-messages.ts';
import { PRESENCE_METHODS, type PresenceHandlers } from '../sip/presence-application.ts';
import type { Gateway } from '../xmpp/gateway/gateway.ts';
import { privilegeIn } from '../xmpp/gateway/privileges.ts';
import type { IqDesk } from '../xmpp/gateway/iq-desk.ts';
import type { IqStanza, MessageStanza, PresenceStanza } from '../xmpp/stanza.ts';
import type { LinkPresence } from '../xmpp/presence/xmpp-presence.ts';
import { keptElsewhere, type MethodsOf, serveKept } from './kept-interface.ts';
import { linkPresence, type PresenceFace } from './presence-face.ts';
import { PRESENCE_LEASE, PresenceKeeper, type KeeperNote } from './presence-keeper.ts';
import type { PresenceSide } from './presence.ts';

/** A side of presence that this node keeps for as long as it owns it. */
export type PresenceTenure = {
  readonly side: PresenceSide;
  /** Begins what only the keeper of presence does; everything else of it is there. */
  started?(): void;
  /** Ends that within the call; resolves when what was under way is done, at most so long after. */
  halt?(graceMs: number): Promise<void>;
  /** Stores what is left to store, and lets go of the store: nothing is written by it any more. */
  end(): Promise<void>;
};

export type SharedPresenceDeps = {
  readonly members: Pick<Membership, 'want' | 'holderOf' | 'onChange' | 'name' | 'nodes'>;
  readonly bus: Pick<NodeBus, 'call' | 'serve'>;
  /** Takes presence up from the store, all that others have written in it; `fence` keeps earlier owners from writing. */
  readonly open: (fence: number) => Promise<PresenceTenure>;
  /** Where marks are left of those whose watchers were not told; whoever owns presence reads them. */
  readonly unsettled: Pick<Records<1>, 'putLater'>;
  /** Tells of users whose registrations another node has changed, once contacts here are as it has left them. */
  readonly onRegistered: (listener: (userKey: string) => void) => void;
  readonly clock: Clock;
  readonly log: Log;
};

const AGAIN_MS = 500;
const WATCHER_METHODS: MethodsOf<WatcherAdministration> = {
  list: true,
  set: true,
  remove: true,
  setInvisible: true,
  forget: true,
};
const PROFILE_METHODS: MethodsOf<ProfileAdministration> = { read: true, change: true, forget: true };

/**
 * Presence of several nodes: one of them owns it, by the lease `presence`, and has it in memory; the others pass on to
 * the owner whatever concerns it. When the owner is gone another takes it up from the store, as after a restart.
 * What `PresenceKeeper` rejects is answered 503.
 */
export class SharedPresence implements PresenceFace {
  readonly sipHandlers: PresenceHandlers;
  readonly watchers: WatcherAdministration;
  readonly profiles: ProfileAdministration;
  readonly #deps: SharedPresenceDeps;
  readonly #keeper: PresenceKeeper;
  readonly #linksUp = new Set<string>();
  #tenure: PresenceTenure | undefined;
  #wish: LeaseWish | undefined;
  readonly #desks = new Map<string, IqDesk>();
  #turn: Promise<void> = Promise.resolve();
  #fence: number | undefined;
  #isStopped = false;

  constructor(deps: SharedPresenceDeps) {
    this.#deps = deps;
    this.#keeper = new PresenceKeeper(deps);
    this.sipHandlers = Object.fromEntries(
      PRESENCE_METHODS.map((method) => [method, (request: SipRequest) => this.#handle(method, request)]),
    ) as PresenceHandlers;
    this.watchers = keptElsewhere(this.#keeper, 'watchers', WATCHER_METHODS);
    this.profiles = keptElsewhere(this.#keeper, 'profiles', PROFILE_METHODS);
    this.#serve();
    deps.onRegistered((userKey) => this.#tenure?.side.service.registeredElsewhere(userKey));
  }

  async maySee(userKey: string, watcher: Address): Promise<boolean> {
    return (await this.#keeper.ask('may-see', { userKey, watcher })) === true;
  }

  figures(): Health['presence'] {
    const node = this.#deps.members.holderOf(PRESENCE_LEASE)?.node;
    const figures = this.#tenure?.side.service.figures ?? { publications: 0, subscriptions: 0, unanswered: 0 };
    return node === undefined ? figures : { ...figures, node };
  }

  forLink(name: string): LinkPresence {
    const own = (): LinkPresence | undefined =>
      this.#tenure === undefined ? undefined : linkPresence(this.#tenure.side, name);
    return {
      presence: (stanza) => {
        const here = own();
        return here === undefined
          ? this.#keeper.ask('stanza', { name, stanza }).then(() => undefined)
          : here.presence(stanza);
      },
      event: (stanza) => {
        const here = own();
        if (here !== undefined) return here.event(stanza);
        if (stanza.event === undefined) return false;
        this.#pass('event', { name, stanza });
        return true;
      },
      answered: (element) => {
        const here = own();
        if (here !== undefined) return here.answered(element);
        this.#pass('answered', { name, element });
        return true;
      },
      up: () => {
        this.#linksUp.add(name);
        own()?.up();
      },
      down: () => {
        this.#linksUp.delete(name);
        own()?.down();
      },
    };
  }

  gatewayFor(name: string): Pick<Gateway, 'presence' | 'granted'> {
    return {
      // What is passed on as presence is tried with the gateway first.
      presence: (stanza) => this.#tenure?.side.gatewayFor(name)?.presence(stanza) ?? false,
      granted: (element, stanza) => {
        if (this.#tenure !== undefined) {
          return this.#tenure.side.gatewayFor(name)?.granted(element, stanza) ?? false;
        }
        if (privilegeIn(element) === undefined) return false;
        this.#pass('granted', { name, element, stanza });
        return true;
      },
    };
  }

  leave(): void {
    // Others go on; what a last node has to say it says when it gives presence up.
  }

  iqFor(name: string): IqDesk {
    return (stanza, element) => {
      if (this.#tenure !== undefined) return this.#deskOf(this.#tenure.side, name)(stanza, element);
      return this.#keeper
        .ask('iq', { name, stanza, element })
        .then((answer) => (answer ?? undefined) as XmlElement | undefined);
    };
  }

  beforeRegistration(userKey: string): void {
    if (this.#tenure !== undefined) this.#tenure.side.service.beforeRegistration(userKey);
    else this.#deps.unsettled.putLater(userKey, 1);
  }

  registered(userKey: string): void {
    // Where another node owns presence, that hears of it from the store.
    this.#tenure?.side.service.registered(userKey);
  }

  load(): void {
    // Taken up when this node comes to own it.
  }

  start(): void {
    this.#wish = this.#deps.members.want(PRESENCE_LEASE, {
      gained: (fence) => this.#gained(fence),
      lost: (reason) => this.#lost(reason),
    });
  }

  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    await this.#turn;
    // First, while presence still takes what has come in.
    await this.#tenure?.halt?.(graceMs);
    // Where it was lost meanwhile it ends by that.
    await this.#turn;
    const tenure = this.#tenure;
    this.#tenure = undefined;
    if (tenure !== undefined) {
      await tenure.side.stop(graceMs);
      if (this.#deps.members.nodes.length <= 1) tenure.side.leave();
      await tenure.end();
    }
    await this.#wish?.release();
  }

  /** One for each link, as long as presence is kept here: it bounds what each sender asks. */
  #deskOf(side: PresenceSide, name: string): IqDesk {
    let desk = this.#desks.get(name);
    if (desk === undefined) this.#desks.set(name, (desk = side.iqFor(name)));
    return desk;
  }

  #serve(): void {
    const here = (service: string, act: (side: PresenceSide, value: never) => unknown): void =>
      this.#keeper.serve(service, () => this.#tenure?.side, act);
    here('sip', async (side, { method, request }: { method: keyof PresenceHandlers; request: Plain<SipRequest> }) =>
      plainReply(await side.sipHandlers[method](requestFrom(request))),
    );
    here('stanza', (side, { name, stanza }: { name: string; stanza: PresenceStanza }) =>
      side.gatewayFor(name)?.presence(stanza) === true ? undefined : linkPresence(side, name).presence(stanza),
    );
    here('granted', (side, { name, element, stanza }: { name: string; element: XmlElement; stanza: MessageStanza }) =>
      side.gatewayFor(name)?.granted(element, stanza),
    );
    here('event', (side, { name, stanza }: { name: string; stanza: MessageStanza }) =>
      linkPresence(side, name).event(stanza),
    );
    here('answered', (side, { name, element }: { name: string; element: XmlElement }) =>
      linkPresence(side, name).answered(element),
    );
    here('may-see', (side, { userKey, watcher }: { userKey: string; watcher: Address }) =>
      side.service.maySee(userKey, watcher),
    );
    here('iq', (side, { name, stanza, element }: { name: string; stanza: IqStanza; element: XmlElement }) =>
      this.#deskOf(side, name)(stanza, element),
    );
    serveKept(this.#keeper, 'watchers', WATCHER_METHODS, () => this.#tenure?.side.service.watchers);
    serveKept(this.#keeper, 'profiles', PROFILE_METHODS, () => this.#tenure?.side.contacts.directory);
  }

  async #handle(method: keyof PresenceHandlers, request: SipRequest): Promise<SipReply> {
    if (this.#tenure !== undefined) return this.#tenure.side.sipHandlers[method](request);
    return replyFrom((await this.#keeper.ask('sip', { method, request: plainRequest(request) })) as Plain<SipReply>);
  }

  /** Passes on what nobody waits for. */
  #pass(service: string, value: unknown): void {
    this.#keeper
      .ask(service, value)
      .catch((error: unknown) => this.#deps.log.info({ service, error }, 'presence has no owner'));
  }

  #gained(fence: number): void {
    this.#fence = fence;
    this.#turn = this.#turn.then(() => this.#take(fence));
  }

  async #take(fence: number): Promise<void> {
    const { log, clock, open, members } = this.#deps;
    const isOurs = (): boolean => this.#fence === fence && !this.#isStopped;
    const startedAtMs = clock.nowMs();
    while (isOurs()) {
      try {
        const tenure = await open(fence);
        if (!isOurs()) {
          await tenure.end();
          return;
        }
        this.#desks.clear();
        tenure.side.load();
        this.#tenure = tenure;
        tenure.side.start();
        for (const name of this.#linksUp) linkPresence(tenure.side, name).up();
        tenure.started?.();
        this.#wish?.note({ isReady: true } satisfies KeeperNote);
        log.info({ node: members.name, durationMs: clock.nowMs() - startedAtMs }, 'presence is kept by this node');
        return;
      } catch (error) {
        log.warn({ error }, 'presence could not be taken up, trying again');
        await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve));
      }
    }
  }

  #lost(reason: string): void {
    this.#fence = undefined;
    const tenure = this.#tenure;
    this.#tenure = undefined;
    if (tenure === undefined) return;
    this.#deps.log.warn({ node: this.#deps.members.name, reason }, 'presence is not kept by this node any more');
    const halted = tenure.halt?.(0);
    this.#turn = this.#turn.then(async () => {
      await halted;
      await tenure.side.stop(0);
      await tenure.end();
    });
  }
}
