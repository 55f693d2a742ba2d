import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { createSecretBox } from '../../../src/store/secret-box.ts';
import { LogRecorder } from '../../support/log-recorder.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const key = (): string => randomBytes(32).toString('base64');

test('secret box: the key is made at first use, for its owner alone, and opens what it sealed', () => {
  const keyFile = join(temporaryFolder('secret-box'), 'data', 'account.key');
  const log = new LogRecorder();
  const box = createSecretBox({ keyFile, log });
  assert.equal(existsSync(keyFile), false);
  const sealed = box.seal('two households, ž', 'account a');
  assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  assert.ok(!JSON.stringify(sealed).includes('households'));
  assert.equal(createSecretBox({ keyFile, log }).open(sealed, 'account a'), 'two households, ž');
  assert.notDeepEqual(box.seal('two households, ž', 'account a'), sealed, 'the same secret looks different each time');
  assert.ok(!JSON.stringify(log.lines).includes(readFileSync(keyFile, 'utf8').trim()));
});

test('secret box: a key that several nodes share is not made by one of them', () => {
  const keyFile = join(temporaryFolder('secret-box'), 'account.key');
  const log = new LogRecorder();
  const box = createSecretBox({ keyFile, isMade: false, log });
  assert.throws(() => box.seal('secret', 'a'), /the key of the accounts is not in .*the same for every node/);
  assert.equal(existsSync(keyFile), false);
  writeFileSync(keyFile, key(), { mode: 0o600 });
  assert.equal(createSecretBox({ keyFile, log }).open(box.seal('secret', 'a'), 'a'), 'secret');
});

test('secret box: a secret opens for nothing else, and not when it was changed', () => {
  const box = createSecretBox({ keys: key(), keyFile: '', log: new LogRecorder() });
  const sealed = box.seal('secret', 'account a');
  assert.throws(() => box.open(sealed, 'account b'), /changed in the store, or belongs to another account/);
  const data = Buffer.from(sealed.data, 'base64');
  data[0] = (data[0] ?? 0) ^ 1;
  assert.throws(() => box.open({ ...sealed, data: data.toString('base64') }, 'account a'), /changed in the store/);
  assert.throws(() => box.open({ ...sealed, data: '' }, 'account a'), /changed in the store/);
});

test('secret box: a newer key takes over, older ones still open, and a missing one is named', () => {
  const folder = temporaryFolder('secret-box');
  const keyFile = join(folder, 'account.key');
  const log = new LogRecorder();
  const old = key();
  writeFileSync(keyFile, `${old}\n`, { mode: 0o600 });
  const sealed = createSecretBox({ keyFile, log }).seal('secret', 'a');
  writeFileSync(keyFile, `${key()}\n${old}\n`);
  const rotated = createSecretBox({ keyFile, log });
  assert.equal(rotated.open(sealed, 'a'), 'secret');
  assert.equal(rotated.isOld(sealed), true);
  assert.equal(rotated.isOld(rotated.seal('secret', 'a')), false);
  writeFileSync(keyFile, `${key()}\n`);
  assert.throws(
    () => createSecretBox({ keyFile, log }).open(sealed, 'a'),
    (thrown: unknown) => {
      const { code, message } = GatewayError.of(thrown);
      assert.equal(code, 'store-unavailable');
      assert.match(message, new RegExp(`the key ${sealed.key} .* is not in .*account\\.key: put it back`));
      return true;
    },
  );
});

test('secret box: what is no key is said, and a key that others can read is warned of', () => {
  const keyFile = join(temporaryFolder('secret-box'), 'account.key');
  const log = new LogRecorder();
  writeFileSync(keyFile, 'not a key\n', { mode: 0o600 });
  assert.throws(() => createSecretBox({ keyFile, log }).seal('secret', 'a'), /something else than keys of 32 bytes/);
  writeFileSync(keyFile, `${key()}\n`);
  chmodSync(keyFile, 0o644);
  createSecretBox({ keyFile, log }).seal('secret', 'a');
  assert.deepEqual(log.at('warn'), ['key of the accounts can be read by others: chmod 600']);
});
