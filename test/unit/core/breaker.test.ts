import assert from 'node:assert/strict';
import test from 'node:test';
import { pauseMs } from '../../../src/core/backoff.ts';
import { Breaker } from '../../../src/core/breaker.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const PAUSES: ReadonlyArray<readonly [failures: number, random: number, ms: number]> = [
  [1, 1, 2_000],
  [1, 0, 1_000],
  [2, 1, 4_000],
  [3, 0.5, 6_000],
  [9, 1, 512_000],
  [10, 1, 600_000],
  [1_000_000, 0, 300_000],
  [0, 1, 2_000],
];
for (const [failures, random, ms] of PAUSES) {
  test(`backoff: after ${failures} failures with chance ${random} it is ${ms} ms`, () => {
    assert.equal(
      pauseMs({ firstMs: 2_000, maxMs: 600_000 }, failures, () => random),
      ms,
    );
  });
}

function aBreaker(): { breaker: Breaker; said: string[]; clock: FakeClock } {
  const clock = new FakeClock(0);
  const said: string[] = [];
  const say = (what: string) => (): void => void said.push(`${what} at ${clock.nowMs()}`);
  const breaker = new Breaker({
    clock,
    random: () => 1,
    opened: say('opened'),
    probe: say('probe'),
    closed: say('closed'),
  });
  return { breaker, said, clock };
}

/** One step of a breaker's life and what `admit` says after it. */
type Step = 'admit' | 'answered' | 'failed' | 'skipped' | number;
const LIVES: ReadonlyArray<readonly [name: string, steps: readonly Step[], said: readonly string[], admits: boolean]> =
  [
    ['new', [], [], true],
    ['answered', ['answered'], [], true],
    ['failed once', ['failed'], ['opened at 0'], false],
    ['failed many times at once', ['failed', 'failed', 'failed'], ['opened at 0'], false],
    ['after the first pause', ['failed', 1_000], ['opened at 0', 'probe at 1000'], true],
    ['just before it', ['failed', 999], ['opened at 0'], false],
    ['while it is tried', ['failed', 1_000, 'admit'], ['opened at 0', 'probe at 1000'], false],
    ['tried in vain', ['failed', 1_000, 'admit', 'failed'], ['opened at 0', 'probe at 1000'], false],
    [
      'tried twice',
      ['failed', 1_000, 'admit', 'failed', 2_000],
      ['opened at 0', 'probe at 1000', 'probe at 3000'],
      true,
    ],
    [
      'tried with success',
      ['failed', 1_000, 'admit', 'answered'],
      ['opened at 0', 'probe at 1000', 'closed at 1000'],
      true,
    ],
    ['a late answer while it is open', ['failed', 'answered', 60_000], ['opened at 0', 'closed at 0'], true],
    [
      'a probe that was not made',
      ['failed', 1_000, 'skipped', 1_000],
      ['opened at 0', 'probe at 1000', 'probe at 2000'],
      true,
    ],
    [
      'a probe that was made is not skipped',
      ['failed', 1_000, 'admit', 'skipped', 60_000],
      ['opened at 0', 'probe at 1000'],
      false,
    ],
    ['skipped while closed', ['skipped', 60_000], [], true],
  ];
for (const [name, steps, said, admits] of LIVES) {
  test(`breaker: ${name}: ${admits ? 'admits' : 'refuses'}`, () => {
    const world = aBreaker();
    for (const step of steps) {
      if (typeof step === 'number') world.clock.advance(step);
      else if (step === 'failed') world.breaker.failed(world.clock.nowMs());
      else world.breaker[step]();
    }
    assert.deepEqual(world.said, said);
    assert.equal(world.breaker.admit(), admits);
  });
}

test('breaker: tries become rarer up to every 30 s', () => {
  const { breaker, said, clock } = aBreaker();
  breaker.failed(0);
  for (let n = 0; n < 10; n++) {
    clock.advance(30_000);
    if (breaker.admit()) breaker.failed(clock.nowMs());
  }
  const probes = said.filter((line) => line.startsWith('probe')).map((line) => Number(line.slice('probe at '.length)));
  assert.ok(probes.length <= 11 && probes.length >= 9, said.join());
  assert.equal((probes.at(-1) ?? 0) - (probes.at(-2) ?? 0), 30_000);
});

test('breaker: after success a new failure begins with the first pause', () => {
  const { breaker, said, clock } = aBreaker();
  breaker.failed(0);
  clock.advance(1_000);
  breaker.admit();
  breaker.failed(clock.nowMs());
  clock.advance(2_000);
  breaker.admit();
  breaker.answered();
  clock.advance(1);
  breaker.failed(clock.nowMs());
  clock.advance(1_000);
  assert.equal(said.at(-1), 'probe at 4001');
});

test('breaker: one that answered others since an attempt began is not silent', () => {
  const { breaker, said, clock } = aBreaker();
  const startedAtMs = clock.nowMs();
  clock.advance(10_000);
  breaker.answered();
  clock.advance(22_000);
  breaker.failed(startedAtMs);
  assert.deepEqual(said, []);
  assert.equal(breaker.admit(), true);
});

test('breaker: a stopped one fires no more', () => {
  const { breaker, clock } = aBreaker();
  breaker.failed(0);
  breaker.stop();
  assert.equal(clock.pending, 0);
});
