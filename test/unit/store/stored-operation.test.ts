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

const disposition = {
  op: 'disposition',
  id: 'd-m',
  source: { address: 'a@b' },
  destination: { address: 'c@d' },
  acceptedAtMs: 1,
  expiresAtMs: 2,
  status: 'displayed',
  about: { as: 'imdn', id: 'm', dateTime: '2023-11-14T22:13:20Z' },
};
const asking = { ...message, wants: { as: 'stanza', id: 'x', delivered: true } };

for (const operation of [message, report, disposition, asking]) {
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
  ['a wish without a name', JSON.stringify({ ...asking, wants: { as: 'stanza' } })],
  ['a disposition without an end', JSON.stringify({ ...disposition, expiresAtMs: undefined })],
  ['a disposition of another kind', JSON.stringify({ ...disposition, status: 'read' })],
  ['a disposition about nothing', JSON.stringify({ ...disposition, about: { as: 'imdn' } })],
  ['a report about nothing', JSON.stringify({ ...report, about: undefined })],
];

for (const [what, text] of BROKEN) {
  test(`not read as an operation: ${what}`, () => {
    assert.equal(operationFromText(text), undefined);
  });
}
