import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRfc3339, parseRfc3339 } from '../../../src/cpim/rfc3339.ts';

const READ: ReadonlyArray<readonly [text: string, atMs: number | undefined]> = [
  ['1985-04-12T23:20:50.52Z', Date.UTC(1985, 3, 12, 23, 20, 50, 520)],
  ['1996-12-19T16:39:57-08:00', Date.UTC(1996, 11, 20, 0, 39, 57)],
  ['1990-12-31T23:59:60Z', Date.UTC(1991, 0, 1)],
  ['1990-12-31T15:59:60-08:00', Date.UTC(1991, 0, 1)],
  ['1937-01-01T12:00:27.87+00:20', Date.UTC(1937, 0, 1, 11, 40, 27, 870)],
  ['2004-02-29t00:00:00z', Date.UTC(2004, 1, 29)],
  ['2004-08-01 12:00:00Z', Date.UTC(2004, 7, 1, 12)],
  ['2004-08-01T12:00:00.123456789Z', Date.UTC(2004, 7, 1, 12, 0, 0, 123)],
  ['2003-02-29T00:00:00Z', undefined],
  ['2003-13-01T00:00:00Z', undefined],
  ['2003-00-01T00:00:00Z', undefined],
  ['2003-01-01T24:00:00Z', undefined],
  ['2003-01-01T00:60:00Z', undefined],
  ['2003-01-01T00:00:61Z', undefined],
  ['2003-01-01T00:00:00+24:00', undefined],
  ['2003-01-01T00:00:00', undefined],
  ['2003-01-01', undefined],
  ['2003-01-01T00:00:00.Z', undefined],
  ['+02003-01-01T00:00:00Z', undefined],
  ['2003-01-01T00:00:00Z\n', undefined],
  ['', undefined],
];
for (const [text, atMs] of READ) {
  test(`RFC 3339 date and time: ${JSON.stringify(text)} (section 5.6)`, () => {
    assert.equal(parseRfc3339(text), atMs);
    if (atMs !== undefined) assert.equal(parseRfc3339(formatRfc3339(atMs)), atMs);
  });
}

test('RFC 3339 date and time: written in UTC', () => {
  assert.equal(formatRfc3339(Date.UTC(2004, 7, 1, 12)), '2004-08-01T12:00:00Z');
  assert.equal(formatRfc3339(Date.UTC(2004, 7, 1, 12, 0, 0, 5)), '2004-08-01T12:00:00.005Z');
});
