import assert from 'node:assert/strict';
import test from 'node:test';
import { ERROR_CODES, GatewayError } from '../../../src/core/errors.ts';
import { failureReport, reportableOf } from '../../../src/core/failure-report.ts';
import { failureText } from '../../../src/core/failure-text.ts';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import { aMessage } from '../../support/builders.ts';

const EXCERPTS: ReadonlyArray<
  readonly [name: string, content: InstantMessage['content'], excerpt: string | undefined]
> = [
  ['a short text', { type: 'text/plain', text: 'hello' }, 'hello'],
  ['several lines', { type: 'text/plain', text: ' one\r\ntwo\tthree\u2028four ' }, 'one two three four'],
  ['exactly as long', { type: 'text/plain', text: 'a'.repeat(80) }, 'a'.repeat(80)],
  ['a longer text', { type: 'text/plain', text: 'a'.repeat(81) }, `${'a'.repeat(77)}...`],
  [
    'a cut within a character',
    { type: 'text/plain', text: `${'a'.repeat(76)}\u{1f600}${'b'.repeat(20)}` },
    `${'a'.repeat(76)}...`,
  ],
  ['control characters', { type: 'text/plain', text: 'a\u0000\u001b[31mb' }, 'a [31mb'],
  ['nothing but blanks', { type: 'text/plain', text: '\r\n ' }, undefined],
  ['no text', { type: 'image/png', base64: 'AAAA' }, undefined],
  ['HTML', { type: 'text/html', base64: btoa('<p>hello <b>you</b></p>') }, 'hello you'],
  ['another charset', { type: 'text/plain;charset=iso-8859-1', base64: btoa('caf\xe9') }, 'café'],
  ['text that is none in its charset', { type: 'text/plain;charset=shift_jis', base64: btoa('\x82') }, undefined],
];
for (const [name, content, excerpt] of EXCERPTS) {
  test(`report: first words of ${name}`, () => assert.equal(reportableOf(aMessage({ content })).excerpt, excerpt));
}

test('report: subject and first words of what message/cpim wraps', () => {
  const base64 = btoa('Subject: Of love\r\n\r\nContent-Type: text/plain\r\n\r\nNeither');
  const { subject, excerpt } = reportableOf(aMessage({ content: { type: 'message/cpim', base64 } }));
  assert.deepEqual({ subject, excerpt }, { subject: 'Of love', excerpt: 'Neither' });
});

const report = (
  id: string,
  error = new GatewayError('recipient-unknown', 'secret detail'),
): ReturnType<typeof failureReport> => failureReport(reportableOf(aMessage({ id })), error, 5, 10);

const IDS: ReadonlyArray<readonly [name: string, id: string]> = [
  ['a short id', 'm1'],
  ['the longest id that fits', 'a'.repeat(38)],
  ['a longer one', 'a'.repeat(39)],
  ['the longest id', `${'a'.repeat(20)}${'b'.repeat(20)}`],
];
for (const [name, id] of IDS) {
  test(`report: the id made from ${name} is a token of at most 40 characters, the same each time`, () => {
    assert.match(report(id).id, /^[A-Za-z0-9_-]{1,40}$/);
    assert.equal(report(id).id, report(id).id);
  });
}

test('report: ids that differ in one character only make reports that differ', () => {
  const ids = Array.from({ length: 40 }, (_, at) => report(`${'a'.repeat(at)}b${'a'.repeat(39 - at)}`).id);
  assert.equal(new Set(ids).size, 40);
});

test('report: nothing internal gets into it', () => {
  assert.doesNotMatch(JSON.stringify(report('m1')), /secret detail/);
});

test('report: what the far side said is quoted on one line, bounded', () => {
  const error = new GatewayError('recipient-unknown', 'x', {
    details: { text: `no\r\nInjected: yes ${'z'.repeat(1_000)}` },
  });
  const { text } = report('m1', error);
  assert.match(text ?? '', /^no Injected: yes z+$/);
  assert.equal(text?.length, 300);
});

const PLACES: ReadonlyArray<readonly [alternative: string, isTold: boolean]> = [
  ['sip:new@other.example;transport=tcp', true],
  ['xmpp:new@other.example/home', true],
  ['sip:new@other.example\r\nX: y', false],
  ['two words', false],
  [`sip:${'x'.repeat(600)}@other.example`, false],
];
for (const [alternative, isTold] of PLACES) {
  test(`report: ${JSON.stringify(alternative).slice(0, 50)} as the new address is ${isTold ? 'told' : 'left out'}`, () => {
    const error = new GatewayError('recipient-moved', 'x', { details: { alternative } });
    assert.equal(report('m1', error).alternative, isTold ? alternative : undefined);
  });
}

for (const code of ERROR_CODES) {
  test(`report: ${code} has words that say why`, () => {
    assert.match(failureText(code), /^[A-Z].{20,}\.$/);
  });
}

test('report: a code of another version has words too', () => {
  for (const code of ['from-the-future', '__proto__', 'constructor', '']) {
    assert.equal(failureText(code), failureText('peer-undefined'));
  }
});
