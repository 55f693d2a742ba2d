import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { FailureReport } from '../../src/cpim/operation.ts';
import { aBinding, aMessage } from '../support/builders.ts';
import { CoreWorld } from '../support/core-world.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const SENDERS = ['alice', 'bob', 'carl', 'dora', 'emil'];

/** Sends a message a minute from each sender to one destination while `ms` go by. @returns the ids, per sender. */
async function sendThrough(world: CoreWorld, to: string, ms: number): Promise<Map<string, string[]>> {
  const sent = new Map<string, string[]>(SENDERS.map((sender) => [sender, []]));
  const accepted: Array<Promise<string>> = [];
  for (let minute = 0; minute < ms / MINUTE_MS; minute++) {
    for (const sender of SENDERS) {
      const from = `${sender}@sip.example`;
      const message = aMessage({ id: `${sender}-${minute}`, from, to, acceptedAtMs: world.clock.nowMs() });
      accepted.push(world.messages.accept(message, { kind: 'local', user: message.source.address }));
      sent.get(sender)?.push(message.id);
    }
    await world.clock.advanceAsync(MINUTE_MS);
  }
  assert.ok((await Promise.all(accepted)).every((outcome) => outcome === 'queued'));
  return sent;
}

/** What of a sender's messages was sent last, in the order in which it was: attempts in vain are left out. */
function arrived(taken: readonly string[], sender: string): string[] {
  return taken.filter((id) => id.startsWith(`${sender}-`));
}

test('a link that is away for 12 hours: nothing is lost, nothing reordered, and nothing tried in vain', async () => {
  const world = await new CoreWorld().start();
  const sent = await sendThrough(world, 'juliet@xmpp.example', 12 * HOUR_MS);
  assert.equal(world.queue.figures().live, 12 * 60 * SENDERS.length);
  assert.equal(world.link.sent.length, 0, 'the link says itself when it is back');
  world.delivery.hopUp('link:office');
  await world.drained();
  assert.equal(world.queue.figures().live, 0);
  for (const [sender, ids] of sent) assert.deepEqual(arrived(world.link.ids, sender), ids);
  assert.ok(world.link.sent.every(({ delivery }) => !delivery.maybeSent && delivery.attempt === 1));
  await world.stop();
});

test('a SIP peer that is away for 12 hours: nothing is lost or reordered, and it is tried at most twice a minute', async () => {
  const world = await new CoreWorld().start();
  const taken: string[] = [];
  world.sip.behave = () => new GatewayError('peer-unreachable', 'test');
  const sent = await sendThrough(world, 'dave@partner.example', 12 * HOUR_MS);
  const tries = world.sip.sent.length;
  assert.ok(tries <= 12 * 60 * 4 + 10, `${tries} tries`);
  assert.ok(tries >= 12 * 60, `${tries} tries find it within a minute`);
  world.sip.behave = (delivery) => void taken.push(delivery.id);
  await world.clock.advanceAsync(MINUTE_MS);
  await world.drained();
  assert.equal(world.queue.figures().live, 0, 'all have gone within a minute of its return');
  for (const [sender, ids] of sent) assert.deepEqual(arrived(taken, sender), ids);
  assert.equal(taken.length, 12 * 60 * SENDERS.length);
  await world.stop();
});

test('a user who is away for 12 hours finds all messages in order when he registers', async () => {
  const world = await new CoreWorld().start();
  const sent = await sendThrough(world, 'gina@sip.example', 12 * HOUR_MS);
  assert.equal(world.local.sent.length, 0);
  world.contacts.set('gina@sip.example', [aBinding()]);
  world.delivery.hopUp('user:gina@sip.example');
  await world.drained();
  for (const [sender, ids] of sent) assert.deepEqual(arrived(world.local.ids, sender), ids);
  await world.stop();
});

test('a user whose phone does not answer for 12 hours is tried rarely, and finds all messages in order', async () => {
  const world = await new CoreWorld().start();
  world.contacts.set('gina@sip.example', [aBinding()]);
  world.local.behave = () => new GatewayError('peer-timeout', 'test');
  const sent = await sendThrough(world, 'gina@sip.example', 12 * HOUR_MS);
  const tries = world.local.sent.length;
  assert.ok(tries <= SENDERS.length * (12 * 12 + 20), `${tries} tries`);
  const taken: string[] = [];
  world.local.behave = (delivery) => void taken.push(delivery.id);
  world.delivery.hopUp('user:gina@sip.example');
  await world.drained();
  for (const [sender, ids] of sent) assert.deepEqual(arrived(taken, sender), ids);
  await world.stop();
});

test('an outage longer than the lifetime: each sender is told once of each message, in order, and the rest goes', async () => {
  const world = await new CoreWorld({ lifetimeMs: 2 * HOUR_MS }).start();
  for (const sender of SENDERS) world.contacts.set(`${sender}@sip.example`, [aBinding()]);
  const sent = await sendThrough(world, 'juliet@xmpp.example', 3 * HOUR_MS);
  world.delivery.hopUp('link:office');
  await world.drained();
  for (const [sender, ids] of sent) {
    const reports = world.local.sent
      .map(({ delivery }) => delivery.operation as FailureReport)
      .filter(({ destination }) => destination.address === `${sender}@sip.example`);
    const delivered = arrived(world.link.ids, sender);
    assert.ok(reports.every(({ code }) => code === 'lifetime-over'));
    assert.deepEqual([...reports.map(({ about }) => about.id), ...delivered], ids);
    assert.ok(reports.length >= 60 && reports.length <= 61, `${reports.length} reports`);
  }
  assert.equal(world.queue.figures().live, 0);
  assert.equal(world.queue.figures().dead, world.local.sent.length, 'what failed is kept for the operator');
  await world.stop();
});
