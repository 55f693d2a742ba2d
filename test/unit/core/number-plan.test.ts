import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../../src/cpim/address.ts';
import type { Origin } from '../../../src/core/admission.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import type { NumberDirectory, NumberService } from '../../../src/core/number-plan.ts';
import { parsePhoneNumber, type PhoneNumber } from '../../../src/core/phone-number.ts';
import { aBinding, aConfig, aMessage, anAddress } from '../../support/builders.ts';
import { CoreWorld } from '../../support/core-world.ts';
import { settled } from '../../support/fake-clock.ts';

const NUMBERS: ReadonlyArray<readonly [text: string, number: string | undefined]> = [
  ['+15551234567', '+15551234567'],
  ['+1-(555)-123.4567', '+15551234567'],
  ['+44 1632 960083', '+441632960083'],
  ['15551234567', undefined],
  ['+0123', undefined],
  ['+12', undefined],
  ['+1234567890123456', undefined],
  ['+1555x', undefined],
  ['+', undefined],
  [`+1${'-'.repeat(100)}555`, undefined],
];
for (const [text, number] of NUMBERS) {
  test(`phone number: ${text.slice(0, 20)} is ${number ?? 'none'}`, () => {
    assert.equal(parsePhoneNumber(text), number);
  });
}

/** A directory that answers when the test says so. */
class SlowDirectory implements NumberDirectory {
  readonly asked: Array<readonly [PhoneNumber, NumberService]> = [];
  readonly #waiting: Array<(found: readonly Address[] | GatewayError) => void> = [];

  lookUp(number: PhoneNumber, service: NumberService): Promise<readonly Address[]> {
    this.asked.push([number, service]);
    return new Promise((resolve, reject) => {
      this.#waiting.push((found) => (found instanceof GatewayError ? reject(found) : resolve(found)));
    });
  }

  async answer(...found: readonly string[]): Promise<void> {
    this.#waiting.shift()?.(found.map(anAddress));
    for (let turn = 0; turn < 5; turn++) await settled();
  }

  async fail(error: GatewayError): Promise<void> {
    this.#waiting.shift()?.(error);
    for (let turn = 0; turn < 5; turn++) await settled();
  }
}

const ALICE: Origin = { kind: 'local', user: anAddress('alice@sip.example') };
const BOBS_NUMBER = '+15551234@sip.example';
const ALIASES = `aliases:
  - { address: '+15550001', user: bob@sip.example }
  - { address: sales@sip.example, user: bob@sip.example }`;

async function aWorld(): Promise<{ world: CoreWorld; directory: SlowDirectory }> {
  const directory = new SlowDirectory();
  const world = await new CoreWorld({ directory, config: aConfig(ALIASES) }).start();
  for (const user of [BOBS_NUMBER, '+15559999@sip.example', '+15558888@sip.example']) world.unknownUsers.add(user);
  world.delivery.hopUp('link:office');
  return { world, directory };
}

async function codeOf(accepted: Promise<string>): Promise<string> {
  try {
    return await accepted;
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return thrown.code;
  }
}

test('numbers: what is written to one goes to whom the directory names, and to no relay', async () => {
  const rows: ReadonlyArray<readonly [found: readonly string[], origin: Origin, from: string, outcome: string]> = [
    [['dave@partner.example'], ALICE, 'alice@sip.example', 'sip'],
    [['juliet@xmpp.example'], ALICE, 'alice@sip.example', 'link'],
    [['x@stranger.example', 'dave@partner.example'], ALICE, 'alice@sip.example', 'sip'],
    [['x@stranger.example'], ALICE, 'alice@sip.example', 'peer-unknown'],
    [[], ALICE, 'alice@sip.example', 'recipient-unknown'],
    [['dave@partner.example'], { kind: 'link', link: 'office', domain: 'xmpp.example' }, 'juliet@xmpp.example', 'sender-forbidden'],
  ]; // prettier-ignore
  for (const [found, origin, from, outcome] of rows) {
    const { world, directory } = await aWorld();
    const accepted = codeOf(world.messages.accept(aMessage({ from, to: BOBS_NUMBER }), origin));
    await directory.answer(...found);
    const result = await accepted;
    await settled();
    const sent = world.sip.sent.length > 0 ? 'sip' : world.link.sent.length > 0 ? 'link' : undefined;
    assert.equal(sent ?? result, outcome);
    assert.deepEqual(directory.asked, [['+15551234', 'im']]);
  }
});

