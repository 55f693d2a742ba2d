import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callIdFromThread, threadFromCallId } from '../../../src/sip/map-call-id.ts';
import { anAddress } from '../../support/builders.ts';

const JULIET = anAddress('juliet@xmpp.example');
const ROMEO = anAddress('romeo@sip.example');
/** RFC 3261, section 25.1: word [ "@" word ]. */
const LEGAL = /^[A-Za-z0-9\-.!%*_+`'~()<>:\\"/[\]?{}]+(@[A-Za-z0-9\-.!%*_+`'~()<>:\\"/[\]?{}]+)?$/;

for (const thread of [
  '711609sa',
  'D9AA95FD-2BD5-46E2-AF0F-6CFAA96BDDFA',
  'f81d4fae@foo.bar.com',
  'a(b)<c>:\\"/[]?{}',
]) {
  test(`thread ${thread} is a Call-ID as it is`, () => {
    assert.equal(callIdFromThread(thread, JULIET, ROMEO), thread);
    assert.equal(threadFromCallId(thread, ROMEO, JULIET), thread);
  });
}

const OTHERS = [
  'a b',
  'a@b@c',
  '@',
  'é',
  '😀',
  'a;b',
  'a,b',
  'a=b',
  'x@interpres',
  '\u0000',
  'a\r\nX: y',
  'é'.repeat(192),
];
for (const thread of [...OTHERS, callIdFromThread(undefined, JULIET, ROMEO), callIdFromThread('a b', JULIET, ROMEO)]) {
  test(`thread ${JSON.stringify(thread).slice(0, 60)} comes back from a legal Call-ID`, () => {
    const callId = callIdFromThread(thread, JULIET, ROMEO);
    assert.match(callId, LEGAL);
    assert.notEqual(callId, thread);
    assert.equal(threadFromCallId(callId, ROMEO, JULIET), thread);
  });
}

test('without a thread two people share one Call-ID, in both directions, and it is no thread', () => {
  const callId = callIdFromThread(undefined, JULIET, ROMEO);
  assert.match(callId, LEGAL);
  assert.equal(callIdFromThread('', ROMEO, JULIET), callId);
  assert.notEqual(callIdFromThread(undefined, JULIET, anAddress('paris@sip.example')), callId);
  assert.equal(threadFromCallId(callId, ROMEO, JULIET), undefined);
});

test('the Call-ID of another pair is a thread like any', () => {
  const callId = callIdFromThread(undefined, JULIET, anAddress('paris@sip.example'));
  assert.equal(threadFromCallId(callId, ROMEO, JULIET), callId);
});

for (const callId of [
  'thread.@interpres',
  'thread.!!!@interpres',
  'thread.YWI@interpres',
  'thread._w@interpres',
  'other@interpres',
]) {
  test(`Call-ID ${callId} only looks like ours`, () => assert.equal(threadFromCallId(callId, ROMEO, JULIET), callId));
}

test('a thread too long for a header is hashed', () => {
  const callId = callIdFromThread('a b'.repeat(200), JULIET, ROMEO);
  assert.match(callId, LEGAL);
  assert.ok(callId.length < 80);
  assert.equal(threadFromCallId(callId, ROMEO, JULIET), callId);
});
