import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeXml } from '../../../../src/cpim/xml.ts';
import { emptyPayload, pepFromDocument } from '../../../../src/xmpp/presence/map-pep.ts';
import { presenceChanges, presencesFromDocument } from '../../../../src/xmpp/presence/map-presence.ts';
import { pepMessage } from '../../../../src/xmpp/presence/pep-event.ts';
import { AVATAR_METADATA_NODE } from '../../../../src/xmpp/presence/pep-nodes.ts';
import { aDocument, aPerson } from '../../../support/presence-builders.ts';
import { anAddress } from '../../../support/builders.ts';
import { compose } from '../../../../src/core/presence/compositor.ts';
import { writePidf } from '../../../../src/cpim/presence/pidf.ts';

const PICTURE = { sha1: 'ab12', type: 'image/png', bytes: 17 };
const withPicture = (picture: typeof PICTURE | 'none') =>
  aDocument({ persons: [aPerson({ card: { displayName: 'Alice', picture } })] });

test('picture: an event names it, and one that is taken away says so (XEP-0084, section 4.2)', () => {
  const [from, to] = [
    { local: 'a', domain: 'sip.example' },
    { local: 'j', domain: 'xmpp.example', resource: 'r' },
  ];
  const payload = pepFromDocument(withPicture(PICTURE)).get(AVATAR_METADATA_NODE);
  assert.equal(
    writeXml(pepMessage(from, to, AVATAR_METADATA_NODE, payload!)),
    '<message from="a@sip.example" to="j@xmpp.example/r" type="headline"><event xmlns="http://jabber.org/protocol/pubsub#event"><items node="urn:xmpp:avatar:metadata"><item id="ab12"><metadata xmlns="urn:xmpp:avatar:metadata"><info id="ab12" type="image/png" bytes="17"/></metadata></item></items></event></message>',
  );
  assert.equal(pepFromDocument(withPicture('none')).get(AVATAR_METADATA_NODE), undefined);
  assert.equal(writeXml(emptyPayload(AVATAR_METADATA_NODE)), '<metadata xmlns="urn:xmpp:avatar:metadata"/>');
});

test('picture: presence has its hash, none where there is none, and is said again when it changes (XEP-0153)', () => {
  assert.equal(presencesFromDocument(withPicture(PICTURE))[0]?.picture, 'ab12');
  assert.equal(presencesFromDocument(withPicture('none'))[0]?.picture, '');
  assert.equal(presencesFromDocument(aDocument())[0]?.picture, undefined);
  assert.equal(presenceChanges(withPicture(PICTURE), withPicture(PICTURE)).length, 0);
  assert.equal(presenceChanges(withPicture(PICTURE), withPicture('none')).length, 1);
});

test('directory: its card counts before what is published, in the language of nobody; PIDF has no picture', () => {
  const published = aDocument({
    persons: [aPerson({ card: { displayName: 'Boss', displayNameLanguage: 'en', icon: 'https://a.example/i' } })],
  });
  const { document } = compose({
    presentity: anAddress('alice@sip.example'),
    publications: [{ number: 1, document: published, changedAtMs: 0 }],
    bindings: [],
    card: { displayName: 'Alice', picture: PICTURE },
    policy: { registrations: 'fallback', staleAfterSeconds: 0 },
    nowMs: 0,
  });
  assert.deepEqual(document.persons[0]?.card, { displayName: 'Alice', icon: 'https://a.example/i', picture: PICTURE });
  assert.equal(writePidf(document).includes('ab12'), false);
});
