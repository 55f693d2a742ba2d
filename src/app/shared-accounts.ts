import { type Address, domainOf } from '../cpim/address.ts';
import type { XmlElement } from '../cpim/xml.ts';
import {
  type AccountAdministration,
  accountFigures,
  type AccountLine,
  type AccountState,
  type AccountWays,
} from '../core/accounts.ts';
import { type AccountLinks, howToLinkOf, type LinkedAccount, linkedAccount } from '../core/commands/account-links.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Membership } from '../core/nodes/membership.ts';
import type { NodeBus } from '../core/nodes/node-bus.ts';
import type { Clock } from '../core/ports.ts';
import { accountName } from '../xmpp/account/account-record.ts';
import type { Accounts, AccountStanding } from '../xmpp/account/accounts.ts';
import { KeptLink } from '../xmpp/account/kept-link.ts';
import { sendAtNode } from '../xmpp/send-at-node.ts';
import type { XmppLink } from '../xmpp/link.ts';
import { AccountDirectory, type AccountDirectoryDeps } from './account-directory.ts';
import { keptElsewhere, type MethodsOf, serveKept } from './kept-interface.ts';
import type { NamedLink } from './links.ts';
import { PresenceKeeper } from './presence-keeper.ts';

/** The accounts as the rest of a server sees them, wherever they are kept. */
export type AccountsFace = AccountWays &
  AccountAdministration &
  AccountLinks &
  Pick<Accounts, 'users' | 'figures' | 'start' | 'stop' | 'changed' | 'removeAll'>;

/** The accounts themselves, and their links by name. */
export type OwnAccounts = { readonly accounts: Accounts; readonly links: ReadonlyMap<string, NamedLink> };

export type SharedAccountsDeps = Omit<AccountDirectoryDeps, 'isInUse' | 'linkOf'> & {
  readonly members: Pick<Membership, 'holderOf' | 'onChange' | 'name'>;
  readonly bus: Pick<NodeBus, 'call' | 'serve' | 'tell'>;
  readonly clock: Clock;
  readonly log: Log;
};

/** A link goes on with its session within ten minutes or never; this is for a keeper that hangs. */
const SEND_MS = 660_000;
/** So often a node makes sure that it knows how the accounts stand, ms: what was told may have got lost. */
const LOOK_MS = 5_000;
const METHODS: MethodsOf<AccountAdministration> = {
  list: true,
  of: true,
  add: true,
  changePassword: true,
  remove: true,
};

/** How one account stands, as its keeper tells it: the `n`th word of it under this fence; null: it is gone. */
type Told = {
  readonly fence: number;
  readonly n: number;
  readonly name: string;
  readonly standing: AccountStanding | null;
};

/** How all of them stand. */
type Standings = {
  readonly fence: number;
  readonly n: number;
  readonly all: ReadonlyArray<readonly [name: string, standing: AccountStanding]>;
};

/**
 * The accounts of several nodes: the node that keeps presence keeps them, since what an account shows and sees is
 * presence. Every node knows from the store who has one, and from the keeper how it stands; what is written over an
 * account on another node goes through the keeper, in the order of the calls, and so does what operators ask for.
 *
 * When the keeper is gone, what it has not confirmed is rejected as by a link that was lost, and the accounts are down
 * until the next keeper has them up.
 */
export class SharedAccounts implements AccountsFace {
  readonly #deps: SharedAccountsDeps;
  readonly #keeper: PresenceKeeper;
  readonly #directory: AccountDirectory;
  /** What operators ask for, of the keeper. */
  readonly #asked: AccountAdministration;
  #standings = new Map<string, AccountStanding>();
  /** What `#standings` are of. */
  #heard = { fence: 0, n: 0 };
  #own: (OwnAccounts & { readonly fence: number; readonly asked: AccountAdministration }) | undefined;
  #isLooking = false;
  #isLookDue = false;
  #cancelLook: () => void = () => undefined;
  #isStopped = false;

