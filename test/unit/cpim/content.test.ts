import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, type Content, contentFromBytes, mediaTypeOf } from '../../../src/cpim/content.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const FROM: ReadonlyArray<readonly [name: string, type: string, bytes: Buffer, content: Content]> = [
  ['no charset', 'text/plain', Buffer.from('f\u00FC'), { type: 'text/plain', text: 'f\u00FC' }],
  [
    'UTF-8',
    'text/plain;charset=UTF-8',
    Buffer.from('\u{1F600}'),
    { type: 'text/plain;charset=UTF-8', text: '\u{1F600}' },
  ],
  [
    'quoted charset',
    'Text/Plain; charset="utf-8"',
    Buffer.from('a'),
    { type: 'Text/Plain; charset="utf-8"', text: 'a' },
  ],
  ['US-ASCII', 'text/plain;charset=us-ascii', Buffer.from('a'), { type: 'text/plain;charset=us-ascii', text: 'a' }],
  ['empty', 'text/plain', Buffer.alloc(0), { type: 'text/plain', text: '' }],
  ['byte order mark kept', 'text/plain', Buffer.from('\uFEFFa'), { type: 'text/plain', text: '\uFEFFa' }],
  ['U+FFFD that is there', 'text/plain', Buffer.from('\uFFFD'), { type: 'text/plain', text: '\uFFFD' }],
  ['invalid UTF-8', 'text/plain', Buffer.from([0x66, 0xfc]), { type: 'text/plain', base64: 'Zvw=' }],
  ['overlong UTF-8', 'text/plain', Buffer.from([0xc0, 0xae]), { type: 'text/plain', base64: 'wK4=' }],
  [
    'another charset',
    'text/plain;charset=iso-8859-1',
    Buffer.from('a'),
    { type: 'text/plain;charset=iso-8859-1', base64: 'YQ==' },
  ],
  ['HTML', 'text/html', Buffer.from('a'), { type: 'text/html', base64: 'YQ==' }],
  ['message/cpim', 'message/cpim', Buffer.from('a'), { type: 'message/cpim', base64: 'YQ==' }],
  ['no type at all', '', Buffer.from('a'), { type: '', base64: 'YQ==' }],
];
for (const [name, type, bytes, content] of FROM) {
  test(`content: ${name}`, () => {
    assert.deepEqual(contentFromBytes(type, bytes), content);
    assert.deepEqual(Buffer.from(bytesOf(content)), bytes);
  });
}

test('content: a window of a larger buffer is taken over, not the buffer', () => {
  const window = new Uint8Array(Buffer.from('xxabxx').buffer.slice(0), 0, 0);
  assert.deepEqual(contentFromBytes('a/b', window), { type: 'a/b', base64: '' });
  const whole = Uint8Array.from(Buffer.from('xxabxx'));
  assert.deepEqual(contentFromBytes('a/b', whole.subarray(2, 4)), { type: 'a/b', base64: 'YWI=' });
  assert.deepEqual(contentFromBytes('text/plain', whole.subarray(2, 4)), { type: 'text/plain', text: 'ab' });
});

test('content: 2,000 random bodies come back byte for byte, through JSON as well (seed 2)', () => {
  const random = seededRandom(2);
  for (let round = 0; round < 2000; round += 1) {
    const bytes = Buffer.from(
      Array.from({ length: Math.floor(random() * 8) }, () => Math.floor(random() * (random() < 0.7 ? 0x80 : 0x100))),
    );
    const content = JSON.parse(JSON.stringify(contentFromBytes('text/plain', bytes))) as Content;
    assert.deepEqual(Buffer.from(bytesOf(content)), bytes);
  }
});

test('content: its media type', () => {
  assert.equal(mediaTypeOf('Text/HTML;charset=x')?.type, 'text/html');
  assert.equal(mediaTypeOf('nothing'), undefined);
});
