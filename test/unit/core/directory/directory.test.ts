import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Directory } from '../../../../src/core/directory/directory.ts';
import { pictureIn, type Profile, textFault } from '../../../../src/core/directory/profile.ts';
import { LastSeen } from '../../../../src/core/directory/last-seen.ts';
import { GatewayError } from '../../../../src/core/errors.ts';
import { anAddress } from '../../../support/builders.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';
import { MemoryRecordStore } from '../../../support/memory-records.ts';

const ALICE = anAddress('alice@sip.example');
const PNG = Buffer.from('\u0089PNG\r\n\u001a\n and more', 'latin1').toString('base64');

function aDirectory(store = new MemoryRecordStore()) {
  const told: string[] = [];
  const users = new Set<string>([ALICE]);
  const directory = new Directory({
    records: store.records<Profile>('profile'),
    isUser: (user) => users.has(user),
    avatarBytesMax: 1_024,
    sha1Of: (base64) => `sum of ${base64.length}`,
    beforeChange: (key) => void told.push(`before ${key}`),
    changed: (key) => void told.push(`changed ${key}`),
    log: new LogRecorder(),
  });
  return { directory, told, users, store };
}

const codeOf = (code: string) => (thrown: unknown) => thrown instanceof GatewayError && thrown.code === code;

test('directory: a change sets, takes away and leaves; watchers are told once for each', async () => {
  const { directory, told } = aDirectory();
  await directory.change(ALICE, { displayName: ' Alice ', email: 'a@mail.example', avatar: PNG });
  assert.deepEqual(directory.read(ALICE), {
    displayName: 'Alice',
    email: 'a@mail.example',
    avatar: { type: 'image/png', bytes: 17, base64: PNG, sha1: `sum of ${PNG.length}` },
  });
  await directory.change(ALICE, { email: null });
  assert.deepEqual(directory.cardOf('alice@sip.example'), {
    displayName: 'Alice',
    picture: { sha1: `sum of ${PNG.length}`, type: 'image/png', bytes: 17 },
  });
  assert.deepEqual(
    told,
    Array.from({ length: 2 }, () => ['before alice@sip.example', 'changed alice@sip.example']).flat(),
  );
});

test('directory: what is not right changes nothing', async () => {
  const { directory } = aDirectory();
  await directory.change(ALICE, { displayName: 'Alice' });
  await assert.rejects(directory.change(ALICE, { displayName: 'A', email: 'no mail' }), codeOf('request-malformed'));
  await assert.rejects(directory.change(ALICE, { avatar: 'PHN2Zz4=' }), codeOf('request-malformed'));
  const large = Buffer.concat([Buffer.from(PNG, 'base64'), Buffer.alloc(1_024)]).toString('base64');
  await assert.rejects(directory.change(ALICE, { avatar: large }), codeOf('content-too-large'));
  await assert.rejects(
    directory.change(anAddress('eve@sip.example'), { displayName: 'E' }),
    codeOf('recipient-unknown'),
  );
  assert.deepEqual(directory.read(ALICE), { displayName: 'Alice' });
});

test('directory: the next process knows it; one who is a user no more is forgotten at the start', async () => {
  const { directory, store } = aDirectory();
  await directory.change(ALICE, { displayName: 'Alice' });
  const next = aDirectory(store.crash());
  assert.deepEqual(next.directory.of('alice@sip.example'), { displayName: 'Alice' });
  next.users.clear();
  next.directory.sweep();
  assert.equal(next.directory.of('alice@sip.example'), undefined);
});

const PICTURES: ReadonlyArray<readonly [string, Buffer, string | undefined]> = [
  ['PNG', Buffer.from(PNG, 'base64'), 'image/png'],
  ['JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2]), 'image/jpeg'],
  ['GIF', Buffer.from('GIF89a..'), 'image/gif'],
  ['WebP', Buffer.concat([Buffer.from('RIFF'), Buffer.from([255, 255, 0, 0]), Buffer.from('WEBPVP8 ')]), 'image/webp'],
  ['SVG', Buffer.from('<svg onload="x"/>'), undefined],
  ['nothing', Buffer.alloc(0), undefined],
];
for (const [what, bytes, type] of PICTURES) {
  test(`picture: ${what} is ${type ?? 'none'}`, () => {
    assert.deepEqual(
      pictureIn(bytes.toString('base64')),
      type === undefined ? undefined : { type, bytes: bytes.length },
    );
  });
}

const TEXTS = [
  ['displayName', 'Ålice 李', true],
  ['displayName', 'two\nlines', false],
  ['displayName', 'x'.repeat(257), false],
  ['email', 'a@b', true],
  ['email', 'a b@c', false],
  ['phone', '+49 (30) 555-0100', true],
  ['phone', 'call me', false],
  ['homepage', 'https://a.example/', true],
  ['homepage', 'javascript:alert(1)', false],
] as const;
for (const [field, text, isRight] of TEXTS) {
  test(`profile: ${field} ${JSON.stringify(text.slice(0, 20))} is ${isRight ? 'right' : 'wrong'}`, () => {
    assert.equal(textFault(field, text) === undefined, isRight);
  });
}

test('last seen: when the last contact or publication went; known to the next process', () => {
  const store = new MemoryRecordStore();
  let nowMs = 1_000;
  const there = new Set(['a']);
  const open = (records: MemoryRecordStore): LastSeen =>
    new LastSeen({
      records: records.records('last-seen'),
      isThere: (key) => there.has(key),
      clock: { nowMs: () => nowMs },
    });
  const seen = open(store);
  seen.changed('a');
  assert.equal(seen.of('a'), undefined);
  there.clear();
  nowMs = 2_000;
  seen.changed('a');
  assert.equal(seen.of('a'), 2_000);
  assert.equal(open(store).of('a'), 2_000);
});
