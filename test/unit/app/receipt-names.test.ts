import assert from 'node:assert/strict';
import { test } from 'node:test';
import { receiptNames } from '../../../src/app/receipt-names.ts';
import type { Wants } from '../../../src/cpim/operation.ts';
import { aMessage, anAddress } from '../../support/builders.ts';

const names = receiptNames(Buffer.alloc(32, 1));
const wants: Wants = { as: 'imdn', id: '34jk324j', delivered: true, dateTime: '2006-04-04T12:16:49-05:00' };
const [alice, juliet] = [anAddress('alice@sip.example'), anAddress('juliet@xmpp.example')];
const named = (text: string | undefined): string => text ?? assert.fail('the message has no name');

test('receipt names: the same each time and after a restart; of others for another secret (1)', () => {
  const message = aMessage({ wants });
  assert.equal(names.nameOf(message), receiptNames(Buffer.alloc(32, 1)).nameOf(message));
  const other = receiptNames(Buffer.alloc(32, 2));
  assert.equal(other.read(named(names.nameOf(message)), juliet, alice), undefined);
  assert.equal(names.nameOf(aMessage()), undefined, 'nothing is asked for');
});

test('receipt names: give back what was named, to the two whose message it is alone (2)', () => {
  const source = { address: alice, instance: 'urn:uuid:f81d4fae' };
  const name = named(names.nameOf({ ...aMessage({ wants }), source }));
  assert.deepEqual(names.read(name, juliet, alice), { id: 'm1', wants, authorInstance: 'urn:uuid:f81d4fae' });
  assert.equal(names.read(name, anAddress('tybalt@xmpp.example'), alice), undefined);
  assert.equal(names.read(name, juliet, anAddress('bob@sip.example')), undefined);
  assert.equal(names.read(name, alice, juliet), undefined);
  const writtenTo = { address: anAddress('info@sip.example') };
  const toAlias = named(names.nameOf({ ...aMessage({ wants }), writtenTo }));
  assert.equal(names.read(toAlias, juliet, alice)?.writtenTo, 'info@sip.example');
});

test('receipt names: whatever was changed in one is nobody’s name (2)', () => {
  const name = named(names.nameOf(aMessage({ wants: { ...wants, as: 'stanza', displayed: true } })));
  for (let at = 0; at < name.length; at += 1) {
    const changed = `${name.slice(0, at)}${name[at] === 'A' ? 'B' : 'A'}${name.slice(at + 1)}`;
    assert.equal(names.read(changed, juliet, alice), undefined, `character ${at}`);
  }
  for (const text of ['', 'm1', 'm1.', `${name}A`, name.slice(0, -1), name.repeat(9), `.${name}`]) {
    assert.equal(names.read(text, juliet, alice), undefined, text);
  }
});

test('receipt names: tell nothing of how the author’s side calls the message, and are short (3, 4)', () => {
  const name = named(names.nameOf(aMessage({ wants: { ...wants, id: 'host.office.example' } })));
  assert.match(name, /^m1\.[A-Za-z0-9_-]+$/);
  const sealed = Buffer.from(name.slice(3), 'base64url');
  assert.equal(sealed.includes('office'), false);
  const longest = names.nameOf(aMessage({ id: 'x'.repeat(40), wants: { ...wants, id: 'i'.repeat(256) } }));
  assert.ok(named(longest).length <= 700);
});
