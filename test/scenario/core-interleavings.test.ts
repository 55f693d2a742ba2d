import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { Delivery } from '../../src/core/ports.ts';
import { aBinding, aMessage } from '../support/builders.ts';
import { CoreWorld } from '../support/core-world.ts';
import { FakeClock, settled } from '../support/fake-clock.ts';
import { seededRandom } from '../support/seeded-random.ts';

const RUNS = 40;
const MESSAGES = 120;
const SENDERS = ['alice', 'bob', 'carl'];
const DESTINATIONS = ['juliet@xmpp.example', 'romeo@xmpp.example', 'dave@partner.example', 'gina@sip.example'];

type Written = {
  readonly delivery: Delivery;
  readonly take: () => void;
  readonly refuse: (error: GatewayError) => void;
};

/**
 * The far sides: a link that takes stanzas in order and loses the unconfirmed ones when it goes down, and SIP ends that
 * take, refuse, fall silent before or after they took, and ask for patience. All by one seeded chance.
 */
class FarSide {
  readonly world: CoreWorld;
  /** What came over, in order, repetitions left out. */
  readonly received: string[] = [];
  readonly repeated: Delivery[] = [];
  isKind = false;
  #pipe: Written[] = [];
  #isUp = false;
  readonly #random: () => number;

  constructor(world: CoreWorld, random: () => number) {
    this.world = world;
    this.#random = random;
    world.link.behave = (delivery) => this.#onLink(delivery);
    world.sip.behave = (delivery) => this.#onSip(delivery);
    world.local.behave = (delivery) => this.#onSip(delivery);
  }

  /** Something happens at the far side. */
  happen(): void {
    const chance = this.#random();
    if (chance < 0.05) this.linkDown();
    else if (chance < 0.15) this.linkUp();
    else if (chance < 0.5) this.#confirm(1 + Math.floor(this.#random() * 5));
    else if (chance < 0.6) this.#register(this.#random() < 0.7);
  }

  linkUp(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    this.world.delivery.hopUp('link:office');
  }

  linkDown(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.world.delivery.hopDown('link:office');
    // Of what was written some has arrived, from the front.
    const arrivedCount = Math.floor(this.#random() * (this.#pipe.length + 1));
    for (const [at, { delivery, refuse }] of this.#pipe.entries()) {
      if (at < arrivedCount) this.#receive(delivery);
      refuse(new GatewayError('peer-unreachable', 'the link went down'));
    }
    this.#pipe = [];
  }

  /** From here on everything works. */
  heal(): void {
    this.isKind = true;
    this.#register(true);
    this.linkUp();
    this.#confirm(this.#pipe.length);
  }

  #register(isThere: boolean): void {
    this.world.contacts.set('gina@sip.example', isThere ? [aBinding()] : []);
    for (const sender of SENDERS) {
      this.world.contacts.set(`${sender}@sip.example`, [aBinding()]);
      this.world.delivery.hopUp(`user:${sender}@sip.example`);
    }
    if (isThere) this.world.delivery.hopUp('user:gina@sip.example');
  }

  #confirm(count: number): void {
    for (const { delivery, take } of this.#pipe.splice(0, count)) {
      this.#receive(delivery);
      take();
    }
  }

  #onLink(delivery: Delivery): Promise<void> | GatewayError | undefined {
    if (!this.#isUp) return new GatewayError('peer-unreachable', 'the link is down');
    if (this.isKind) {
      this.#receive(delivery);
      return undefined;
    }
    if (this.#random() < 0.03) return new GatewayError('content-too-large', 'never written');
    return new Promise((take, refuse) => this.#pipe.push({ delivery, take, refuse }));
  }

  #onSip(delivery: Delivery): GatewayError | undefined {
    const chance = this.isKind ? 1 : this.#random();
    if (chance < 0.1) return new GatewayError('peer-unreachable', 'nobody there');
    if (chance < 0.15) return new GatewayError('recipient-unknown', '404', { details: { status: 404 } });
    if (chance < 0.25)
      return new GatewayError('peer-failed', '503', { details: { status: 503, retryAfterSeconds: 7 } });
    this.#receive(delivery);
    return chance < 0.35 ? new GatewayError('peer-timeout', 'the answer was lost') : undefined;
  }

  #receive(delivery: Delivery): void {
    if (this.received.includes(delivery.id)) this.repeated.push(delivery);
    else this.received.push(delivery.id);
  }
}

/** Whether `part` stands in `whole` in the same order. */
function isInOrder(part: readonly string[], whole: readonly string[]): boolean {
  let at = -1;
  return part.every((id) => {
    const next = whole.indexOf(id);
    const isLater = next > at;
    at = next;
    return isLater;
  });
}

for (let seed = 1; seed <= RUNS; seed++) {
  test(`whatever the far sides do, lanes keep their order and each message ends once (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    const world = await new CoreWorld({ clock: new FakeClock(), random, concurrency: 2 }).start();
    const far = new FarSide(world, random);
    const lanes = new Map<string, string[]>();
    const accepted: Array<Promise<unknown>> = [];
    const refused = new Set<string>();
    for (let n = 0; n < MESSAGES; n++) {
      const from = `${SENDERS[Math.floor(random() * SENDERS.length)] ?? ''}@sip.example`;
      const to = DESTINATIONS[Math.floor(random() * DESTINATIONS.length)] ?? '';
      const message = aMessage({ id: `m${n}`, from, to, acceptedAtMs: world.clock.nowMs() });
      lanes.set(`${from} ${to}`, [...(lanes.get(`${from} ${to}`) ?? []), message.id]);
      accepted.push(
        world.messages
          .accept(message, { kind: 'local', user: message.source.address })
          .catch(() => refused.add(message.id)),
      );
      far.happen();
      if (random() < 0.3) await world.clock.advanceAsync(Math.floor(random() * 4_000));
      else await settled();
    }
    far.heal();
    await world.clock.advanceAsync(30 * 60_000);
    await Promise.all(accepted);

    const figures = world.queue.figures();
    assert.equal(figures.live, 0, 'nothing is left waiting');
    const dead = new Set((await world.queue.list({ state: 'dead', limit: 1_000 })).map(({ id }) => id));
    const told = new Set(
      world.local.sent.flatMap(({ delivery: { operation } }) =>
        operation.op === 'report' ? [operation.about.id] : [],
      ),
    );
    for (const [lane, ids] of lanes) {
      const received = far.received.filter((id) => ids.includes(id));
      assert.ok(isInOrder(received, ids), `${lane}: ${received.join(' ')}`);
      for (const id of ids) {
        // One whose answer was lost and that was then refused is both there and reported: nobody could know better.
        assert.ok(received.includes(id) || dead.has(id), `${id} is neither delivered nor dead`);
        assert.equal(dead.has(id), told.has(id) || refused.has(id), `${id}: dead means told, told means dead`);
      }
    }
    assert.ok(
      far.repeated.every(({ maybeSent }) => maybeSent),
      'what comes a second time is marked',
    );
    await world.stop();
  });
}
