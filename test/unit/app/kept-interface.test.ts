import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { keptElsewhere, type MethodsOf, serveKept } from '../../../src/app/kept-interface.ts';
import { GatewayError } from '../../../src/core/errors.ts';

interface Desk {
  add(name: string, note?: string): Promise<string>;
  count(): number | Promise<number>;
}

const METHODS: MethodsOf<Desk> = { add: true, count: true };

/** The two ends, with what passes between nodes between them. */
function ends(kept: Desk) {
  let answer: (value: never) => unknown = () => undefined;
  serveKept(
    { serve: (_service, _kept, act) => void (answer = (value) => act(kept as never, value)) },
    'desk',
    METHODS,
    () => kept,
  );
  const ask = async (_service: string, value: unknown): Promise<unknown> =>
    answer(JSON.parse(JSON.stringify(value)) as never);
  return { far: keptElsewhere<Desk>({ ask }, 'desk', METHODS), ask };
}

test('kept interface: methods are called where it is kept, and what was left out stays out', async () => {
  class Kept implements Desk {
    readonly #added: unknown[] = [];
    add(...args: unknown[]): Promise<string> {
      this.#added.push(args);
      return Promise.resolve(JSON.stringify(args.map((arg) => arg === undefined)));
    }
    count(): number {
      return this.#added.length;
    }
  }
  const { far } = ends(new Kept());
  assert.equal(await far.add('a', 'b'), '[false,false]');
  assert.equal(await far.add('a', undefined), '[false,true]');
  assert.equal(await far.count(), 2);
});

test('kept interface: what it throws reaches the caller, and a method it does not have is refused', async () => {
  const { far, ask } = ends({
    add: () => Promise.reject(new GatewayError('conflict', 'there already')),
    count: () => 0,
  });
  await assert.rejects(far.add('a'), { code: 'conflict' });
  await assert.rejects(ask('desk', { method: 'toString', args: [] }), { code: 'feature-unsupported' });
});
