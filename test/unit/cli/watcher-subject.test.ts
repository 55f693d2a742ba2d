import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandError } from '../../../src/cli/command-error.ts';
import { subjectNamed } from '../../../src/cli/watcher-subject.ts';

const SUBJECTS: ReadonlyArray<readonly [text: string, subject: string]> = [
  ['sip:bob@partner.example', 'bob@partner.example'],
  ['SIPS:Bob@Partner.Example', 'bob@partner.example'],
  ['sip:f%C3%BC@sip.example', 'f%C3%BC@sip.example'],
  ['sip:fü@sip.example', 'f%C3%BC@sip.example'],
  ['juliet@xmpp.example', 'juliet@xmpp.example'],
  ['Juliet@XMPP.example', 'juliet@xmpp.example'],
  ['fü@bücher.example', 'f%C3%BC@xn--bcher-kva.example'],
  ['d%27artagnan@xmpp.example', 'd%27artagnan@xmpp.example'],
  ["d'artagnan@xmpp.example", 'd%27artagnan@xmpp.example'],
  ['d\\27artagnan@xmpp.example', 'd%27artagnan@xmpp.example'],
  ['room\\20of\\40all@xmpp.example', 'room%20of%40all@xmpp.example'],
  ['anonymous', 'anonymous'],
  ['anonymous@anonymous.invalid', 'anonymous'],
  ['*', '*'],
  ['*@Partner.example', '*@partner.example'],
];
for (const [text, subject] of SUBJECTS) {
  test(`watcher named ${text}: ${subject}`, () => assert.equal(subjectNamed(text), subject));
}

const NONE: readonly string[] = [
  '',
  'juliet',
  'xmpp.example',
  'sip:xmpp.example',
  'sip:bob@partner.example:5060',
  'sip:bob@partner.example;transport=tcp',
  'sip:*',
  'tel:+15550100',
  'xmpp:juliet@xmpp.example',
  'juliet@xmpp.example/balcony',
  'd\\27artagnan@xmpp.example/x',
  '*@',
  '*@a b',
  '**',
  'a b@xmpp.example',
  '<sip:bob@partner.example>',
];
for (const text of NONE) {
  test(`watcher named ${text || '(nothing)'}: none`, () => {
    assert.throws(
      () => subjectNamed(text),
      (thrown) => thrown instanceof CommandError && thrown.exitCode === 2 && thrown.message.includes(`${text} is no`),
    );
  });
}
