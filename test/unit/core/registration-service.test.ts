import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import type { Binding, BindingStore } from '../../../src/core/ports.ts';
import {
  bindingsAfter,
  RegistrationService,
  type RegisterContact,
  type RegisterRequest,
} from '../../../src/core/registration-service.ts';
import { aBinding, anAddress } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const NOW = 1_700_000_000_000;
const LIMITS = { expires: { min: 60, default: 600, max: 7_200 }, contactsMax: 3 };
const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

const A = 'sip:alice@192.0.2.1';
const B = 'sip:alice@192.0.2.2';
const contacts = (...list: ReadonlyArray<string | RegisterContact>): RegisterContact[] =>
  list.map((contact) => (typeof contact === 'string' ? { uri: contact } : contact));
const request = (parts: Partial<RegisterRequest>): RegisterRequest => ({
  callId: 'c',
  cseq: 10,
  contacts: [],
  ...parts,
});
const stored = (contact: string, parts: Partial<Binding> = {}): Binding =>
  aBinding({ contact, callId: 'c', cseq: 1, expiresAtMs: NOW + 1_000, ...parts });

type Expected = string | ReadonlyArray<readonly [contact: string, secondsLeft: number]>;
const STEPS: ReadonlyArray<
  readonly [name: string, before: readonly Binding[], asked: Partial<RegisterRequest>, after: Expected]
> = [
  ['a first contact gets the default', [], { contacts: contacts(A) }, [[A, 600]]],
  ['the header is above the default', [], { contacts: contacts(A), expiresSeconds: 300 }, [[A, 300]]],
  [
    'the parameter is above the header',
    [],
    { contacts: contacts({ uri: A, expiresSeconds: 120 }), expiresSeconds: 300 },
    [[A, 120]],
  ],
  ['too long is shortened', [], { contacts: contacts(A), expiresSeconds: 4_294_967_295 }, [[A, 7_200]]],
  ['too brief is refused', [], { contacts: contacts(A), expiresSeconds: 59 }, 'interval-too-brief'],
  ['the least is taken', [], { contacts: contacts(A), expiresSeconds: 60 }, [[A, 60]]],
  [
    'several contacts',
    [],
    { contacts: contacts(A, { uri: B, expiresSeconds: 100 }) },
    [
      [A, 600],
      [B, 100],
    ],
  ],
  ['a contact is refreshed', [stored(A)], { contacts: contacts(A) }, [[A, 600]]],
  [
    'a contact written otherwise is the same',
    [stored(A)],
    { contacts: contacts('SIP:ALICE@192.0.2.1') },
    [['SIP:ALICE@192.0.2.1', 600]],
  ],
  [
    'another contact joins',
    [stored(A, { expiresAtMs: NOW + 5_000 })],
    { contacts: contacts(B) },
    [
      [A, 5],
      [B, 600],
    ],
  ],
  [
    'a contact is removed',
    [stored(A, { expiresAtMs: NOW + 5_000 }), stored(B)],
    { contacts: contacts({ uri: B, expiresSeconds: 0 }) },
    [[A, 5]],
  ],
  ['the header 0 removes', [stored(A)], { contacts: contacts(A), expiresSeconds: 0 }, []],
  ['removing what is not there is no fault', [], { contacts: contacts({ uri: B, expiresSeconds: 0 }) }, []],
  ['one removed, one added', [stored(A)], { contacts: contacts({ uri: A, expiresSeconds: 0 }, B) }, [[B, 600]]],
  ['* removes all', [stored(A), stored(B)], { contacts: '*', expiresSeconds: 0 }, []],
  ['* without Expires', [stored(A)], { contacts: '*' }, 'request-malformed'],
  ['* with an Expires above 0', [stored(A)], { contacts: '*', expiresSeconds: 60 }, 'request-malformed'],
  ['* that is older', [stored(A, { cseq: 10 })], { contacts: '*', expiresSeconds: 0 }, 'request-unexpected'],
  ['an older request', [stored(A, { cseq: 11 })], { contacts: contacts(A) }, 'request-unexpected'],
  ['the same CSeq again', [stored(A, { cseq: 10 })], { contacts: contacts(A) }, 'request-unexpected'],
  [
    'an older removal',
    [stored(A, { cseq: 11 })],
    { contacts: contacts({ uri: A, expiresSeconds: 0 }) },
    'request-unexpected',
  ],
  [
    'a lower CSeq of another Call-ID',
    [stored(A, { cseq: 11, callId: 'other' })],
    { contacts: contacts(A) },
    [[A, 600]],
  ],
  ['what has expired has no CSeq', [stored(A, { cseq: 11, expiresAtMs: NOW })], { contacts: contacts(A) }, [[A, 600]]],
  ['one fault changes nothing', [stored(A, { cseq: 11 })], { contacts: contacts(B, A) }, 'request-unexpected'],
  [
    'one contact twice is one, the last',
    [],
    { contacts: contacts({ uri: A, expiresSeconds: 100 }, { uri: A, expiresSeconds: 200 }) },
    [[A, 200]],
  ],
  [
    'as many as allowed',
    [stored(A)],
    { contacts: contacts(A, 'sip:b@h', 'sip:c@h') },
    [
      [A, 600],
      ['sip:b@h', 600],
      ['sip:c@h', 600],
    ],
  ],
  ['one too many', [stored(A)], { contacts: contacts(B, 'sip:b@h', 'sip:c@h') }, 'policy-violated'],
  [
    'expired ones do not count',
    [stored(A, { expiresAtMs: NOW - 1 })],
    { contacts: contacts(B, 'sip:b@h', 'sip:c@h') },
    [
      [B, 600],
      ['sip:b@h', 600],
      ['sip:c@h', 600],
    ],
  ],
];
for (const [name, before, asked, after] of STEPS) {
  test(`registration: ${name}`, () => {
    const step = (): readonly Binding[] => bindingsAfter(before, request(asked), LIMITS, NOW, same).bindings;
    if (typeof after === 'string') {
      assert.throws(step, (thrown) => thrown instanceof GatewayError && thrown.code === after);
    } else {
      assert.deepEqual(
        step().map((binding) => [binding.contact, (binding.expiresAtMs - NOW) / 1_000]),
        after,
      );
    }
  });
}

