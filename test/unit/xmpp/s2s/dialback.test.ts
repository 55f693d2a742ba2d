import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml, writeXml } from '../../../../src/cpim/xml.ts';
import {
  authoritativeAnswer,
  dialbackAnswer,
  dialbackElement,
  DialbackKeys,
  readDialback,
  type DialbackMessage,
} from '../../../../src/xmpp/s2s/dialback.ts';

// XEP-0185, section 4.
const keys = new DialbackKeys('s3cr3tf0rd14lb4ck');
const STREAM = { originating: 'example.org', receiving: 'xmpp.example.com', streamId: 'D60000229F' };
const KEY = '37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643';

test('dialback: the key is that of XEP-0185', () => {
  assert.equal(keys.keyFor(STREAM), KEY);
  assert.equal(keys.isKeyFor(STREAM, KEY), true);
});

for (const { what, stream, key } of [
  { what: 'another stream', stream: { ...STREAM, streamId: 'D60000229E' }, key: KEY },
  { what: 'another receiving domain', stream: { ...STREAM, receiving: 'evil.example' }, key: KEY },
  { what: 'another originating domain', stream: { ...STREAM, originating: 'evil.example' }, key: KEY },
  // CVE-2016-0756: a domain and a stream id that joined are the same letters.
  {
    what: 'the same letters divided in another way',
    stream: { originating: 'example.orgD6', receiving: 'xmpp.example.com', streamId: '0000229F' },
    key: KEY,
  },
  { what: 'a shorter key', stream: STREAM, key: KEY.slice(1) },
  { what: 'no key', stream: STREAM, key: '' },
  { what: 'other letters', stream: STREAM, key: 'é'.repeat(32) },
]) {
  test(`dialback: a key is not one for ${what}`, () => assert.equal(keys.isKeyFor(stream, key), false));
}

test('dialback: two secrets make two keys', () => {
  assert.notEqual(new DialbackKeys('a').keyFor(STREAM), new DialbackKeys('b').keyFor(STREAM));
});

const ELEMENTS: ReadonlyArray<readonly [string, string, DialbackMessage | undefined]> = [
  [
    'result',
    "<r from='a.example' to='B.example'>key</r>",
    { kind: 'result', from: 'a.example', to: 'b.example', key: 'key' },
  ],
  [
    'verify',
    "<r from='a.example' to='b.example' id='1'>key</r>",
    { kind: 'verify', from: 'a.example', to: 'b.example', id: '1', key: 'key' },
  ],
  [
    'result',
    "<r from='a.example' to='b.example' type='valid'/>",
    { kind: 'result', from: 'a.example', to: 'b.example', type: 'valid', key: '' },
  ],
  [
    'result',
    "<r from='a.example' to='b.example' type='error'><error><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></r>",
    { kind: 'result', from: 'a.example', to: 'b.example', type: 'error', key: '', condition: 'item-not-found' },
  ],
  ['verify', "<r from='a.example' to='b.example'>a key without an id</r>", undefined],
  ['result', "<r from='a.example' to='b.example'/>", undefined],
  ['result', "<r from='user@a.example' to='b.example'>key</r>", undefined],
  ['result', "<r to='b.example'>key</r>", undefined],
  ['result', "<r from='a.example' to='b.example' type='perhaps'>key</r>", undefined],
  ['result', `<r from='a.example' to='b.example'>${'k'.repeat(1_025)}</r>`, undefined],
  ['other', "<r from='a.example' to='b.example'>key</r>", undefined],
];

for (const [name, xml, want] of ELEMENTS) {
  test(`dialback: ${name} ${xml.slice(0, 70)} reads as ${want === undefined ? 'nothing' : (want.type ?? 'a question')}`, () => {
    assert.deepEqual(readDialback(name, readXml(xml)), want);
  });
}

test('dialback: an error has its condition and no key', () => {
  const question = { kind: 'verify', from: 'a.example', to: 'b.example', id: '1', key: 'k' } as const;
  assert.equal(
    writeXml(dialbackElement(dialbackAnswer(question, 'error', 'item-not-found'))),
    '<db:verify from="b.example" to="a.example" id="1" type="error"><error type="cancel"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></db:verify>',
  );
});

for (const { what, to, key, type } of [
  { what: 'its own key', to: STREAM.originating, key: KEY, type: 'valid' },
  { what: 'another key', to: STREAM.originating, key: KEY.replace('3', '4'), type: 'invalid' },
  { what: 'a domain that is not ours', to: 'evil.example', key: KEY, type: 'error' },
]) {
  test(`dialback: the authoritative server says of ${what}: ${type}`, () => {
    const question = { kind: 'verify', from: STREAM.receiving, to, id: STREAM.streamId, key } as const;
    const answer = authoritativeAnswer(question, keys, (domain) => domain === STREAM.originating);
    assert.equal(answer.type, type);
    assert.equal(answer.id, STREAM.streamId);
    assert.equal(answer.from, to);
  });
}
