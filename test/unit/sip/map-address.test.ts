import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFrom } from '../../../src/cpim/address.ts';
import type { Entity } from '../../../src/cpim/operation.ts';
import { GatewayError, type ErrorCode } from '../../../src/core/errors.ts';
import { parseNameAddr } from '../../../src/sip/header-values.ts';
import { contactUriFrom, entityFromUriText, sipUriFromEntity } from '../../../src/sip/map-address.ts';
import { parseSipUri } from '../../../src/sip/uri.ts';

const READ: ReadonlyArray<readonly [uri: string, address: string, instance?: string]> = [
  ['sip:f%C3%BC@sip.example', 'f%C3%BC@sip.example'],
  ["sip:o'malley@sip.example", 'o%27malley@sip.example'],
  ['sip:foo@sip.example;gr=bar', 'foo@sip.example', 'bar'],
  ['sip:m&m@xmpp.example', 'm%26m@xmpp.example'],
  ['sip:tsch%C3%BCss@xmpp.example', 'tsch%C3%BCss@xmpp.example'],
  ['sip:baz@xmpp.example;gr=qux', 'baz@xmpp.example', 'qux'],
  ['SIP:Alice@Sip.Example:5070;transport=tcp', 'Alice@sip.example'],
  ['sips:alice@sip.example', 'alice@sip.example'],
  ['sip:alice:secret@sip.example', 'alice@sip.example'],
  ['sip:sip.example', 'sip.example'],
  ['sip:alice@192.0.2.1', 'alice@192.0.2.1'],
  ['sip:alice@[2001:DB8::1]', 'alice@[2001:db8::1]'],
  ['sip:a%40b@sip.example', 'a%40b@sip.example'],
  ['sip:%61lice@sip.example', 'alice@sip.example'],
  ['sip:5%2522@sip.example', '5%2522@sip.example'],
  ['sip:alice@sip.example;gr', 'alice@sip.example'],
  ['sip:alice@sip.example;gr=caf%C3%A9%20bar', 'alice@sip.example', 'café bar'],
  [
    'sip:alice@sip.example;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
    'alice@sip.example',
    'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
  ],
  ['sip:alice;day=tuesday@sip.example', 'alice%3Bday=tuesday@sip.example'],
  ['sip:+15551234@sip.example;user=ip', '+15551234@sip.example'],
  ['pres:alice@sip.example', 'alice@sip.example'],
  ['PRES:%61lice@SIP.example?x=y', 'alice@sip.example'],
];
for (const [uri, address, instance] of READ) {
  test(`address from ${uri}`, () => {
    assert.deepEqual(entityFromUriText(uri), instance === undefined ? { address } : { address, instance });
  });
}

test('address from a header: gr outside of the brackets counts too', () => {
  const from = parseNameAddr('<sip:juliet@xmpp.example>;gr=balcony;tag=1');
  assert.ok(from);
  assert.deepEqual(entityFromUriText(from.uri, from.params), { address: 'juliet@xmpp.example', instance: 'balcony' });
});

const REFUSED: ReadonlyArray<readonly [uri: string, code: ErrorCode]> = [
  ['sip:+15551234@sip.example;user=phone', 'scheme-unsupported'],
  ['sip:+15551234@sip.example;user=PHONE', 'scheme-unsupported'],
  ['tel:+15551234', 'scheme-unsupported'],
  ['im:alice@sip.example', 'scheme-unsupported'],
  ['pres:', 'address-malformed'],
  ['pres:alice%00@sip.example', 'address-malformed'],
  ['sip:alice%00@sip.example', 'address-malformed'],
  ['sip:alice%00bob@sip.example', 'address-malformed'],
  ['sip:%C3@sip.example', 'address-malformed'],
  ['sip:a%0Ab@sip.example', 'address-malformed'],
  ['sip:a%C2%85b@sip.example', 'address-malformed'],
  ['sip:alice@sip_host.example', 'address-malformed'],
  ['sip:alice@sip.example;gr=a%00b', 'address-malformed'],
  ['sip:alice@sip.example;gr=%FF', 'address-malformed'],
  [`sip:${'a'.repeat(1024)}@sip.example`, 'address-malformed'],
  ['sip:@sip.example', 'address-malformed'],
];
for (const [uri, code] of REFUSED) {
  test(`no address: ${uri.slice(0, 60)} is ${code}`, () => {
    assert.throws(
      () => entityFromUriText(uri),
      (thrown) => thrown instanceof GatewayError && thrown.code === code,
    );
  });
}

