import assert from 'node:assert/strict';
import test from 'node:test';
import { PresenceRules, parseRuleSubject } from '../../../../src/core/presence/presence-rules.ts';
import type { OwnerRules, Rule, RuleAction } from '../../../../src/core/presence/rules.ts';
import { ANONYMOUS } from '../../../../src/core/presence/subscription.ts';
import { anAddress } from '../../../support/builders.ts';
import { settled } from '../../../support/fake-clock.ts';
import { MemoryRecordStore } from '../../../support/memory-records.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

const SUBJECTS: ReadonlyArray<readonly [text: string, subject: string | undefined]> = [
  ['*', '*'],
  ['anonymous', 'anonymous'],
  ['juliet@xmpp.example', 'juliet@xmpp.example'],
  ['Juliet@XMPP.Example', 'juliet@xmpp.example'],
  ['J%C3%BClia@xmpp.example', 'j%C3%BClia@xmpp.example'],
  ['jülia@xmpp.example', 'j%C3%BClia@xmpp.example'],
  ['*@xmpp.example', '*@xmpp.example'],
  ['*@XMPP.Example.', '*@xmpp.example'],
  ['*@bücher.example', '*@xn--bcher-kva.example'],
  ['*@[2001:db8::1]', '*@[2001:db8::1]'],
  ['anonymous@anonymous.invalid', 'anonymous'],
  ['Anonymous@Anonymous.INVALID', 'anonymous'],
  ['', undefined],
  ['@', undefined],
  ['*@', undefined],
  ['**', undefined],
  ['*@*', undefined],
  ['xmpp.example', undefined],
  ['sip:juliet@xmpp.example', undefined],
  ['juliet@xmpp.example/balcony', undefined],
  ['juliet@', undefined],
  ['ju liet@xmpp.example', undefined],
  ['__proto__', undefined],
];
for (const [text, subject] of SUBJECTS) {
  test(`rules: subject ${JSON.stringify(text)} is ${subject ?? 'none'}`, () => {
    assert.equal(parseRuleSubject(text), subject);
    if (subject !== undefined) assert.equal(parseRuleSubject(subject), subject);
  });
}

const OWNER = anAddress('Alice@sip.example');
const OWNER_KEY = 'alice@sip.example';
const JULIET = anAddress('Juliet@xmpp.example');

type World = {
  readonly rules: PresenceRules;
  readonly store: MemoryRecordStore;
  readonly seen: string[];
};

function aWorld(defaultAction: RuleAction = 'confirm', store = new MemoryRecordStore()): World {
  const seen: string[] = [];
  const rules = new PresenceRules({
    records: store.records<OwnerRules>('rules'),
    defaultAction,
    log: new RecordingLog(),
    beforeChange: (ownerKey) => seen.push(`before ${ownerKey}`),
    changed: (ownerKey) => seen.push(`changed ${ownerKey}`),
  });
  return { rules, store, seen };
}

const allow: Rule = { action: 'allow' };
const block: Rule = { action: 'block' };
const polite: Rule = { action: 'polite-block' };
const confirm: Rule = { action: 'confirm' };
const where: Rule = { action: 'allow', showsLocation: true };

const DECISIONS: ReadonlyArray<
  readonly [
    name: string,
    rules: Readonly<Record<string, Rule>>,
    watcher: string,
    action: RuleAction,
    isOwnRule: boolean,
    defaultAction?: RuleAction,
  ]