test('registration: what is too brief is told the least', () => {
  assert.throws(() => bindingsAfter([], request({ contacts: contacts(A), expiresSeconds: 1 }), LIMITS, NOW, same), {
    details: { minExpiresSeconds: 60 },
  });
});

test('registration: an hour is never too brief, whatever the least is (RFC 3261, section 10.3)', () => {
  const limits = { ...LIMITS, expires: { min: 7_000, default: 7_000, max: 7_200 } };
  const step = bindingsAfter([], request({ contacts: contacts(A), expiresSeconds: 3_600 }), limits, NOW, same);
  assert.equal(step.bindings[0]?.expiresAtMs, NOW + 3_600_000);
});

/** A BindingStore that takes its time. */
class SlowStore implements BindingStore {
  readonly kept = new Map<string, readonly Binding[]>();
  fails = false;
  of(userKey: string, nowMs: number): readonly Binding[] {
    return (this.kept.get(userKey) ?? []).filter((binding) => binding.expiresAtMs > nowMs);
  }
  async replace(userKey: string, bindings: readonly Binding[]): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.fails) throw new GatewayError('store-unavailable', 'disk full');
    this.kept.set(userKey, bindings);
  }
  users(): Iterable<string> {
    return this.kept.keys();
  }
  hasExpired(userKey: string, nowMs: number): boolean {
    return this.of(userKey, nowMs).length < (this.kept.get(userKey)?.length ?? 0);
  }
  removeExpired(userKey: string, nowMs: number): void {
    const live = this.of(userKey, nowMs);
    if (live.length === 0) this.kept.delete(userKey);
    else this.kept.set(userKey, live);
  }
  count(): number {
    return this.kept.size;
  }
}

type World = {
  readonly service: RegistrationService;
  readonly store: SlowStore;
  readonly woken: string[];
  readonly clock: FakeClock;
  /** What was reported, with the seconds since the start. */
  readonly seen: string[];
};

function aService(store = new SlowStore()): World {
  const woken: string[] = [];
  const clock = new FakeClock(NOW);
  const seen: string[] = [];
  const see = (what: string, userKey: string): void => {
    seen.push(`${(clock.nowMs() - NOW) / 1_000} ${what} ${userKey} ${store.of(userKey, clock.nowMs()).length}`);
  };
  const service = new RegistrationService({
    store,
    limits: LIMITS,
    sameContact: same,
    isFlowOpen: (flow) => flow !== 'gone',
    clock,
    log: new RecordingLog(),
    wake: (hop) => woken.push(hop),
    beforeChange: (userKey) => see('before', userKey),
    changed: (userKey) => see('changed', userKey),
  });
  return { service, store, woken, clock, seen };
}
const ALICE = anAddress('Alice@sip.example');

test('registration: a stored contact is found under the key of the user, and wakes what waits for him', async () => {
  const { service, woken } = aService();
  const after = await service.register(
    ALICE,
    request({ contacts: contacts({ uri: A, q: 500, instance: 'i' }), flow: 'f', userAgent: 'ua' }),
  );
  assert.deepEqual(after, [
    {
      contact: A,
      q: 500,
      expiresAtMs: NOW + 600_000,
      callId: 'c',
      cseq: 10,
      instance: 'i',
      flow: 'f',
      userAgent: 'ua',
      refreshedAtMs: NOW,
    },
  ]);
  assert.deepEqual(service.contactsOf('alice@sip.example'), after);
  assert.deepEqual(woken, ['user:alice@sip.example']);
});

