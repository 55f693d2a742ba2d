/** The XMPP server is away for ten minutes while presence changes on both sides; then both sides agree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childOf, textOf, type XmlElement } from '../../src/cpim/xml.ts';
import { CountingPublisher } from '../support/counting-publisher.ts';
import { CountingWatchers, roundNote } from '../support/counting-watchers.ts';
import { COMPONENT, RunningApp, SteerableClock } from '../support/running-app.ts';
import { until } from '../support/until.ts';

const PAIRS = 40;
const USERS = Array.from({ length: PAIRS }, (_, at) => `user${at}`);
/** As fast as packets on this machine can still be answered in time. */
const SPEED = 30;

/**
 * An XMPP server with users x0, x1 .. who allow everybody to watch them, and each of whom watches one user of ours. It
 * answers probes with what its users show now, and probes for them when it has come back.
 */
class Rosters {
  /** What each of its users shows; undefined: nobody is logged in. */
  readonly shown: Array<string | undefined> = USERS.map(() => roundNote(0));
  /** The newest that each was told of whom he watches: the status, `unavailable`, or nothing yet. */
  readonly told: Array<string | undefined> = [];
  readonly #world: RunningApp;

  constructor(world: RunningApp) {
    this.#world = world;
    world.xmpp.onStanza = (stanza) => this.#take(stanza);
  }

  subscribe(): void {
    for (const at of USERS.keys()) this.#send(at, 'subscribe');
  }

  /** Its users are there again: it asks for what they missed (RFC 6121, section 4.2.2). */
  probe(): void {
    for (const at of USERS.keys()) if (this.shown[at] !== undefined) this.#send(at, 'probe');
  }

  show(at: number, status: string | undefined): void {
    this.shown[at] = status;
    if (this.#world.xmpp.connected) this.#show(at);
  }

  #take({ name, attrs, ...stanza }: XmlElement): void {
    const at = Number(/^x(\d+)@/.exec(attrs['to'] ?? '')?.[1] ?? -1);
    if (name !== 'presence' || at < 0) return;
    switch (attrs['type']) {
      case 'subscribe':
        this.#send(at, 'subscribed');
        this.#show(at);
        break;
      case 'probe':
        this.#show(at);
        break;
      case 'unavailable':
        this.told[at] = 'unavailable';
        break;
      case undefined: {
        const status = childOf({ name, attrs, ...stanza }, 'status');
        this.told[at] = status === undefined ? '' : textOf(status);
        break;
      }
      default:
    }
  }

  #show(at: number): void {
    const status = this.shown[at];
    const from = `from='x${at}@xmpp.example/r' to='user${at}@${COMPONENT}'`;
    if (status === undefined) this.#world.xmpp.sendRaw(`<presence ${from} type='unavailable'/>`);
    else this.#world.xmpp.sendRaw(`<presence ${from}><status>${status}</status></presence>`);
  }

  #send(at: number, type: string): void {
    this.#world.xmpp.sendRaw(`<presence from='x${at}@xmpp.example' to='user${at}@${COMPONENT}' type='${type}'/>`);
  }
}

test('the XMPP server is away for ten minutes while both sides change: afterwards both sides agree', async (t) => {
  const clock = new SteerableClock();
  const errors: string[] = [];
  const world = await RunningApp.start({
    clock,
    rateLimits: 'off',
    homeTrust: ['127.0.0.1'],
    presence: 'default: allow, notifyIntervalSeconds: 0',
    users: USERS,
    onLogLine: (line) => {
      if (line.includes('"level":"error"')) errors.push(line);
    },
  });
  t.after(() => world.stop());
  await world.untilLinkUp();
  const rosters = new Rosters(world);
  const ends = { transport: 'udp', port: world.ports.udp, domain: 'sip.example' } as const;
  const watchers = await CountingWatchers.open({
    ...ends,
    watched: USERS.map((_, at) => `x${at}@xmpp.example`),
    prefix: 'user',
    keepsLast: true,
  });
  t.after(() => watchers.close());
  const publishers = await Promise.all(USERS.map((user) => CountingPublisher.open({ ...ends, user })));
  t.after(() => Promise.all(publishers.map((publisher) => publisher.close())));
  const publish = async (round: number): Promise<void> => {
    const statuses = await Promise.all(publishers.map((publisher) => publisher.publish(round)));
    assert.deepEqual([...new Set(statuses)], [200]);
  };
  const allTold = (status: string): Promise<unknown> =>
    until(() => rosters.told.length === PAIRS && rosters.told.every((told) => told === status), {
      what: `all XMPP users are told "${status}"`,
      withinMs: 20_000,
      detail: () => JSON.stringify(rosters.told),
    });

  await publish(0);
  rosters.subscribe();
  await watchers.subscribe();
  await allTold(roundNote(0));
  await until(() => watchers.holding(0) === PAIRS, { what: 'all SIP users are told' });

  await world.xmpp.stop();
  const wentAtMs = clock.nowMs();
  clock.run(SPEED);
  for (const round of [1, 2, 3]) {
    await publish(round);
    // Some log out, some say something else.
    for (const at of USERS.keys()) rosters.show(at, at % 4 === 3 && round > 1 ? undefined : roundNote(round));
    await until(() => clock.nowMs() - wentAtMs > round * 200_000, { what: 'time passes', withinMs: 30_000 });
  }
  clock.run(1);
  assert.ok(clock.nowMs() - wentAtMs > 600_000);
  assert.equal(watchers.live, PAIRS, 'no subscription has ended');

  await world.xmpp.start();
  await world.untilLinkUp(20_000);
  rosters.probe();
  const isThere = (at: number): boolean => at % 4 !== 3;
  await until(
    () =>
      watchers.dialogs.every(({ round, last }, at) =>
        isThere(at) ? round === 3 && last.includes('<basic>open') : !last.includes('<basic>open'),
      ) && USERS.every((_, at) => !isThere(at) || rosters.told[at] === roundNote(3)),
    {
      what: 'both sides agree',
      withinMs: 30_000,
      detail: () =>
        JSON.stringify([rosters.told, watchers.dialogs.map(({ round, last }) => [round, last.slice(-300)])]),
    },
  );
  // Those who were away are told when they come.
  for (const at of USERS.keys()) if (!isThere(at)) rosters.show(at, roundNote(4));
  rosters.probe();
  await allTold(roundNote(3));
  await until(() => watchers.dialogs.every(({ round }, at) => round === (isThere(at) ? 3 : 4)), {
    what: 'those who came are seen',
    detail: () => JSON.stringify(watchers.dialogs.map(({ round }) => round)),
  });
  await watchers.subscribe();
  assert.deepEqual(watchers.faults, { cseqRepeated: 0, wentBack: 0, terminated: 0, lost: 0, refused: {} });
  assert.deepEqual(errors, []);
});
