import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMediaType } from '../../../src/cpim/media-type.ts';

const READ: ReadonlyArray<readonly [value: string, type: string, params: Readonly<Record<string, string>>]> = [
  ['text/plain', 'text/plain', {}],
  ['Text/PLAIN', 'text/plain', {}],
  [' text / plain ', 'text/plain', {}],
  ['text/plain;charset=UTF-8', 'text/plain', { charset: 'UTF-8' }],
  ['text/plain ; Charset = "utf-8" ; format=flowed', 'text/plain', { charset: 'utf-8', format: 'flowed' }],
  ['text/plain;', 'text/plain', {}],
  ['text/plain;;charset=utf-8', 'text/plain', { charset: 'utf-8' }],
  ['text/plain;charset', 'text/plain', {}],
  ['text/plain;charset;format=flowed', 'text/plain', { format: 'flowed' }],
  ['multipart/mixed;boundary="a;b=\\"c\\\\"', 'multipart/mixed', { boundary: 'a;b="c\\' }],
  ['multipart/mixed;boundary=a/b=c?', 'multipart/mixed', { boundary: 'a/b=c?' }],
  ['text/plain;charset=a;charset=b', 'text/plain', { charset: 'a' }],
  ['text/plain;charset=""', 'text/plain', { charset: '' }],
  ['application/im-iscomposing+xml', 'application/im-iscomposing+xml', {}],
  ['text/plain;__proto__=x', 'text/plain', { ['__proto__']: 'x' }],
];
for (const [value, type, params] of READ) {
  test(`media type: ${JSON.stringify(value)}`, () => {
    const media = parseMediaType(value);
    assert.ok(media);
    assert.equal(media.type, type);
    assert.deepEqual([...media.params], Object.entries(params));
  });
}

const REFUSED = [
  '',
  'text',
  '/plain',
  'text/',
  'te xt/plain',
  'text/plain/x',
  'text/pl\u00E4in',
  'text/plain\u0000',
  'text/plain;charset="utf-8',
  'text/plain;charset="utf-8\\"',
  `text/${'x'.repeat(2000)}`,
  `text/plain${';a=b'.repeat(40)}`,
];
for (const value of REFUSED) {
  test(`media type refused: ${JSON.stringify(value.slice(0, 40))}`, () => {
    assert.equal(parseMediaType(value), undefined);
  });
}