test('registration: asking and removing wake nobody', async () => {
  const { service, woken } = aService();
  assert.deepEqual(await service.register(ALICE, request({})), []);
  await service.register(ALICE, request({ contacts: '*', expiresSeconds: 0 }));
  assert.deepEqual(woken, []);
});

test('registration: two at once of one user are both carried out', async () => {
  const { service } = aService();
  await Promise.all([
    service.register(ALICE, request({ callId: 'c1', contacts: contacts(A) })),
    service.register(ALICE, request({ callId: 'c2', contacts: contacts(B) })),
  ]);
  assert.deepEqual(
    service.contactsOf('alice@sip.example').map(({ contact }) => contact),
    [A, B],
  );
});

test('registration: one that the store refuses changes nothing, wakes nobody, and the next one goes on', async () => {
  const { service, store, woken } = aService();
  store.fails = true;
  const first = service.register(ALICE, request({ contacts: contacts(A) }));
  const second = service.register(ALICE, request({ contacts: contacts(B) }));
  await assert.rejects(first, { code: 'store-unavailable' });
  store.fails = false;
  await second;
  assert.deepEqual(
    service.contactsOf('alice@sip.example').map(({ contact }) => contact),
    [B],
  );
  assert.deepEqual(woken, ['user:alice@sip.example']);
});

test('registration: contacts come best first, expired ones not at all', async () => {
  const { service, clock } = aService();
  const list = contacts({ uri: A, q: 100, expiresSeconds: 100 }, { uri: B, q: 900 }, { uri: 'sip:c@h', q: 500 });
  await service.register(ALICE, request({ contacts: list }));
  assert.deepEqual(
    service.contactsOf('alice@sip.example').map(({ contact }) => contact),
    [B, 'sip:c@h', A],
  );
  clock.advance(100_000);
  assert.deepEqual(
    service.contactsOf('alice@sip.example').map(({ contact }) => contact),
    [B, 'sip:c@h'],
  );
});

test('registration: a change is announced before it is stored, and reported after', async () => {
  const { service, seen } = aService();
  await service.register(ALICE, request({ contacts: contacts(A) }));
  assert.deepEqual(seen, ['0 before alice@sip.example 0', '0 changed alice@sip.example 1']);
});

test('registration: a refresh is reported and not announced, a question neither', async () => {
  const { service, seen } = aService();
  await service.register(ALICE, request({ contacts: contacts(A, B) }));
  seen.length = 0;
  await service.register(ALICE, request({ cseq: 11, contacts: contacts(A) }));
  await service.register(ALICE, request({ cseq: 12 }));
  assert.deepEqual(seen, ['0 changed alice@sip.example 2']);
  await service.register(ALICE, request({ cseq: 13, contacts: contacts({ uri: A, q: 100 }) }));
  assert.deepEqual(seen.slice(1), ['0 before alice@sip.example 2', '0 changed alice@sip.example 2']);
});

test('registration: one that the store refuses is not reported', async () => {
  const { service, store, seen } = aService();
  store.fails = true;
  await assert.rejects(service.register(ALICE, request({ contacts: contacts(A) })), { code: 'store-unavailable' });
  assert.deepEqual(seen, ['0 before alice@sip.example 0']);
});

test('registration: each binding that expires is reported at its time, refreshed ones later', async () => {
  const { service, clock, seen, store } = aService();
  await service.register(ALICE, request({ contacts: contacts({ uri: A, expiresSeconds: 100 }, B) }));
  await service.register(ALICE, request({ cseq: 11, contacts: contacts({ uri: A, expiresSeconds: 200 }) }));
  seen.length = 0;
  await clock.advanceAsync(1_000_000);
  assert.deepEqual(seen, [
    '200 before alice@sip.example 1',
    '200 changed alice@sip.example 1',
    '600 before alice@sip.example 0',
    '600 changed alice@sip.example 0',
  ]);
  assert.deepEqual([...store.users()], []);
  assert.equal(clock.pending, 0);
});

test('registration: a binding that is removed expires no more', async () => {
  const { service, clock, seen } = aService();
  await service.register(ALICE, request({ contacts: contacts(A) }));
  await service.register(ALICE, request({ cseq: 11, contacts: '*', expiresSeconds: 0 }));
  seen.length = 0;
  await clock.advanceAsync(1_000_000);
  assert.deepEqual(seen, []);
});

