import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailedLogins } from '../../../src/sip/failed-logins.ts';
import { Nonces } from '../../../src/sip/nonces.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const REALM = 'sip.example';

test('nonce: each count is good once, in any order within 32', () => {
  const nonces = new Nonces({ clock: new FakeClock() });
  const nonce = nonces.issue(REALM);
  const uses: ReadonlyArray<readonly [count: number, isGood: boolean]> = [
    [1, true],
    [1, false],
    [3, true],
    [2, true],
    [2, false],
    [3, false],
    [40, true],
    [9, true],
    [8, false],
    [9, false],
    [39, true],
    [0xffffffff, true],
    [0xffffffff, false],
    [40, false],
  ];
  for (const [count, isGood] of uses) assert.equal(nonces.use(nonce, REALM, count), isGood, String(count));
});

test('nonce: a jump of exactly 32 forgets none of the counts it must not', () => {
  const nonces = new Nonces({ clock: new FakeClock() });
  const nonce = nonces.issue(REALM);
  assert.ok(nonces.use(nonce, REALM, 1));
  assert.ok(nonces.use(nonce, REALM, 32));
  assert.ok(!nonces.use(nonce, REALM, 1));
  assert.ok(nonces.use(nonce, REALM, 33));
  assert.ok(!nonces.use(nonce, REALM, 1));
  assert.ok(nonces.use(nonce, REALM, 2));
});

test('nonce: without a count it is good once', () => {
  const nonces = new Nonces({ clock: new FakeClock() });
  const nonce = nonces.issue(REALM);
  assert.ok(nonces.use(nonce, REALM, undefined));
  assert.ok(!nonces.use(nonce, REALM, undefined));
  assert.ok(!nonces.use(nonce, REALM, 1));
  const other = nonces.issue(REALM);
  assert.ok(nonces.use(other, REALM, 1));
  assert.ok(!nonces.use(other, REALM, undefined));
});

test('nonce: over after its lifetime', () => {
  const clock = new FakeClock();
  const nonces = new Nonces({ clock, lifetimeMs: 1_000 });
  const nonce = nonces.issue(REALM);
  clock.advance(999);
  assert.ok(nonces.use(nonce, REALM, 1));
  clock.advance(1);
  assert.ok(!nonces.use(nonce, REALM, 2));
});

const FOREIGN: ReadonlyArray<readonly [name: string, change: (nonce: string) => string]> = [
  ['of another process', () => new Nonces({ clock: new FakeClock() }).issue(REALM)],
  ['of another realm', (nonce) => nonce],
  ['with a changed time', (nonce) => `AAAAAAAA${nonce.slice(8)}`],
  ['with a changed seal', (nonce) => `${nonce.slice(0, -1)}${nonce.endsWith('A') ? 'B' : 'A'}`],
  ['cut', (nonce) => nonce.slice(0, -4)],
  ['in the other base64', (nonce) => `${nonce.slice(0, -1)}=`],
  ['empty', () => ''],
];
for (const [name, change] of FOREIGN) {
  test(`nonce: one ${name} is no good`, () => {
    const nonces = new Nonces({ clock: new FakeClock() });
    const nonce = nonces.issue(REALM);
    const realm = name === 'of another realm' ? 'other.example' : REALM;
    assert.ok(!nonces.use(change(nonce), realm, 1));
    assert.ok(nonces.use(nonce, REALM, 1));
  });
}

test('nonce: the table is bounded, and what was forgotten cannot be replayed', () => {
  const clock = new FakeClock();
  const nonces = new Nonces({ clock, rememberedMax: 10 });
  const first = nonces.issue(REALM);
  assert.ok(nonces.use(first, REALM, 1));
  for (let i = 0; i < 30; i++) {
    clock.advance(1);
    assert.ok(nonces.use(nonces.issue(REALM), REALM, 1));
  }
  assert.equal(nonces.remembered, 10);
  assert.ok(!nonces.use(first, REALM, 1));
  assert.ok(!nonces.use(first, REALM, 2));
});

test('nonce: challenges alone keep nothing', () => {
  const nonces = new Nonces({ clock: new FakeClock() });
  for (let i = 0; i < 1_000; i++) nonces.use(nonces.issue('other.example'), REALM, 1);
  assert.equal(nonces.remembered, 0);
});

test('wrong passwords: ten for one user from one address, then a minute of rest', () => {
  const clock = new FakeClock();
  const failed = new FailedLogins(clock);
  for (let i = 0; i < 10; i++) {
    assert.equal(failed.pauseSeconds('192.0.2.1', 'alice@sip.example'), 0);
    failed.add('192.0.2.1', 'alice@sip.example');
  }
  assert.equal(failed.pauseSeconds('192.0.2.1', 'alice@sip.example'), 60);
  assert.equal(failed.pauseSeconds('192.0.2.1', 'bob@sip.example'), 0);
  assert.equal(failed.pauseSeconds('192.0.2.2', 'alice@sip.example'), 0);
  clock.advance(59_500);
  assert.equal(failed.pauseSeconds('192.0.2.1', 'alice@sip.example'), 1);
  clock.advance(500);
  assert.equal(failed.pauseSeconds('192.0.2.1', 'alice@sip.example'), 0);
});

test('wrong passwords: a hundred from one address, whatever the users', () => {
  const failed = new FailedLogins(new FakeClock());
  for (let i = 0; i < 100; i++) failed.add('192.0.2.1', `u${i}@sip.example`);
  assert.equal(failed.pauseSeconds('192.0.2.1', 'alice@sip.example'), 60);
  assert.equal(failed.pauseSeconds('192.0.2.2', 'alice@sip.example'), 0);
});
