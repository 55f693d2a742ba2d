import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { Records } from '../../src/core/ports.ts';

export interface RecordsWorld {
  records<T>(kind: string): Records<T>;
  /** The process ends now, without a word: what a new one finds. */
  crash(): Promise<Pick<RecordsWorld, 'records'>>;
  /** Lets some milliseconds pass, and whatever is tried again be tried. */
  pass(): Promise<void>;
  setFailing(isFailing: boolean): Promise<void> | void;
  close(): Promise<void>;
}

type Lease = { readonly dialog: string; cseq: number };

/** Legal in an address, a pair of addresses or an entity-tag, or simply long. */
const KEYS: readonly string[] = [
  'alice@sip.example\njuliet@xmpp.example',
  '%C3%BC@xn--bcher-kva.example',
  'a',
  'A',
  "'; --",
  '\u{1f98a}',
  'x'.repeat(8_192),
];

/** The promises of Records, run against one implementation. `make` gives a fresh, empty world. */
export function recordsContract(name: string, make: () => Promise<RecordsWorld>): void {
  const promise = (title: string, body: (world: RecordsWorld) => Promise<void>): void => {
    void test(title, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };
  const found = <T>(records: Records<T>): Map<string, T> => new Map(records.all());
  const isUnavailable = (thrown: unknown): boolean =>
    thrown instanceof GatewayError && thrown.code === 'store-unavailable';

  describe(`${name} keeps the promises of Records`, () => {
    promise('1: what put and remove have resolved for is there after a crash', async (world) => {
      const records = world.records<Lease>('subscription');
      await records.put('one', { dialog: 'a', cseq: 1 });
      await records.put('two', { dialog: 'b', cseq: 1 });
      await records.put('one', { dialog: 'a', cseq: 2 });
      await records.remove('two');
      await records.remove('never there');
      assert.deepEqual(
        [...found((await world.crash()).records<Lease>('subscription'))],
        [['one', { dialog: 'a', cseq: 2 }]],
      );
    });

    promise('1: later is within some milliseconds', async (world) => {
      const records = world.records<number>('subscription');
      await records.put('old', 0);
      records.putLater('new', 1);
      records.removeLater('old');
      await world.pass();
      assert.deepEqual([...found((await world.crash()).records<number>('subscription'))], [['new', 1]]);
    });

    promise('1: later is with the next that somebody waits for', async (world) => {
      const records = world.records<number>('subscription');
      records.putLater('later', 1);
      await world.records<number>('rules').put('other', 2);
      assert.deepEqual([...found((await world.crash()).records<number>('subscription'))], [['later', 1]]);
    });

    promise('2: what a crash leaves is a state that was given, over all kinds', async (world) => {
      const kinds = [world.records<number>('subscription'), world.records<number>('unsettled')];
      const puts: Array<Promise<void>> = [];
      let resolved = 0;
      for (let n = 1; n <= 300; n += 1) {
        const records = kinds[n % 2]!;
        if (n % 50 === 0) {
          puts.push(records.put(String(n), n).then(() => void (resolved = n)));
          if (n % 100 === 0) await puts.at(-1);
        } else records.putLater(String(n), n);
        if (n % 60 !== 0) continue;
        const known = resolved;
        const after = await world.crash();
        const left = ['subscription', 'unsettled'].flatMap((kind) => [...found(after.records<number>(kind)).values()]);
        assert.deepEqual(
          left.sort((a, b) => a - b),
          Array.from({ length: left.length }, (_, at) => at + 1),
        );
        assert.ok(left.length >= known, `${left.length} of ${n}, ${known} were promised`);
      }
      await Promise.all(puts);
    });

    promise('2: the last of several changes of one record counts', async (world) => {
      const records = world.records<number>('subscription');
      records.putLater('changed', 1);
      records.putLater('removed', 1);
      records.putLater('back', 1);
      records.removeLater('removed');
      records.removeLater('back');
      records.putLater('back', 2);
      await records.put('changed', 2);
      records.removeLater('never there');
      assert.deepEqual(
        found((await world.crash()).records<number>('subscription')),
        new Map([
          ['changed', 2],
          ['back', 2],
        ]),
      );
    });

    promise('3: all gives what was put and not removed, of its kind, whatever the key', async (world) => {
      const records = world.records<{ n: number }>('subscription');
      await world.records<string>('rules').put('a', 'of another kind');
      await Promise.all(KEYS.map((key, n) => records.put(key, { n })));
      await records.remove(KEYS[2]!);
      const expected = new Map(KEYS.map((key, n) => [key, { n }]));
      expected.delete(KEYS[2]!);
      assert.deepEqual(found(records), expected);
      assert.deepEqual(found((await world.crash()).records<{ n: number }>('subscription')), expected);
      assert.deepEqual([...world.records<string>('rules').all()], [['a', 'of another kind']]);
      assert.deepEqual([...world.records('nothing').all()], []);
    });

    promise('3: all gives thousands, while others write', async (world) => {
      const records = world.records<number>('subscription');
      const count = 2_500;
      for (let n = 1; n < count; n += 1) records.putLater(`key-${n}`, n);
      await records.put('key-0', 0);
      const seen: number[] = [];
      for (const [, value] of records.all()) {
        if (seen.length === 1_000) await world.records<number>('rules').put('meanwhile', 1);
        seen.push(value);
      }
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: count }, (_, n) => n),
      );
    });

    promise('3: a value is kept as it was when it was given', async (world) => {
      const records = world.records<Lease>('subscription');
      const lease: Lease = { dialog: 'a', cseq: 1 };
      const put = records.put('one', lease);
      records.putLater('two', lease);
      lease.cseq = 99;
      await put;
      await world.pass();
      assert.deepEqual(
        [...found(records).values()].map(({ cseq }) => cseq),
        [1, 1],
      );
    });

    promise(
      '4: while the medium fails put and remove are refused, and later ones go when it works again',
      async (world) => {
        const records = world.records<number>('subscription');
        await records.put('old', 0);
        await world.setFailing(true);
        await assert.rejects(records.put('refused', 1), isUnavailable);
        await assert.rejects(records.remove('old'), isUnavailable);
        records.putLater('kept', 1);
        records.putLater('kept', 2);
        records.putLater('gone', 1);
        records.removeLater('gone');
        await world.pass();
        await assert.rejects(records.put('refused', 2), isUnavailable);
        assert.deepEqual([...found((await world.crash()).records<number>('subscription'))], [['old', 0]]);
        await world.setFailing(false);
        await world.pass();
        await records.put('new', 3);
        assert.deepEqual(
          found((await world.crash()).records<number>('subscription')),
          new Map([
            ['old', 0],
            ['kept', 2],
            ['new', 3],
          ]),
        );
      },
    );
  });
}