const WRITTEN: ReadonlyArray<readonly [localpart: string | undefined, instance: string | undefined, uri: string]> = [
  ['m&m', undefined, 'sip:m&m@xmpp.example'],
  ['tschüss', undefined, 'sip:tsch%C3%BCss@xmpp.example'],
  ['baz', 'qux', 'sip:baz@xmpp.example;gr=qux'],
  ['a#b%c[d\\e]f^g`h{i|j}k', undefined, 'sip:a%23b%25c%5Bd%5Ce%5Df%5Eg%60h%7Bi%7Cj%7Dk@xmpp.example'],
  ['a "b:<c>@', undefined, 'sip:a%20%22b%3A%3Cc%3E%40@xmpp.example'],
  ["!$&'()*+,-./;=?_~", undefined, "sip:!$&'()*+,-./;=?_~@xmpp.example"],
  ['juliet', 'Büro; 1=2', 'sip:juliet@xmpp.example;gr=B%C3%BCro%3B%201%3D2'],
  [undefined, undefined, 'sip:xmpp.example'],
];
for (const [localpart, instance, uri] of WRITTEN) {
  test(`SIP URI ${uri}`, () => {
    const address = addressFrom(localpart, 'xmpp.example');
    assert.ok(address);
    assert.equal(sipUriFromEntity(instance === undefined ? { address } : { address, instance }), uri);
  });
}

test('every address and instance comes back from its SIP URI', () => {
  // Every character that is legal in a localpart, alone and between others, and a seeded mix of them.
  const characters: string[] = [];
  for (let code = 0x20; code < 0x7f; code++) characters.push(String.fromCharCode(code));
  characters.push('é', 'ß', 'İ', '中', '\u{1F600}', '\u05d0', '\u200d', '\uFF21', '%41', '%00', '\\27', ';gr=');
  const texts = characters.flatMap((character) => [character, `a${character}b`]);
  let seed = 12345;
  for (let i = 0; i < 500; i++) {
    let text = '';
    for (let n = 0; n <= i % 9; n++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      text += characters[(seed >>> 8) % characters.length] ?? '';
    }
    texts.push(text);
  }
  for (const text of texts) {
    for (const domain of ['xmpp.example', '192.0.2.7', '[2001:db8::7]', 'xn--bcher-kva.example']) {
      const entity = { address: addressFrom(text, domain)!, instance: text } satisfies Entity;
      assert.ok(entity.address, text);
      const written = sipUriFromEntity(entity);
      assert.ok(parseSipUri(written), written);
      assert.deepEqual(entityFromUriText(written), entity, written);
    }
  }
});

const MOVED: ReadonlyArray<readonly [alternative: string, contact: string | undefined]> = [
  ['sip:new@other.example;transport=tcp', 'sip:new@other.example;transport=tcp'],
  ['xmpp:new@other.example/home', 'sip:new@other.example'],
  ['xmpp:new@other.example?message', 'sip:new@other.example'],
  ['im:new@other.example', 'sip:new@other.example'],
  ['new@other.example', 'sip:new@other.example'],
  ['https://other.example/', undefined],
  ['sip:new@other.example>\r\nX: y', undefined],
];
for (const [alternative, contact] of MOVED) {
  test(`moved to ${JSON.stringify(alternative)}`, () => assert.equal(contactUriFrom(alternative), contact));
}
