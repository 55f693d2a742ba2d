import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationFromText } from '../../../src/store/stored-operation.ts';
import { anEntry } from '../../contract/delivery-queue.ts';

const message = anEntry({ id: 'm' }, 1_000).operation;
const report = {
  op: 'report',
  id: 'r',
  source: { address: 'a@b' },
  destination: { address: 'c@d', instance: 'x' },
  acceptedAtMs: 1,
  about: { id: 'm' },
  code: 'recipient-moved',
  alternative: 'sip:c@new.example',
};

for (const operation of [message, report]) {
  test(`a stored ${operation.op} comes back equal`, () => {
    assert.deepEqual(operationFromText(JSON.stringify(operation)), operation);
  });
}

const BROKEN: ReadonlyArray<readonly [what: string, text: unknown]> = [
  ['no text', null],
  ['no JSON', '{"op":"mess'],
  ['an array', '[]'],
  ['null', 'null'],
  ['another operation', JSON.stringify({ ...message, op: 'notify' })],
  ['no id', JSON.stringify({ ...message, id: 7 })],
  ['a source that is a text', JSON.stringify({ ...message, source: 'a@b' })],
  ['no content', JSON.stringify({ ...message, content: undefined })],
  ['content without text or bytes', JSON.stringify({ ...message, content: { type: 'text/plain' } })],
  ['a time that is a text', JSON.stringify({ ...message, acceptedAtMs: 'now' })],
  ['a subject that is a text', JSON.stringify({ ...message, subjects: ['s'] })],
  ['an extra of three parts', JSON.stringify({ ...message, extras: [['a', 'b', 'c']] })],
  ['a new address that is none', JSON.stringify({ ...report, alternative: 7 })],
  ['a report about nothing', JSON.stringify({ ...report, about: undefined })],
];

for (const [what, text] of BROKEN) {
  test(`not read as an operation: ${what}`, () => {
    assert.equal(operationFromText(text), undefined);
  });
}
