import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SipReply } from '../../../src/sip/message.ts';
import { paced, type PaceOptions } from '../../../src/sip/paced-handler.ts';
import type { SipHandler } from '../../../src/sip/stack.ts';
import { aRequest } from '../../support/sip-request.ts';

/** Handlers that answer when the test says so. */
class Stage {
  readonly begun: string[] = [];
  readonly answered: string[] = [];
  readonly #open = new Map<string, (reply: SipReply) => void>();
  readonly #pace: (handler: SipHandler) => SipHandler;

  constructor(options: PaceOptions) {
    this.#pace = paced(options);
  }

  ask(name: string, method = 'SUBSCRIBE'): void {
    const handler = this.#pace(() => {
      this.begun.push(name);
      return new Promise((resolve) => this.#open.set(name, resolve));
    });
    void handler(aRequest({ method })).then(({ status }) => this.answered.push(`${name} ${status}`));
  }

  answer(name: string): void {
    this.#open.get(name)?.({ status: 200 });
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('paced: with nothing to do a request is handled at once', async () => {
  const stage = new Stage({ perTurn: 2, underWayMax: 10 });
  stage.ask('a');
  assert.deepEqual(stage.begun, ['a']);
  stage.answer('a');
  await nextTurn();
  assert.deepEqual(stage.answered, ['a 200']);
});

test('paced: so many in a turn of the event loop, over all handlers, in the order in which they came', async () => {
  const stage = new Stage({ perTurn: 2, underWayMax: 10 });
  for (const name of ['a', 'b', 'c', 'd', 'e']) stage.ask(name, name === 'c' ? 'PUBLISH' : 'SUBSCRIBE');
  assert.deepEqual(stage.begun, ['a', 'b']);
  await nextTurn();
  assert.deepEqual(stage.begun, ['a', 'b', 'c', 'd']);
  // Whoever comes now does not overtake.
  stage.ask('f');
  assert.deepEqual(stage.begun, ['a', 'b', 'c', 'd']);
  await nextTurn();
  await nextTurn();
  assert.deepEqual(stage.begun, ['a', 'b', 'c', 'd', 'e', 'f']);
});

test('paced: no more under way than the bound, and each answer lets another begin', async () => {
  const stage = new Stage({ perTurn: 100, underWayMax: 2 });
  for (const name of ['a', 'b', 'c']) stage.ask(name);
  for (let turns = 0; turns < 5; turns += 1) await nextTurn();
  assert.deepEqual(stage.begun, ['a', 'b']);
  stage.answer('b');
  for (let turns = 0; turns < 2; turns += 1) await nextTurn();
  assert.deepEqual(stage.begun, ['a', 'b', 'c']);
  assert.deepEqual(stage.answered, ['b 200']);
});

test('paced: what a handler throws goes to whoever asked, and lets the next begin', async () => {
  const pace = paced({ perTurn: 1, underWayMax: 1 });
  const failing = pace(() => Promise.reject(new Error('refused')));
  const answers = await Promise.allSettled([1, 2, 3].map(() => failing(aRequest({ method: 'SUBSCRIBE' }))));
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
});

test('paced: thousands that wait all have their turn', async () => {
  const pace = paced({ perTurn: 500, underWayMax: 500 });
  let begun = 0;
  const handler = pace(async () => {
    begun += 1;
    return { status: 200 };
  });
  const replies = await Promise.all(Array.from({ length: 25_000 }, () => handler(aRequest({ method: 'SUBSCRIBE' }))));
  assert.equal(begun, 25_000);
  assert.ok(replies.every(({ status }) => status === 200));
});
