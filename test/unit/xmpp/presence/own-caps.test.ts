import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capsHash } from '../../../../src/xmpp/presence/caps-hashes.ts';
import { instanceKind, infoOfCapsNode, OWN_CAPS } from '../../../../src/xmpp/presence/own-caps.ts';
import { isVerified } from '../../../../src/xmpp/presence/disco-info.ts';
import { aDevice, aDocument, aTuple } from '../../../support/presence-builders.ts';

test('caps: the hash of XEP-0390, section 4.4.1', () => {
  const features = `http://jabber.org/protocol/si http://jabber.org/protocol/bytestreams
    http://jabber.org/protocol/chatstates http://jabber.org/protocol/disco#info http://jabber.org/protocol/disco#items
    urn:xmpp:ping jabber:iq:time jabber:iq:privacy jabber:iq:version http://jabber.org/protocol/rosterx urn:xmpp:time
    jabber:x:oob http://jabber.org/protocol/ibb http://jabber.org/protocol/si/profile/file-transfer urn:xmpp:receipts
    jabber:iq:roster jabber:iq:last`.split(/\s+/);
  const identities = [{ category: 'client', type: 'mobile', name: 'BombusMod' }];
  assert.equal(capsHash({ identities, features, forms: [] }), 'kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=');
});

test('caps: what each kind of instance shows is what is answered at its nodes', () => {
  const vers = new Set<string>();
  for (const { info, caps } of Object.values(OWN_CAPS)) {
    vers.add(caps.ver);
    assert.equal(isVerified(caps, infoOfCapsNode(`${caps.node}#${caps.ver}`)!), true);
    assert.equal(infoOfCapsNode(`urn:xmpp:caps#sha-256.${capsHash(info)}`), info);
  }
  assert.equal(vers.size, 4);
  assert.equal(infoOfCapsNode('https://interpres.invalid/caps#other'), undefined);
});

const KINDS = [
  ['a service that says it is mobile', { mobility: { supported: ['mobile'] } }, 'mobile'],
  ['a service that says it is fixed', { mobility: { supported: ['fixed'] } }, 'fixed'],
  ['an automaton', { automata: true, mobility: { supported: ['fixed'] } }, 'automaton'],
  ['one that is not mobile', { mobility: { notSupported: ['mobile'] } }, 'unknown'],
] as const;
for (const [what, capabilities, kind] of KINDS) {
  test(`caps: ${what} is of the kind ${kind} (RFC 5196)`, () => {
    const own = aTuple({ capabilities });
    assert.equal(instanceKind(own, aDocument({ tuples: [own] })), kind);
    const byDevice = aTuple({ deviceIds: ['urn:x:1'] });
    const devices = [aDevice({ deviceId: 'urn:x:1', capabilities })];
    assert.equal(instanceKind(byDevice, aDocument({ tuples: [byDevice], devices })), kind);
  });
}
