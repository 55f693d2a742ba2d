import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml } from '../../src/cpim/xml.ts';
import type { PresenceDocument } from '../../src/cpim/presence/document.ts';
import { aPerson, aTuple } from './presence-builders.ts';
import { aPresenceDocument } from './presence-documents.ts';
import { isFrom, jid, says, sip, type RosterStage } from './roster-stage.ts';
import type { SlixmppPep } from './slixmpp.ts';
import { until } from './until.ts';
import { xml } from './xmpp-client.ts';

const XPIDF = 'application/xpidf+xml';
/** As Pidgin shows itself: old capabilities beside the new ones, and a picture. */
const PIDGIN = [
  xml('priority', {}, '1'),
  xml('c', {
    xmlns: 'http://jabber.org/protocol/caps',
    node: 'http://pidgin.im/',
    hash: 'sha-1',
    ver: 'AcN1/PEN8nq7AHD+9jpxMV4U6YM=',
    ext: 'voice-v1 camera-v1 video-v1',
  }),
  xml('x', { xmlns: 'vcard-temp:x:update' }, xml('photo', {}, '5a1c4a1a0e5cbf6b2cc9a0a1c5f5b1f2c3d4e5f6')),
];

const PLACE = readXml(
  "<geopriv xmlns='urn:ietf:params:xml:ns:pidf:geopriv10'><location-info><Point xmlns='http://www.opengis.net/gml' " +
    "srsName='urn:ogc:def:crs:EPSG::4326'><pos>45.44 11</pos></Point></location-info><usage-rules/></geopriv>",
);

/** A document of grace who feels and does something, and is somewhere. */
function aboutGrace(mood: string, activity: string): PresenceDocument {
  const rich = {
    mood: { values: [{ name: mood }], notes: [{ text: 'so early' }] },
    activities: { values: [{ name: activity }] },
  };
  return aPresenceDocument({
    entity: 'pres:grace@sip.example',
    tuples: [aTuple({ id: 'desk', statusExtensions: [PLACE] })],
    persons: [aPerson({ rich })],
  });
}