> = [
  ['nobody has said anything', {}, 'juliet@xmpp.example', 'confirm', false],
  ['the configured default', {}, 'juliet@xmpp.example', 'allow', false, 'allow'],
  ['a rule for him', { 'juliet@xmpp.example': block }, 'juliet@xmpp.example', 'block', true],
  ['a rule for him, spelled otherwise', { 'juliet@xmpp.example': block }, 'JULIET@xmpp.example', 'block', true],
  ['a rule for another', { 'nurse@xmpp.example': block }, 'juliet@xmpp.example', 'confirm', false],
  ['a rule for his domain', { '*@xmpp.example': polite }, 'juliet@xmpp.example', 'polite-block', false],
  ['a rule for another domain', { '*@sub.xmpp.example': polite }, 'juliet@xmpp.example', 'confirm', false],
  ['a rule for everybody else', { '*': allow }, 'juliet@xmpp.example', 'allow', false],
  [
    'his own goes above that for his domain',
    { '*': block, '*@xmpp.example': block, 'juliet@xmpp.example': allow },
    'juliet@xmpp.example',
    'allow',
    true,
  ],
  [
    'that for his domain goes above that for everybody else',
    { '*': block, '*@xmpp.example': allow },
    'juliet@xmpp.example',
    'allow',
    false,
  ],
  ['anonymous without a rule is blocked', {}, ANONYMOUS, 'block', false],
  ['anonymous is blocked also where the default allows', {}, ANONYMOUS, 'block', false, 'allow'],
  ['anonymous is not everybody else', { '*': allow, '*@anonymous.invalid': allow }, ANONYMOUS, 'block', false],
  ['anonymous with a rule', { anonymous: polite }, ANONYMOUS, 'polite-block', true],
  ['the rule for anonymous is for nobody else', { anonymous: allow }, 'juliet@xmpp.example', 'confirm', false],
  ['the owner himself', { '*': block, '*@sip.example': block }, 'alice@sip.example', 'allow', false, 'block'],
  ['a domain that watches', { '*@xmpp.example': allow }, 'xmpp.example', 'allow', false],
  ['names of object properties are no rules', {}, 'constructor', 'confirm', false],
];
for (const [name, given, watcher, action, isOwnRule, defaultAction] of DECISIONS) {
  test(`rules: ${name}: ${action}`, async () => {
    const { rules } = aWorld(defaultAction);
    for (const [subject, rule] of Object.entries(given)) await rules.set(OWNER, subject, rule);
    const decision = rules.decide(OWNER_KEY, anAddress(watcher));
    assert.deepEqual([decision.action, decision.isOwnRule], [action, isOwnRule]);
  });
}

const LOCATION: ReadonlyArray<readonly [name: string, subject: string, rule: Rule, watcher: string, shows: boolean]> = [
  ['allowed alone', 'juliet@xmpp.example', allow, 'juliet@xmpp.example', false],
  ['allowed with it', 'juliet@xmpp.example', where, 'juliet@xmpp.example', true],
  ['by the rule for his domain', '*@xmpp.example', where, 'juliet@xmpp.example', true],
  ['not by the rule for others', 'nurse@xmpp.example', where, 'juliet@xmpp.example', false],
  ['the owner himself', 'juliet@xmpp.example', allow, 'alice@sip.example', true],
];
for (const [name, subject, rule, watcher, shows] of LOCATION) {
  test(`rules: location is ${shows ? '' : 'not '}shown, ${name}`, async () => {
    const { rules } = aWorld('allow');
    await rules.set(OWNER, subject, rule);
    assert.equal(rules.decide(OWNER_KEY, anAddress(watcher)).showsLocation === true, shows);
  });
}

const REFUSED: ReadonlyArray<readonly [name: string, subject: string, rule: Rule]> = [
  ['a subject not in its form', 'Juliet@xmpp.example', allow],
  ['no subject', 'nobody', allow],
  ['anonymous watchers to be confirmed', 'anonymous', confirm],
  ['location for one who is blocked', 'juliet@xmpp.example', { action: 'block', showsLocation: true }],
  ['location for one who is asked about', 'juliet@xmpp.example', { action: 'confirm', showsLocation: true }],
];
for (const [name, subject, rule] of REFUSED) {
  test(`rules: refused is ${name}`, async () => {
    const { rules, store, seen } = aWorld();
    await assert.rejects(rules.set(OWNER, subject, rule), { code: 'request-malformed' });
    assert.deepEqual([store.journal, seen], [[], []]);
  });
}

test('rules: a change is announced, made durable, counts, and is reported, in this order', async () => {
  const { rules, store, seen } = aWorld();
  store.holding = true;
  const set = rules.set(OWNER, 'juliet@xmpp.example', allow);
  await settled();
  assert.deepEqual(seen, ['before alice@sip.example']);
  assert.equal(rules.decide(OWNER_KEY, JULIET).action, 'confirm');
  await store.release();
  await set;
  assert.deepEqual(seen, ['before alice@sip.example', 'changed alice@sip.example']);
  assert.equal(rules.decide(OWNER_KEY, JULIET).action, 'allow');
});