  constructor(deps: SharedAccountsDeps) {
    this.#deps = deps;
    this.#keeper = new PresenceKeeper(deps);
    this.#directory = new AccountDirectory({
      ...deps,
      // What is being removed here is needed until that is done.
      isInUse: (name) => this.#own?.links.has(name) === true,
      linkOf: (name) => this.#linkOf(name),
    });
    deps.members.onChange(() => this.#lookSoon());
    const own = (): OwnAccounts | undefined => this.#own;
    this.#asked = keptElsewhere(this.#keeper, 'accounts', METHODS);
    serveKept(this.#keeper, 'accounts', METHODS, () => this.#own?.asked);
    this.#keeper.serve('accounts-standing', own, (_own, heard: { fence: number; n: number }) =>
      heard.fence === this.#heard.fence && heard.n === this.#heard.n
        ? undefined
        : ({ ...this.#heard, all: [...this.#standings] } satisfies Standings),
    );
    deps.bus.serve('account:send', (value) => {
      const { name, stanza } = value as { name: string; stanza: XmlElement };
      if (this.#own === undefined) throw new GatewayError('peer-unreachable', 'accounts are not kept by this node');
      return this.#own.accounts.sendOver(name, stanza);
    });
    deps.bus.serve('account:post', (value) => {
      const { name, stanza } = value as { name: string; stanza: XmlElement };
      this.#own?.links.get(name)?.link.post(stanza);
    });
    deps.bus.serve('account:standing', (value) => this.#told(value as Told));
  }

  // Where they are kept.

  /** This node keeps them from now on, until `release`. */
  keep(own: OwnAccounts, fence: number): void {
    this.#forgetStandings();
    this.#own = { ...own, fence, asked: this.#askedOf(own.accounts) };
    this.#heard = { fence, n: 0 };
    for (const name of own.links.keys()) this.stirred(name);
    own.accounts.start();
  }

  /** Ends them within the call; resolves when what was under way is done, at most so long after. */
  async release(own: OwnAccounts, graceMs: number): Promise<void> {
    if (this.#own?.accounts !== own.accounts) return;
    const { fence } = this.#own;
    this.#own = undefined;
    this.#forgetStandings();
    this.#heard = { fence, n: this.#heard.n };
    await own.accounts.stop(graceMs);
    this.#lookSoon();
  }

  /** The link as it is to be started by the keeper under this fence: with its events, all nodes hear of it. */
  watched(fence: number, name: string, link: XmppLink): XmppLink {
    // Of one that is kept here no more, nothing counts.
    const isKept = (): boolean => this.#own?.fence === fence;
    return {
      name,
      start: (events) =>
        link.start({
          ...events,
          onUp: () => {
            if (!isKept()) return;
            this.#stands(name);
            events.onUp();
          },
          onDown: (reason) => {
            if (!isKept()) return;
            this.#stands(name);
            events.onDown(reason);
          },
        }),
      send: (stanza) => link.send(stanza),
      post: (stanza) => link.post(stanza),
      state: () => link.state(),
      stop: (graceMs) => link.stop(graceMs),
    };
  }

  /** An account here stands otherwise than it did, or is gone. */
  stirred(name: string): void {
    const here = this.#own?.accounts.standingOf(name);
    if (here !== undefined) this.#directory.put(name, here);
    this.#stands(name);
  }

  /** It is gone, and nothing of it is waited for any more. */
  forgotten(name: string): void {
    this.#directory.drop(name);
    this.stirred(name);
  }

  // What every node answers.

  users(): Iterable<string> {
    return this.#directory.users();
  }

  figures(): ReturnType<Accounts['figures']> {
    const accounts = [...this.#directory.all()].map(({ name, link }) => ({ link, at: this.#stateOf(name).at }));
    return accountFigures(this.#deps.services.keys(), accounts);
  }

  wayFor(source: Address, destination: Address, isToSee = false): string | undefined {
    if (this.#own !== undefined) return this.#own.accounts.wayFor(source, destination, isToSee);
    const known = this.#directory.of(source);
    // Whether he is in its roster, where that matters, the keeper says when it is to be sent.
    return (known.find(({ jid }) => domainOf(jid) === domainOf(destination)) ?? known[0])?.name;
  }

  accountsOf(user: Address): readonly LinkedAccount[] {
    return this.#directory.of(user).map(({ name, jid }) => linkedAccount(jid, this.#stateOf(name)));
  }

  ownerOf(address: Address): Address | undefined {
    return this.#directory.at(address).find(({ name }) => this.#standings.get(name)?.hasBeenUp === true)?.user;
  }

  howToLink(): readonly string[] {
    return howToLinkOf([...this.#deps.services.values()].flat());
  }

  changed(userKey: string): void {
    this.#own?.accounts.changed(userKey);
  }

  removeAll(userKey: string): Promise<void> | undefined {
    return this.#own?.accounts.removeAll(userKey);
  }

  start(): void {
    this.#lookSoon();
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelLook();
    return Promise.resolve();
  }

  // What operators ask for, of any node.

  list(): ReturnType<AccountAdministration['list']> {
    return this.#asked.list();
  }

  of(user: Address): ReturnType<AccountAdministration['of']> {
    return this.#asked.of(user);
  }

  async add(user: Address, jid: string, password: string, link?: string): Promise<AccountLine> {
    const line = await this.#asked.add(user, jid, password, link);
    // Not when the store says so: whoever has been told may write at once.
    this.#directory.put(accountName(line.link, line.user), { user, jid: line.jid });
    return line;
  }

  changePassword(user: Address, jid: string, password: string): Promise<AccountLine> {
    return this.#asked.changePassword(user, jid, password);
  }

  remove(user: Address, jid: string): Promise<boolean> {
    return this.#asked.remove(user, jid);
  }

  /** How the keeper carries that out. */
  #askedOf(accounts: Accounts): AccountAdministration {
    return {
      list: () => accounts.list(),
      of: (user) => accounts.of(user),
      add: (...account) => accounts.add(...account),
      changePassword: async (...account) => {
        const line = await accounts.changePassword(...account);
        this.stirred(accountName(line.link, line.user));
        return line;
      },
      remove: (...account) => accounts.remove(...account),
    };
  }

  #linkOf(name: string): KeptLink {
    const { bus, log } = this.#deps;
    return new KeptLink({
      name,
      own: () => this.#own?.links.get(name)?.link,
      far: {
        send: async (stanza) => {
          const { holder } = this.#keeper;
          if (holder === undefined) throw new GatewayError('peer-unreachable', 'no node keeps the accounts at present');
          const call = { what: 'account:send', value: { name, stanza }, withinMs: SEND_MS };
          await sendAtNode(bus, holder.node, call);
        },
        post: (stanza) => {
          const { holder } = this.#keeper;
          if (holder === undefined) return;
          bus.call(holder.node, 'account:post', { name, stanza }).catch((error: unknown) => {
            log.debug({ link: name, error }, 'answer was not written, its account is with another node');
          });
        },
        state: () => {
          const { at, ...rest } = this.#stateOf(name);
          return { ...rest, at: at === 'refused' ? 'down' : at };
        },
      },
    });
  }

  // How they stand.

  #stateOf(name: string): AccountState {
    const here = this.#own?.accounts.standingOf(name);
    if (here !== undefined) return here.state;
    const { holder } = this.#keeper;
    const reason =
      holder === undefined ? 'no node keeps the accounts at present' : `node ${holder.node} has just begun`;
    return this.#standings.get(name)?.state ?? { at: 'connecting', sinceMs: this.#deps.clock.nowMs(), reason };
  }

  /** Here, by what the account itself says. */
  #stands(name: string): void {
    const own = this.#own;
    if (own === undefined) return;
    const here = own.accounts.standingOf(name);
    const standing = here === undefined ? undefined : { state: here.state, hasBeenUp: here.hasBeenUp };
    const n = this.#heard.n + 1;
    this.#heard = { fence: own.fence, n };
    if (standing === undefined) this.#standings.delete(name);
    else this.#standings.set(name, standing);
    this.#deps.bus.tell('account:standing', { fence: own.fence, n, name, standing: standing ?? null } satisfies Told);
  }

  /** Of the keeper. */
  #told({ fence, n, name, standing }: Told): void {
    if (this.#own !== undefined) return;
    if (fence !== this.#heard.fence || n !== this.#heard.n + 1) {
      this.#lookSoon();
      return;
    }
    this.#heard = { fence, n };
    this.#take(name, standing ?? undefined);
  }

  #take(name: string, standing: AccountStanding | undefined): void {
    const wasUp = this.#standings.get(name)?.state.at === 'up';
    if (standing === undefined) this.#standings.delete(name);
    else this.#standings.set(name, standing);
    const isUp = standing?.state.at === 'up';
    // Every word of one that is up wakes: it may have been down in between.
    if (isUp) this.#deps.up(name);
    else if (wasUp) this.#deps.down(name);
  }

  #forgetStandings(): void {
    for (const [name, { state }] of this.#standings) if (state.at === 'up') this.#deps.down(name);
    this.#standings = new Map();
  }

  /** Asks the keeper how they stand, where that is another node: now, and from time to time. */
  #lookSoon(): void {
    if (this.#isStopped) return;
    this.#isLookDue = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#cancelLook();
    void this.#lookWhileDue();
  }

  async #lookWhileDue(): Promise<void> {
    const { log, clock } = this.#deps;
    try {
      while (this.#isLookDue && !this.#isStopped) {
        this.#isLookDue = false;
        await this.#lookNow();
      }
    } catch (error) {
      log.debug({ error }, 'how accounts stand is not known yet');
    }
    this.#isLooking = false;
    if (!this.#isStopped) this.#cancelLook = clock.after(LOOK_MS, () => this.#lookSoon());
  }

  #isKeeper(): boolean {
    return this.#own !== undefined;
  }

  async #lookNow(): Promise<void> {
    if (this.#isKeeper()) return;
    const { holder } = this.#keeper;
    if (holder?.fence !== this.#heard.fence) {
      this.#forgetStandings();
      this.#heard = { fence: holder?.fence ?? 0, n: -1 };
    }
    if (holder === undefined) return;
    const answer = (await this.#keeper.ask('accounts-standing', this.#heard)) as Standings | null | undefined;
    if (this.#isKeeper() || answer === undefined || answer === null) return;
    // What was told meanwhile is newer.
    if (answer.fence < this.#heard.fence || (answer.fence === this.#heard.fence && answer.n <= this.#heard.n)) return;
    this.#heard = { fence: answer.fence, n: answer.n };
    const all = new Map(answer.all);
    for (const name of [...this.#standings.keys()]) if (!all.has(name)) this.#take(name, undefined);
    for (const [name, standing] of all) this.#take(name, standing);
  }
}