test('numbers: one that is looked up is not overtaken by the next, and others go on', async () => {
  const { world, directory } = await aWorld();
  const accepted = ['one', 'two', 'three'].map((id) => world.messages.accept(aMessage({ id, to: BOBS_NUMBER }), ALICE));
  void world.messages.accept(aMessage({ id: 'beside', to: 'dave@partner.example' }), ALICE);
  for (let turn = 0; turn < 5; turn++) await settled();
  assert.deepEqual(world.sip.ids, ['beside']);
  assert.equal(directory.asked.length, 1, 'the second waits for the first');
  await directory.answer('dave@partner.example');
  await directory.answer('dave@partner.example');
  await directory.answer('dave@partner.example');
  assert.deepEqual(await Promise.all(accepted), ['queued', 'queued', 'queued']);
  for (let turn = 0; turn < 10; turn++) await settled();
  assert.deepEqual(world.sip.ids, ['beside', 'one', 'two', 'three']);
});

test('numbers: one that has become a user, or is written otherwise, does not overtake what is being looked up', async () => {
  const { world, directory } = await aWorld();
  world.unknownUsers.add('+1-555-1234@sip.example');
  const accepted = [world.messages.accept(aMessage({ id: 'one', to: BOBS_NUMBER }), ALICE)];
  accepted.push(world.messages.accept(aMessage({ id: 'two', to: '+1-555-1234@sip.example' }), ALICE));
  world.unknownUsers.delete(BOBS_NUMBER);
  world.contacts.set(BOBS_NUMBER, [aBinding()]);
  accepted.push(world.messages.accept(aMessage({ id: 'three', to: BOBS_NUMBER }), ALICE));
  for (let turn = 0; turn < 5; turn++) await settled();
  assert.deepEqual([world.local.ids, directory.asked.length], [[], 1]);
  await directory.answer(BOBS_NUMBER);
  await directory.answer(BOBS_NUMBER);
  assert.deepEqual(await Promise.all(accepted), ['delivered', 'delivered', 'delivered']);
  assert.deepEqual(world.local.ids, ['one', 'two', 'three']);
  // With nothing under way it is there at once.
  const late = world.messages.accept(aMessage({ id: 'four', to: BOBS_NUMBER }), ALICE);
  await settled();
  assert.equal(world.local.ids.at(-1), 'four');
  await late;
});

test('numbers: a directory that cannot be asked is a failure for now', async () => {
  const { world, directory } = await aWorld();
  const accepted = codeOf(world.messages.accept(aMessage({ to: BOBS_NUMBER }), ALICE));
  await directory.fail(new GatewayError('recipient-unavailable', 'SERVFAIL'));
  assert.equal(await accepted, 'recipient-unavailable');
});

test('numbers: those that lead from one to the next end, and a circle is one', async () => {
  const { world, directory } = await aWorld();
  const good = codeOf(world.messages.accept(aMessage({ to: BOBS_NUMBER }), ALICE));
  await directory.answer('+15559999@sip.example');
  await directory.answer('dave@partner.example');
  assert.equal(await good, 'queued');
  const circle = codeOf(world.messages.accept(aMessage({ id: 'c', to: BOBS_NUMBER }), ALICE));
  for (let turn = 0; turn < 6; turn++) await directory.answer(turn % 2 === 0 ? '+15559999@sip.example' : BOBS_NUMBER);
  assert.equal(await circle, 'loop-detected');
});

test('numbers: an alias is the user himself, who is not named to the sender when it fails', async () => {
  for (const to of ['+15550001@sip.example', '+15550001@core.example', 'Sales@sip.example']) {
    const { world, directory } = await aWorld();
    const message = aMessage({ from: 'juliet@xmpp.example', to });
    assert.equal(
      await codeOf(world.messages.accept(message, { kind: 'link', link: 'office', domain: 'xmpp.example' })),
      'queued',
    );
    assert.deepEqual(directory.asked, []);
    const [{ id } = { id: '' }] = await world.queue.list({ limit: 1 });
    const operation = (await world.queue.show(id))?.operation;
    assert.equal(operation?.destination.address, 'bob@sip.example');
    assert.equal(operation.op === 'message' ? operation.writtenTo?.address : '', to);
  }
});

test('numbers: a number that is a user of ours is that user', async () => {
  const { world, directory } = await aWorld();
  assert.equal(await codeOf(world.messages.accept(aMessage({ to: '+15557777@sip.example' }), ALICE)), 'queued');
  assert.deepEqual(directory.asked, []);
});
