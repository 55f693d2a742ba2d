import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableJson } from '../../../src/cli/printable.ts';

const ROWS: ReadonlyArray<readonly [name: string, text: string, shown: string, json: string]> = [
  ['plain text', 'Grüße, 世界 🎉', 'Grüße, 世界 🎉', '"Grüße, 世界 🎉"'],
  ['an escape sequence', '\u001b[2J', ' [2J', '"\\u001b[2J"'],
  ['a C1 control', '\u009b2J', ' 2J', '"\\u009b2J"'],
  ['DEL', 'a\u007fb', 'a b', '"a\\u007fb"'],
  ['line breaks', 'a\r\nb', 'a  b', '"a\\r\\nb"'],
  ['marks of direction', '\u202eabc\u2069', ' abc ', '"\\u202eabc\\u2069"'],
  ['line and paragraph separators', 'a\u2028b\u2029c', 'a b c', '"a\\u2028b\\u2029c"'],
];
for (const [name, text, shown, json] of ROWS) {
  test(`printable: ${name}`, () => {
    assert.equal(printable(text), shown);
    assert.equal(printableJson(text), json);
    assert.deepEqual(JSON.parse(printableJson({ text })), { text });
  });
}
