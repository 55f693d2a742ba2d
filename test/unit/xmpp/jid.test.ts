import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareJid, formatJid, type Jid, parseJid } from '../../../src/xmpp/jid.ts';
import { loadVectors } from '../../support/vectors.ts';

for (const vector of loadVectors<string, Jid | null>('rfc7247/rfc7622-jid')) {
  test(`jid: ${vector.id} (${vector.source})`, () => {
    assert.deepEqual(parseJid(vector.in) ?? null, vector.out);
  });
}

test('jid: parts of 1,023 bytes are the longest', () => {
  const longest = 'a'.repeat(1_023);
  assert.notEqual(parseJid(`${longest}@x.example/${longest}`), undefined);
  assert.equal(parseJid(`${longest}a@x.example`), undefined);
  assert.equal(parseJid(`a@x.example/${longest}a`), undefined);
  assert.equal(parseJid(`${'é'.repeat(512)}@x.example`), undefined);
  assert.equal(parseJid(`a@x.example/${'é'.repeat(512)}`), undefined);
});

test('jid: a written JID has its domain in U-labels and is read back the same', () => {
  const jid = parseJid('fü@XN--BCHER-KVA.example/Büro');
  assert.ok(jid !== undefined);
  assert.equal(formatJid(jid), 'fü@bücher.example/Büro');
  assert.deepEqual(parseJid(formatJid(jid)), jid);
});

test('jid: the bare JID has no resource', () => {
  assert.deepEqual(bareJid({ local: 'a', domain: 'x.example', resource: 'r' }), { local: 'a', domain: 'x.example' });
  assert.deepEqual(bareJid({ domain: 'x.example', resource: 'r' }), { domain: 'x.example' });
});
