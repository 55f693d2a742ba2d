import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodeWire } from '../../src/core/nodes/node-ports.ts';
import { until } from '../support/until.ts';

export interface WireWorld {
  /** One for each node, all on one medium. */
  wire(): NodeWire;
  /** It cannot say that nobody listens. */
  readonly isSilent?: true;
  /** Cuts the way to every listener, and lets it be again. */
  interrupt(): Promise<void>;
  close(): Promise<void>;
}

type Heard = { readonly texts: string[]; interruptions: number };

/** The promises of NodeWire, run against one implementation. `make` gives a fresh world. */
export function nodeWireContract(name: string, make: () => Promise<WireWorld>, skip?: string): void {
  const promise = (title: string, body: (world: WireWorld) => Promise<void>): void => {
    void test(title, { skip: skip ?? false }, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };
  const listening = async (wire: NodeWire, run: string): Promise<Heard> => {
    const heard: Heard = { texts: [], interruptions: 0 };
    await wire.open(run, { onText: (text) => heard.texts.push(text), onInterrupted: () => (heard.interruptions += 1) });
    return heard;
  };

  describe(`${name} keeps the promises of NodeWire`, () => {
    promise('1: what is sent to a run arrives once, in order, whatever is in it', async (world) => {
      const [a, b] = [world.wire(), world.wire()];
      await listening(a, 'a');
      const heard = await listening(b, 'b');
      const texts = Array.from({ length: 300 }, (_, n) => `${n} \u00fc\ud83d\ude00 \r\n\u0000 "${'x'.repeat(n)}"`);
      await Promise.all(texts.map((text) => a.send('b', text)));
      await until(() => heard.texts.length === texts.length, { what: 'all texts came' });
      assert.deepEqual(heard.texts, texts);
    });

    promise('2: nobody who listens is said', async (world) => {
      const [a, b] = [world.wire(), world.wire()];
      await listening(a, 'a');
      assert.equal(await a.send('b', 'hello'), world.isSilent === true);
      await listening(b, 'b');
      assert.equal(await a.send('b', 'hello'), true);
      await b.close();
      if (world.isSilent === true) return;
      await until(async () => !(await a.send('b', 'hello')), { what: 'a closed one is gone' });
    });

    promise('3: what is for all reaches each but the sender', async (world) => {
      const wires = [world.wire(), world.wire(), world.wire()];
      const [a, b, c] = await Promise.all(wires.map((wire, n) => listening(wire, `n${n}`)));
      wires[0]?.sendAll('one two');
      await until(() => b?.texts.length === 1 && c?.texts.length === 1, { what: 'both have heard' });
      assert.deepEqual([a?.texts, b?.texts, c?.texts], [[], ['one two'], ['one two']]);
    });

    promise('4: one who may have missed something is told so when he hears again', async (world) => {
      const [a, b] = [world.wire(), world.wire()];
      await listening(a, 'a');
      const heard = await listening(b, 'b');
      await world.interrupt();
      await until(() => heard.interruptions > 0, { what: 'b was told', withinMs: 10_000 });
      await until(async () => (await a.send('b', 'again').catch(() => false)) && heard.texts.includes('again'), {
        what: 'b hears again',
        withinMs: 10_000,
      });
    });
  });
}