/** What goes beside availability, who does not exist, and what old programs do. */
export function presenceDetailTests(name: string, stage: () => RosterStage): void {
  test(`${name}: two who watch each other see moods, activities, names and, where allowed, places`, async () => {
    const [nurse, grace] = await Promise.all([stage().slixmpp('nurse', { pep: true }), stage().phone('grace', 'tcp')]);
    await grace.publish(aboutGrace('happy', 'meeting'));
    await stage().watchers('allow', 'grace', 'nurse@xmpp.example');
    const watching = await grace.subscribe(sip('nurse'));
    await nurse.untilPresence(({ from, type }) => from === jid('grace') && type === 'subscribe');
    nurse.presence({ to: jid('grace'), type: 'subscribed' });
    await watching.untilLast(says('active', 'open'));
    nurse.presence({ to: jid('grace'), type: 'subscribe' });
    await nurse.untilPresence(({ from, type }) => from === `${jid('grace')}/desk` && type === 'available');
    assert.deepEqual(await nurse.roster(), [{ jid: jid('grace'), subscription: 'both', ask: '' }]);

    const hers = (what: string) => (event: SlixmppPep) => event.from === jid('grace') && event.what === what;
    const mood = await nurse.untilEvent(hers('user_mood'));
    assert.match(mood.xml, /<happy\s*\/>.*<text>so early<\/text>/);
    const activity = await nurse.untilEvent(hers('user_activity'));
    assert.match(activity.xml, /<working><in_a_meeting\s*\/><\/working>/);

    assert.equal((await nurse.publish({ what: 'mood', value: 'worried', text: 'where is she' })).ok, true);
    assert.equal((await nurse.publish({ what: 'activity', value: 'eating', specific: 'having_dinner' })).ok, true);
    assert.equal((await nurse.publish({ what: 'nick', value: 'Angelica' })).ok, true);
    assert.equal((await nurse.publish({ what: 'location', value: { lat: 45.4, lon: 11.1 } })).ok, true);
    const told = await watching.untilLast(
      ({ document }) => document?.persons[0]?.extensions.length === 1 && document.persons[0].card !== undefined,
      { what: 'a document with all four' },
    );
    const [person] = told.document?.persons ?? [];
    assert.deepEqual(person?.rich.mood?.values, [{ name: 'worried' }]);
    assert.deepEqual(
      person.rich.mood.notes?.map(({ text }) => text),
      ['where is she'],
    );
    assert.deepEqual(person.rich.activities?.values, [{ name: 'dinner' }]);
    assert.equal(person.card?.displayName, 'Angelica');
    assert.match(told.body, /45\.4 11\.1/);

    const before = nurse.events().length;
    await grace.publish(aboutGrace('sad', 'meeting'));
    await nurse.untilEvent(({ xml: payload }) => payload.includes('<sad'), { from: before });
    await stage().watchers('allow', 'grace', 'nurse@xmpp.example', '--location');
    const place = await nurse.untilEvent(hers('user_location'), { from: before });
    assert.match(place.xml, /<lat>45\.44<\/lat>/);
    const events = nurse.events().filter(({ from }) => from === jid('grace'));
    assert.deepEqual(
      events.map(({ what }) => what).sort(),
      ['user_activity', 'user_location', 'user_mood', 'user_mood'],
      'each once, and no place before it was allowed',
    );
    const last = nurse.events().length;
    await grace.unpublish();
    await nurse.untilEvent((event) => hers('user_mood')(event) && !event.xml.includes('<sad'), { from: last });
  });

  test(`${name}: a client that wants no events gets none`, async () => {
    const [peter, grace] = await Promise.all([stage().client('peter'), stage().phone('grace')]);
    await stage().watchers('allow', 'grace', 'peter@xmpp.example');
    await peter.presence({ to: jid('grace'), type: 'subscribe' });
    await grace.publish(aboutGrace('happy', 'meeting'));
    await peter.untilPresence(isFrom('grace', undefined));
    await grace.publish(aboutGrace('sad', 'sleeping'));
    await peter.untilPresence((stanza) => stanza.getChildText('show') === 'xa');
    await peter.iq(jid('grace'), 'get', xml('ping', { xmlns: 'urn:xmpp:ping' }));
    assert.deepEqual(peter.messages().map(String), []);
    await grace.unpublish();
  });

  test(`${name}: old clients and phones: Pidgin's presence, xpidf, and closed at the end`, async () => {
    const [balthasar, erin] = await Promise.all([stage().client('balthasar'), stage().phone('erin')]);
    const watching = await erin.subscribe(sip('balthasar'), { expires: 1_200, accept: [XPIDF] });
    await balthasar.untilPresence(isFrom('erin', 'subscribe'));
    await balthasar.presence({ to: jid('erin'), type: 'subscribed' });
    await balthasar.presence({ to: jid('erin'), type: 'subscribe' });
    await balthasar.presence({ children: [xml('show', {}, 'away'), xml('status', {}, 'auto-away'), ...PIDGIN] });
    const old = await watching.untilLast(({ body }) => body.includes('auto-away'));
    assert.equal(old.request.headers.get('Content-Type'), XPIDF);
    const plain = await erin.subscribe(sip('balthasar'), { accept: [XPIDF, 'application/pidf+xml'] });
    await plain.untilLast(says('active', 'open away en:auto-away'));

    await stage().watchers('allow', 'erin', 'balthasar@xmpp.example');
    await erin.publish('on the phone');
    await balthasar.untilPresence((stanza) => stanza.getChildText('status') === 'on the phone');
    const open = balthasar.presences().length;
    // As libpurple quits: closed, with the lifetime it always has.
    await erin.publish(aPresenceDocument({ entity: 'pres:erin@sip.example', tuples: [aTuple({ basic: 'closed' })] }));
    await balthasar.untilPresence(isFrom('erin', 'unavailable'), { from: open });
  });

  test(`${name}: whoever does not exist: pending to a phone, item-not-found to an XMPP user`, async () => {
    const [rosaline, alice] = await Promise.all([stage().client('rosaline'), stage().phone('alice')]);
    const watching = await alice.subscribe(sip('nobody'));
    assert.equal(watching.status, 200);
    await watching.untilLast(says('pending', 'no document'));

    await rosaline.presence({ to: jid('nobody'), type: 'subscribe' });
    const error = await rosaline.untilPresence(({ attrs }) => String(attrs['from']) === jid('nobody'));
    assert.ok(error.getChild('error')?.getChild('item-not-found'), String(error));
    await rosaline.presence({ to: jid('nobody'), type: 'probe' });
    await rosaline.presence({ to: jid('nobody') });
    await rosaline.presence({ to: jid('nobody'), type: 'unsubscribe' });
    await until(async () => (await rosaline.roster()).every(({ ask }) => ask === undefined), {
      what: 'rosaline asks no more',
    });

    assert.equal((await watching.unsubscribe()).status, 200);
    await watching.untilLast(says('terminated timeout', 'no document'));
    assert.ok(
      watching.notifies.slice(0, -1).every(({ state }) => state.state === 'pending'),
      watching.describe(),
    );
  });
}
