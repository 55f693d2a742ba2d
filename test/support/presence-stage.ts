import assert from 'node:assert/strict';
import type { WatcherInfo } from '../../src/cpim/presence/watcherinfo.ts';
import { readWatcherInfo } from '../../src/cpim/presence/watcherinfo.ts';
import { isPeerInstalled } from './peers.ts';
import { PresencePhone, type Notified, type SubscribeOptions, type Watching } from './presence-phone.ts';
import { PLACES, RunningApp, SteerableClock, type RunningAppOptions } from './running-app.ts';
import { ScriptedPresenceServer } from './scripted-presence-server.ts';
import { linkSettled, XmppContact } from './xmpp-contact.ts';
import { schemaFaults } from './xmllint.ts';

/** Whoever is watched by himself, to see that everything before was dealt with. */
const WARDEN = 'warden';
const WATCHERINFO = 'application/watcherinfo+xml';

/** A running server with those who publish and watch: phones of sip.example and XMPP users, on real sockets. */
export class PresenceStage {
  readonly world: RunningApp;
  readonly clock: SteerableClock;
  readonly #phones = new Map<string, Promise<PresencePhone>>();
  #warden: Watching | undefined;

  private constructor(world: RunningApp, clock: SteerableClock) {
    this.world = world;
    this.clock = clock;
  }

  static async open(options: Omit<RunningAppOptions, 'clock'> = {}): Promise<PresenceStage> {
    const clock = new SteerableClock();
    const users = [WARDEN, ...(options.users ?? [])];
    const world = await RunningApp.start({ rateLimits: 'off', ...options, users, clock });
    await world.untilLinkUp();
    return new PresenceStage(world, clock);
  }

  /** The one phone of a user, over UDP; not registered. */
  phone(user: string): Promise<PresencePhone> {
    let phone = this.#phones.get(user);
    if (phone === undefined) {
      phone = this.world.phone(user).then((opened) => new PresencePhone(opened));
      this.#phones.set(user, phone);
    }
    return phone;
  }

  async watch(watcher: string, uri: string, options: SubscribeOptions = {}): Promise<Watching> {
    return (await this.phone(watcher)).subscribe(uri, options);
  }

  /** Subscribes a user to the list of his watchers. */
  async winfo(owner: string, options: SubscribeOptions = {}): Promise<WinfoWatching> {
    const parts = { event: 'presence.winfo', accept: [WATCHERINFO], ...options };
    return new WinfoWatching(await this.watch(owner, `sip:${owner}@sip.example`, parts));
  }

  contact(jid: string): XmppContact {
    return new XmppContact(this.world, jid);
  }

  /** The presence server behind which those users of sip.example are that are not known here; for `homeCore`. */
  homeServer(): Promise<ScriptedPresenceServer> {
    const { home: port, tcp: serverPort } = this.world.ports;
    return ScriptedPresenceServer.open({ domain: 'sip.example', address: PLACES.home, port, serverPort });
  }

  partnerServer(): Promise<ScriptedPresenceServer> {
    const { partner: port, tcp: serverPort } = this.world.ports;
    return ScriptedPresenceServer.open({ domain: 'partner.example', address: PLACES.partner, port, serverPort });
  }

  /**
   * Resolves when everything that was asked before is dealt with, on the wire too: a subscription has been stored after
   * it, its NOTIFY has left after all that were due, and the link has carried what was to go.
   */
  async settled(): Promise<void> {
    await linkSettled(this.world);
    const before = this.#warden?.notifies.length ?? 0;
    const answer = await this.#warden?.refresh();
    if (this.#warden !== undefined && answer?.status === 200) await this.#warden.until(() => true, { from: before });
    else {
      this.#warden = await this.watch(WARDEN, `sip:${WARDEN}@sip.example`);
      await this.#warden.until(() => true);
    }
    await linkSettled(this.world);
  }

  /** Kills the server and starts it again; resolves when its link is up. */
  async crash(): Promise<void> {
    await this.world.crash();
    await this.world.untilLinkUp();
  }

  /** Ends it all: the server made no mistakes of its own, and everything it has sent is valid. */
  async stop(): Promise<void> {
    const phones = await Promise.all(this.#phones.values());
    await this.world.stop();
    assert.deepEqual(this.world.errors, [], 'no input makes the server fail');
    if (!isPeerInstalled('xmllint')) return;
    assertValid(phones);
  }
}

/** Every document that phones got is valid against the published schemas, one look at each. */
export function assertValid(phones: readonly PresencePhone[]): void {
  const bodies = new Map<string, 'presence' | 'watcherinfo'>();
  for (const { phone } of phones) {
    for (const { method, headers, body } of phone.received) {
      if (method !== 'NOTIFY') continue;
      const type = headers.get('Content-Type');
      if (type === 'application/pidf+xml') bodies.set(body.toString(), 'presence');
      else if (type === WATCHERINFO) bodies.set(body.toString(), 'watcherinfo');
    }
  }
  for (const [body, schema] of bodies) assert.deepEqual(schemaFaults(body, schema), [], body);
}

/** A subscription to the list of one's watchers. */
export class WinfoWatching {
  readonly watching: Watching;
  #seen = 0;

  constructor(watching: Watching) {
    this.watching = watching;
  }

  /**
   * What came since this was last asked, a line for each list and each watcher in it: `0 full`,
   * `0 alice pending subscribe`, `1 partial`.
   */
  news(): string[] {
    const lists = this.infos();
    const news = lists.slice(this.#seen).flatMap(winfoLines);
    this.#seen = lists.length;
    return news;
  }

  infos(): WatcherInfo[] {
    return this.watching.notifies.filter(({ body }) => body !== '').map(infoOf);
  }

  /** Takes everything up to the first news that has this line. */
  async until(line: string): Promise<string[]> {
    await this.watching.until(({ body }) => body !== '' && winfoLines(readWatcherInfo(body)).includes(line), {
      from: this.#seen,
      what: line,
    });
    return this.news();
  }
}

function infoOf({ body }: Notified): WatcherInfo {
  return readWatcherInfo(body);
}

function winfoLines({ version, state, lists }: WatcherInfo): string[] {
  return [
    `${version} ${state}`,
    ...lists.flatMap(({ watchers }) =>
      watchers.map(({ watcher, status, event }) => `${version} ${watcher.split('@')[0]} ${status} ${event}`),
    ),
  ];
}
