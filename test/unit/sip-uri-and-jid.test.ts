import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entityFromUriText, sipUriFromEntity } from '../../src/sip/map-address.ts';
import { formatJid, parseJid } from '../../src/xmpp/jid.ts';
import { entityFromJid, jidFromEntity } from '../../src/xmpp/map-address.ts';

const DOMAINS = { domain: 'sip.example', name: 'sip.example' };

type Row = readonly [uri: string, jid: string | undefined, source: string, back?: string];
/** The whole way across, through the address in the middle; `back` where the URI comes back in another form. */
const ROWS: readonly Row[] = [
  ['sip:f%C3%BC@sip.example', 'fü@sip.example', 'RFC 7247, section 6.4'],
  ["sip:o'malley@sip.example", 'o\\27malley@sip.example', 'RFC 7247, section 6.4'],
  ['sip:foo@sip.example;gr=bar', 'foo@sip.example/bar', 'RFC 7247, section 6.4'],
  ['sip:m&m@xmpp.example', 'm\\26m@xmpp.example', 'RFC 7247, section 6.5'],
  ['sip:tsch%C3%BCss@xmpp.example', 'tschüss@xmpp.example', 'RFC 7247, section 6.5'],
  ['sip:baz@xmpp.example;gr=qux', 'baz@xmpp.example/qux', 'RFC 7247, section 6.5'],
  [
    'sip:here%27s_a_wild_%26_%2Fcr%25zy%2F_address@example.com',
    'here\\27s_a_wild_\\26_\\2fcr%zy\\2f_address@example.com',
    'XEP-0106, section 5.3',
    "sip:here's_a_wild_&_/cr%25zy/_address@example.com",
  ],
  ['sip:a%20%22%3A%3C%3E%40b@sip.example', 'a\\20\\22\\3a\\3c\\3e\\40b@sip.example', 'RFC 7247, section 6.2'],
  ['sip:%5C27@sip.example', '\\5c27@sip.example', 'XEP-0106, section 4.2: it must not come back as an apostrophe'],
  ['sip:c%3A%5Cnet@sip.example', 'c\\3a\\net@sip.example', 'XEP-0106, section 4.2'],
  [
    'sips:alice:secret@SIP.example:5061;transport=tcp?Subject=x',
    'alice@sip.example',
    'RFC 7247, section 6.4, step 1',
    'sip:alice@sip.example',
  ],
  ['sip:alice@sip.example;gr', 'alice@sip.example', 'RFC 7247, section 6.3: temporary', 'sip:alice@sip.example'],
  ['sip:sip.example', 'sip.example', 'RFC 7247, section 6.4, step 2'],
  ['sip:a@xn--bcher-kva.example', 'a@bücher.example', 'SIP has A-labels, XMPP U-labels'],
  ['sip:a%23%25%5B%5C%5D%5E%60%7B%7C%7D@x.example', 'a#%[\\]^`{|}@x.example', 'RFC 7247, section 6.5, step 5'],
  ["sip:!$&'()*+,-./;=?_~@x.example", '!$\\26\\27()*+,-.\\2f;=?_~@x.example', 'RFC 7247, section 6.2, table 1'],
  [
    'sip:a@x.example;gr=B%C3%BCro%20%22%3B%22%2F%40',
    'a@x.example/Büro ";"/@',
    'RFC 7247, section 6.5, step 8',
    'sip:a@x.example;gr=B%C3%BCro%20%22%3B%22/%40',
  ],
  ['sip:%20a@sip.example', undefined, 'XEP-0106, section 4.1'],
  ['sip:a%20@sip.example', undefined, 'XEP-0106, section 4.1'],
];
for (const [uri, jid, source, back = uri] of ROWS) {
  test(`${uri} is ${jid ?? 'no JID'} (${source})`, () => {
    const entity = entityFromUriText(uri);
    const mapped = jidFromEntity(entity, DOMAINS);
    assert.equal(mapped === undefined ? undefined : formatJid(mapped), jid);
    if (jid === undefined) return;
    const read = parseJid(jid);
    assert.ok(read !== undefined);
    const returned = entityFromJid(read, DOMAINS);
    assert.ok(returned !== undefined);
    assert.equal(sipUriFromEntity(returned), back);
    assert.deepEqual(returned, entity);
  });
}

for (const uri of [
  'sip:here%27s_a_wild_%26_%2Fcr%zy%2F_address@example.com',
  'sip:%C3%28@sip.example',
  'sip:%0Aa@x.example',
]) {
  test(`${uri} is refused`, () => assert.throws(() => entityFromUriText(uri), { code: 'address-malformed' }));
}