test('rules: what was set is there after a crash', async () => {
  const { rules, store } = aWorld();
  await rules.set(OWNER, 'juliet@xmpp.example', where);
  await rules.set(OWNER, '*', block);
  await rules.setInvisible(OWNER, true);
  const after = aWorld('confirm', store.crash()).rules;
  assert.deepEqual(
    [...after.rulesOf(OWNER_KEY)],
    [
      ['juliet@xmpp.example', where],
      ['*', block],
    ],
  );
  assert.equal(after.isInvisible(OWNER_KEY), true);
  assert.equal(after.decide(OWNER_KEY, JULIET).showsLocation, true);
});

test('rules: two changes at once are both made', async () => {
  const { rules, store } = aWorld();
  await Promise.all([
    rules.set(OWNER, 'juliet@xmpp.example', allow),
    rules.set(OWNER, 'nurse@xmpp.example', block),
    rules.setInvisible(OWNER, true),
    rules.remove(OWNER, 'juliet@xmpp.example'),
  ]);
  const { rules: after } = aWorld('confirm', store.crash());
  assert.deepEqual([...after.rulesOf(OWNER_KEY).keys()], ['nurse@xmpp.example']);
  assert.equal(after.isInvisible(OWNER_KEY), true);
});

test('rules: a change that the store refuses counts for nothing', async () => {
  const { rules, store, seen } = aWorld();
  await rules.set(OWNER, 'juliet@xmpp.example', allow);
  store.failing = true;
  seen.length = 0;
  for (const change of [
    () => rules.set(OWNER, 'juliet@xmpp.example', block),
    () => rules.remove(OWNER, 'juliet@xmpp.example'),
    () => rules.setInvisible(OWNER, true),
  ]) {
    await assert.rejects(change(), { code: 'store-unavailable' });
  }
  assert.deepEqual([rules.decide(OWNER_KEY, JULIET).action, rules.isInvisible(OWNER_KEY)], ['allow', false]);
  assert.ok(!seen.some((line) => line.startsWith('changed')));
});

test('rules: remove says whether there was one, and the last one takes the record with it', async () => {
  const { rules, store, seen } = aWorld();
  await rules.set(OWNER, 'juliet@xmpp.example', allow);
  seen.length = 0;
  assert.equal(await rules.remove(OWNER, 'nurse@xmpp.example'), false);
  assert.deepEqual(seen, []);
  assert.equal(await rules.remove(OWNER, 'juliet@xmpp.example'), true);
  assert.deepEqual(seen, ['before alice@sip.example', 'changed alice@sip.example']);
  assert.equal(await rules.remove(OWNER, 'juliet@xmpp.example'), false);
  assert.deepEqual(store.calls('rules'), ['put alice@sip.example', 'remove alice@sip.example']);
});

test('rules: visibility is set once and back', async () => {
  const { rules, store, seen } = aWorld();
  assert.equal(rules.isInvisible(OWNER_KEY), false);
  await rules.setInvisible(OWNER, true);
  await rules.setInvisible(OWNER, true);
  assert.deepEqual(seen, ['before alice@sip.example', 'changed alice@sip.example']);
  await rules.setInvisible(OWNER, false);
  assert.equal(rules.isInvisible(OWNER_KEY), false);
  assert.deepEqual(store.calls('rules'), ['put alice@sip.example', 'remove alice@sip.example']);
});

test('rules: an owner has 10,000 at most, and may change those he has', async () => {
  const store = new MemoryRecordStore();
  const rules: Record<string, Rule> = {};
  for (let count = 0; count < 10_000; count += 1) rules[`w${count}@xmpp.example`] = allow;
  await store.records<OwnerRules>('rules').put(OWNER_KEY, { rules });
  const { rules: full } = aWorld('confirm', store);
  await assert.rejects(full.set(OWNER, 'juliet@xmpp.example', allow), { code: 'policy-violated' });
  await full.set(OWNER, 'w5@xmpp.example', block);
  assert.equal(full.decide(OWNER_KEY, anAddress('w5@xmpp.example')).action, 'block');
  await full.remove(OWNER, 'w6@xmpp.example');
  await full.set(OWNER, 'juliet@xmpp.example', allow);
  assert.equal(full.rulesOf(OWNER_KEY).size, 10_000);
});
