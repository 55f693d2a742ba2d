import assert from 'node:assert/strict';
import { test } from 'node:test';
import { posixMatch } from '../../../../src/sip/enum/posix-regexp.ts';

/** The whole match and its groups; undefined: none. */
const rows: ReadonlyArray<readonly [pattern: string, text: string, groups: readonly string[] | undefined]> = [
  ['^.*$', '+15551234', ['+15551234']],
  ['^\\+1(.*)$', '+15551234', ['+15551234', '5551234']],
  ['^\\+44(.*)$', '+15551234', undefined],
  ['555', '+15551234', ['555']],
  ['^(\\+)([0-9]{3})([0-9]*)$', '+15551234', ['+15551234', '+', '155', '51234']],
  ['[[:digit:]]+', '+15551234', ['15551234']],
  ['[^0-9]', '+15551234', ['+']],
  ['[]x]', 'a]', [']']],
  ['[a-]', '-', ['-']],
  ['(a|ab)(c|bcd)', 'abcd', ['abcd', 'a', 'bcd']],
  ['(a*)*b', 'aaab', ['aaab', 'aaa']],
  ['(a|b)+', 'abab', ['abab', 'b']],
  ['a{2,3}', 'aaaa', ['aaa']],
  ['a{2}', 'aaaa', ['aa']],
  ['a{2,}', 'aaaa', ['aaaa']],
  ['x?y', 'y', ['y']],
  ['', 'abc', ['']],
  ['a\\.b', 'a.b', ['a.b']],
  ['a\\.b', 'axb', undefined],
  ['()', 'x', ['', '']],
  ['((x)|y)*', 'xy', ['xy', 'y', 'x']],
  // what cannot be read is nobody's pattern
  ['(', '(', undefined],
  [')', ')', undefined],
  ['*a', 'a', undefined],
  ['a{3,1}', 'aaa', undefined],
  ['a{', 'a{', undefined],
  ['[z-a]', 'b', undefined],
  ['[', '[', undefined],
  ['[[:x:]]', 'x', undefined],
  ['[[.a.]]', 'a', undefined],
  ['\\d', '1', undefined],
  ['(a)\\1', 'aa', undefined],
  ['a\\', 'a\\', undefined],
  ['(((((((((((a)))))))))))', 'a', undefined],
  ['()()()()()()()()()()', '', undefined],
];
for (const [pattern, text, groups] of rows) {
  test(`POSIX expression: ${JSON.stringify(pattern)} in ${text} is ${groups === undefined ? 'none' : JSON.stringify(groups)}`, () => {
    const match = posixMatch(pattern, text);
    const found = match?.groups.slice(0, groups?.length ?? 0).map((group) => group ?? '');
    assert.deepEqual(match === undefined ? undefined : found, groups);
  });
}

test('POSIX expression: capitals do not matter where the flag says so', () => {
  assert.equal(posixMatch('[a-c]+X', 'ABCx', true)?.end, 4);
  assert.equal(posixMatch('[A-C]+x', 'abcX', true)?.end, 4);
  assert.equal(posixMatch('abc', 'ABC'), undefined);
});

/** Those that drive others into an endless search. */
const evil = [
  '(a*)*b',
  '(a+)+$',
  '(a|a)*b',
  '(a|aa)+$',
  '((a*)*)*b',
  '(.*)*(.*)*(.*)*(.*)*x',
  '(a?){30}a{30}x',
  '(([a-z]+)*)+1',
];
for (const pattern of evil) {
  test(`POSIX expression: ${pattern} ends soon on a text that does not fit`, () => {
    const startedAtMs = performance.now();
    assert.equal(posixMatch(pattern, `${'a'.repeat(60)}!`), undefined);
    assert.ok(performance.now() - startedAtMs < 500);
  });
}

test('POSIX expression: neither long patterns nor long texts are looked at', () => {
  assert.equal(posixMatch('a'.repeat(256), 'a'), undefined);
  assert.equal(posixMatch('a', 'a'.repeat(65)), undefined);
});
