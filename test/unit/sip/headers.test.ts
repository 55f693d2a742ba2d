import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SipHeaderList, canonicalName, headerKindAt } from '../../../src/sip/headers.ts';

/** Every compact form of the IANA registry, and spellings of long names. */
const NAMES: ReadonlyArray<readonly [text: string, canonical: string]> = [
  ['i', 'Call-ID'],
  ['m', 'Contact'],
  ['e', 'Content-Encoding'],
  ['l', 'Content-Length'],
  ['c', 'Content-Type'],
  ['f', 'From'],
  ['s', 'Subject'],
  ['k', 'Supported'],
  ['t', 'To'],
  ['v', 'Via'],
  ['o', 'Event'],
  ['u', 'Allow-Events'],
  ['r', 'Refer-To'],
  ['b', 'Referred-By'],
  ['x', 'Session-Expires'],
  ['a', 'Accept-Contact'],
  ['j', 'Reject-Contact'],
  ['d', 'Request-Disposition'],
  ['y', 'Identity'],
  ['n', 'Identity-Info'],
  ['call-id', 'Call-ID'],
  ['CALL-ID', 'Call-ID'],
  ['cAlL-iD', 'Call-ID'],
  ['cseq', 'CSeq'],
  ['www-authenticate', 'WWW-Authenticate'],
  ['MaX-fOrWaRdS', 'Max-Forwards'],
  ['sip-etag', 'SIP-ETag'],
  ['p-asserted-identity', 'P-Asserted-Identity'],
];

for (const [text, canonical] of NAMES) {
  test(`header name: ${text} is ${canonical}`, () => {
    assert.equal(canonicalName(text), canonical);
    assert.equal(canonicalName(text.toUpperCase()), canonical);
    const bytes = Buffer.from(`..${text}..`);
    assert.equal(headerKindAt(bytes, 2, 2 + text.length)?.name, canonical);
  });
}

for (const text of ['X-Custom', 'z', 'Vi', 'Viaa', 'C%6Fntact', 'toString', '__proto__', 'x'.repeat(500), '']) {
  test(`header name: ${text.slice(0, 20)} is known to nobody and stays as it is`, () => {
    assert.equal(canonicalName(text), text);
    assert.equal(headerKindAt(Buffer.from(text), 0, text.length), undefined);
  });
}

test('header list: names meet in any spelling, values stay in order', () => {
  const headers = new SipHeaderList([
    ['v', 'SIP/2.0/UDP a'],
    ['X-Custom', '1'],
    ['VIA', 'SIP/2.0/UDP b'],
    ['x-custom', '2'],
    ['i', 'id'],
  ]);
  assert.deepEqual(headers.all('via'), ['SIP/2.0/UDP a', 'SIP/2.0/UDP b']);
  assert.equal(headers.get('Via'), 'SIP/2.0/UDP a');
  assert.equal(headers.get('CALL-ID'), 'id');
  assert.deepEqual(headers.all('X-CUSTOM'), ['1', '2']);
  assert.equal(headers.get('x-Custom'), '1');
  assert.equal(headers.get('To'), undefined);
  assert.deepEqual(headers.all('X-Other'), []);
  assert.deepEqual(
    headers.fields.map(([name]) => name),
    ['Via', 'X-Custom', 'Via', 'x-custom', 'Call-ID'],
  );
});
