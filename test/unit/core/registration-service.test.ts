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
  count(): number {
    return this.kept.size;
  }
}

function aService(): { service: RegistrationService; store: SlowStore; woken: string[]; clock: FakeClock } {
  const store = new SlowStore();
  const woken: string[] = [];
  const clock = new FakeClock(NOW);
  const service = new RegistrationService({
    store,
    limits: LIMITS,
    sameContact: same,
    clock,
    log: new RecordingLog(),
    wake: (hop) => woken.push(hop),
  });
  return { service, store, woken, clock };
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