test('registration: what was loaded expires too, at once where its time is past', async () => {
  const store = new SlowStore();
  store.kept.set('alice@sip.example', [stored(A, { expiresAtMs: NOW - 1 }), stored(B, { expiresAtMs: NOW + 50_000 })]);
  store.kept.set('bob@sip.example', [stored(A, { expiresAtMs: NOW - 1 })]);
  store.kept.set('carol@sip.example', [stored(A, { expiresAtMs: NOW + 60_000 })]);
  const { service, seen, clock } = aService(store);
  service.start();
  assert.deepEqual(seen, [
    '0 before alice@sip.example 1',
    '0 changed alice@sip.example 1',
    '0 before bob@sip.example 0',
    '0 changed bob@sip.example 0',
  ]);
  await clock.advanceAsync(100_000);
  assert.deepEqual(
    seen.slice(4).filter((line) => line.includes('changed')),
    ['50 changed alice@sip.example 0', '60 changed carol@sip.example 0'],
  );
});

test('registration: an expiry that comes while a refresh is being stored changes nothing', async () => {
  const { service, clock, seen } = aService();
  await service.register(ALICE, request({ contacts: contacts(A) }));
  clock.advance(599_999);
  const refresh = service.register(ALICE, request({ cseq: 11, contacts: contacts(A) }));
  clock.advance(1);
  await refresh;
  await clock.advanceAsync(0);
  assert.deepEqual(seen.slice(2), ['600 changed alice@sip.example 1']);
});

const PHONE: RegisterContact = { uri: A, instance: '<urn:uuid:1>', regId: 1 };

test('registration: each flow of an instance is a binding, whatever its contact; a new one takes its place', async () => {
  const { service } = aService();
  const register = (cseq: number, contact: RegisterContact) =>
    service.register(ALICE, request({ cseq, contacts: [contact], flow: `f${cseq}`, isFlowOnly: true }));
  await register(1, PHONE);
  await register(2, { ...PHONE, regId: 2 });
  await register(3, { ...PHONE, instance: '<urn:uuid:2>' });
  const after = await register(4, { ...PHONE, uri: B, instance: '<URN:UUID:1>' });
  assert.deepEqual(
    after.map(({ contact, flow, regId }) => [contact, flow, regId]),
    [
      [A, 'f2', 2],
      [A, 'f3', 1],
      [B, 'f4', 1],
    ],
  );
  await assert.rejects(register(4, { ...PHONE, uri: B }), { code: 'request-unexpected' });
});

test('registration: temporary addresses last as long as the Call-ID of their device', async () => {
  const { service, clock } = aService();
  const since = async (callId: string, cseq: number): Promise<number | undefined> => {
    clock.advance(1_000);
    const parts = { callId, cseq, contacts: [PHONE], hasGruu: true, flow: 'f' };
    return (await service.register(ALICE, request(parts)))[0]?.gruusSinceMs;
  };
  const first = await since('c1', 1);
  assert.equal(first, NOW + 1_000);
  assert.equal(await since('c1', 2), first);
  assert.equal(await since('c2', 1), NOW + 3_000);
});

test('registration: contacts whose connections are gone cannot be reached, and are over a minute later', async () => {
  const { service, clock, seen } = aService();
  service.start();
  const parts = { contacts: [PHONE], flow: 'gone', isFlowOnly: true };
  await service.register(ALICE, request(parts));
  await service.register(ALICE, request({ ...parts, cseq: 11, contacts: contacts(B), flow: 'open' }));
  const reached = (device?: string) => service.reachableOf('alice@sip.example', device).map(({ contact }) => contact);
  assert.deepEqual([reached(), reached('urn:uuid:1')], [[B], []]);
  seen.length = 0;
  await clock.advanceAsync(60_000);
  assert.equal(service.contactsOf('alice@sip.example').length, 2);
  await clock.advanceAsync(60_000);
  assert.deepEqual(
    service.contactsOf('alice@sip.example').map(({ contact }) => contact),
    [B],
  );
  assert.deepEqual(seen, ['120 before alice@sip.example 2', '120 changed alice@sip.example 1']);
  service.stop();
  assert.equal(clock.pending, 0);
});

test('registration: a phone that has come back in time keeps its contact', async () => {
  const { service, clock } = aService();
  service.start();
  const parts = { contacts: [PHONE], flow: 'gone', isFlowOnly: true };
  await service.register(ALICE, request(parts));
  await clock.advanceAsync(60_000);
  await service.register(ALICE, request({ ...parts, cseq: 11, flow: 'open' }));
  await clock.advanceAsync(120_000);
  assert.equal(service.reachableOf('alice@sip.example', 'URN:uuid:1').length, 1);
});
