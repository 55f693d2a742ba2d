import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml, writeXml } from '../../../../src/cpim/xml.ts';
import type { RpidValues } from '../../../../src/cpim/presence/document.ts';
import { pepFromDocument, withPepEvent } from '../../../../src/xmpp/presence/map-pep.ts';
import { SHARED_MOODS, XMPP_MOODS } from '../../../../src/xmpp/presence/pep-moods.ts';
import { readPepEvent } from '../../../../src/xmpp/presence/pep-event.ts';
import { ACTIVITY_NODE, LOCATION_NODE, MOOD_NODE, NICK_NODE } from '../../../../src/xmpp/presence/pep-nodes.ts';
import { aDocument } from '../../../support/xmpp-presence-world.ts';

const moodXml = (children: string): string => `<mood xmlns='${MOOD_NODE}'>${children}</mood>`;
const activityXml = (children: string): string => `<activity xmlns='${ACTIVITY_NODE}'>${children}</activity>`;
const readMood = (children: string): RpidValues | undefined =>
  withPepEvent({}, MOOD_NODE, readXml(moodXml(children))).mood;
const readActivity = (children: string): RpidValues | undefined =>
  withPepEvent({}, ACTIVITY_NODE, readXml(activityXml(children))).activities;
const document = (rich: { mood?: RpidValues; activities?: RpidValues }) =>
  aDocument([], { persons: [{ id: 'p', rich, notes: [], extensions: [] }] });
const payload = (node: string, rich: Parameters<typeof document>[0]): string | undefined => {
  const element = pepFromDocument(document(rich)).get(node as typeof MOOD_NODE);
  return element === undefined ? undefined : writeXml(element).replaceAll('"', "'");
};

for (const mood of SHARED_MOODS) {
  test(`mood: ${mood} is the same on both sides`, () => {
    assert.deepEqual(readMood(`<${mood}/>`), { values: [{ name: mood }] });
    assert.equal(payload(MOOD_NODE, { mood: { values: [{ name: mood }] } }), moodXml(`<${mood}/>`));
  });
}
for (const mood of XMPP_MOODS) {
  test(`mood: ${mood}, which only XMPP has, goes as other and comes back`, () => {
    const read = readMood(`<${mood}/>`);
    assert.deepEqual(read, { values: [{ name: 'other', text: mood }] });
    assert.equal(payload(MOOD_NODE, { mood: read }), moodXml(`<${mood}/>`));
  });
}

const MOODS: ReadonlyArray<readonly [what: string, xml: string, read: RpidValues | undefined]> = [
  ['with a text', `<happy/><text xml:lang='en'>Yay, the mood spec!</text>`, { values: [{ name: 'happy' }], notes: [{ text: 'Yay, the mood spec!', language: 'en' }] }],
  ['undefined', '<undefined/>', { values: [{ name: 'unknown' }] }],
  ['one that nobody has defined', '<zen_like/>', { values: [{ name: 'other', text: 'zen like' }] }],
  ['none: it is not told any more', '', undefined],
  ['a text alone', '<text>x</text>', undefined],
]; // prettier-ignore
for (const [what, xml, read] of MOODS) {
  test(`mood from XMPP: ${what}`, () => assert.deepEqual(readMood(xml), read));
}

test('mood to XMPP: other words are the text', () => {
  const mood = { values: [{ name: 'other', text: 'peckish' }] };
  assert.equal(payload(MOOD_NODE, { mood }), moodXml('<undefined/><text>peckish</text>'));
});

/** RPID, XEP-0108, and what RPID it comes back as where that is another. */
const ACTIVITIES: ReadonlyArray<readonly [rpid: string, xml: string | undefined, back?: string]> = [
  ['appointment', '<having_appointment/>'],
  ['away', undefined],
  ['breakfast', '<eating><having_breakfast/></eating>'],
  ['busy', undefined],
  ['dinner', '<eating><having_dinner/></eating>'],
  ['holiday', '<inactive><scheduled_holiday/></inactive>'],
  ['in-transit', '<traveling/>'],
  ['looking-for-work', undefined],
  ['lunch', '<eating><having_lunch/></eating>', 'meal'],
  ['meal', '<eating/>'],
  ['meeting', '<working><in_a_meeting/></working>'],
  ['on-the-phone', '<talking><on_the_phone/></talking>'],
  ['performance', undefined],
  ['permanent-absence', undefined],
  ['playing', '<relaxing/>'],
  ['presentation', '<working><other/></working>', 'working'],
  ['shopping', '<relaxing><shopping/></relaxing>'],
  ['sleeping', '<inactive><sleeping/></inactive>'],
  ['spectator', '<relaxing><other/></relaxing>', 'playing'],
  ['steering', '<traveling><driving/></traveling>'],
  ['travel', '<traveling><on_a_trip/></traveling>'],
  ['tv', '<relaxing><watching_tv/></relaxing>'],
  ['unknown', undefined],
  ['vacation', '<inactive><on_vacation/></inactive>'],
  ['working', '<working/>'],
  ['worship', '<inactive><praying/></inactive>'],
];
for (const [rpid, xml, back] of ACTIVITIES) {
  test(`activity: ${rpid} is ${xml ?? 'not told'} (XEP-0108, section 4)`, () => {
    const out = payload(ACTIVITY_NODE, { activities: { values: [{ name: rpid }] } });
    assert.equal(out, xml === undefined ? undefined : activityXml(xml));
    if (xml !== undefined) assert.deepEqual(readActivity(xml)?.values, [{ name: back ?? rpid }]);
  });
}

const FROM_XMPP: ReadonlyArray<readonly [xml: string, read: RpidValues | undefined]> = [
  ['<talking><on_video_phone/></talking>', { values: [{ name: 'on-the-phone' }] }],
  ['<traveling><on_a_train/></traveling>', { values: [{ name: 'in-transit' }] }],
  ['<exercising/>', { values: [{ name: 'playing' }] }],
  ['<drinking><having_tea/></drinking>', { values: [{ name: 'other', text: 'having tea' }] }],
  ['<grooming/>', { values: [{ name: 'other', text: 'grooming' }] }],
  ['<drinking><other/></drinking>', { values: [{ name: 'other', text: 'drinking' }] }],
  ['<undefined/>', { values: [{ name: 'unknown' }] }],
  [
    `<relaxing><partying/></relaxing><text xml:lang='en'>My nurse's birthday!</text>`,
    { values: [{ name: 'other', text: 'partying' }], notes: [{ text: "My nurse's birthday!", language: 'en' }] },
  ],
  ['<nothing_of_the_kind/>', undefined],
  ['', undefined],
];
for (const [xml, read] of FROM_XMPP) {
  test(`activity from XMPP: ${xml === '' ? 'none' : xml}`, () => assert.deepEqual(readActivity(xml), read));
}

test('activity to XMPP: the first that there is, with its note', () => {
  const activities = {
    values: [{ name: 'away' }, { name: 'meeting' }],
    notes: [{ text: 'till noon', language: 'en' }],
  };
  assert.equal(
    payload(ACTIVITY_NODE, { activities }),
    activityXml(`<working><in_a_meeting/></working><text xml:lang='en'>till noon</text>`),
  );
});

test('activity to XMPP: a general one that went through RPID as other is itself again', () => {
  assert.equal(payload(ACTIVITY_NODE, { activities: readActivity('<grooming/>')! }), activityXml('<grooming/>'));
});

const geoloc = (children: string): string => `<geoloc xmlns='${LOCATION_NODE}'>${children}</geoloc>`;
const locationOf = (children: string): string | undefined => {
  const { location } = withPepEvent({}, LOCATION_NODE, readXml(geoloc(children)));
  return location === undefined ? undefined : writeXml(location).replaceAll('"', "'");
};
const backFrom = (geopriv: string): string | undefined => {
  const element = pepFromDocument(
    aDocument([], { persons: [{ id: 'p', rich: {}, notes: [], extensions: [readXml(geopriv)] }] }),
  ).get(LOCATION_NODE);
  return element === undefined ? undefined : writeXml(element).replaceAll('"', "'");
};
const PLACES: ReadonlyArray<readonly [what: string, geoloc: string, part: string | undefined]> = [
  ['a point', '<lat>45.44</lat><lon>12.33</lon>', '>45.44 12.33</pos>'],
  ['a circle', '<accuracy>20</accuracy><lat>45.44</lat><lon>12.33</lon>', '>20</radius>'],
  ['a point with a height', '<alt>1609</alt><lat>39.75</lat><lon>-104.99</lon>', '>39.75 -104.99 1609</pos>'],
  ['a street', '<country>Italy</country><locality>Venice</locality>', undefined],
  ['half a point', '<lat>45.44</lat>', undefined],
  ['a point off the earth', '<lat>91</lat><lon>12.33</lon>', undefined],
  ['a point that is no number', '<lat>1e1</lat><lon>x</lon>', undefined],
  ['none', '', undefined],
];
for (const [what, xml, part] of PLACES) {
  test(`location from XMPP: ${what}`, () => {
    const location = locationOf(xml);
    assert.equal(location?.includes(part ?? '?'), part === undefined ? undefined : true);
    if (location !== undefined) assert.equal(backFrom(location), geoloc(xml));
  });
}

const GEOPRIV = `xmlns:gp='urn:ietf:params:xml:ns:pidf:geopriv10' xmlns:gml='http://www.opengis.net/gml'`;
for (const [what, xml, out] of [
  ['as phones write it, with prefixes', `<gp:geopriv ${GEOPRIV}><gp:location-info><gml:Point srsName='urn:ogc:def:crs:EPSG::4326'><gml:pos> 43.5 -116.2 </gml:pos></gml:Point></gp:location-info></gp:geopriv>`, geoloc('<lat>43.5</lat><lon>-116.2</lon>')],
  ['of another reference system', `<gp:geopriv ${GEOPRIV}><gp:location-info><gml:Point srsName='urn:x'><gml:pos>43.5 -116.2</gml:pos></gml:Point></gp:location-info></gp:geopriv>`, undefined],
  ['of another namespace', `<geopriv xmlns='urn:x'><Point><pos>43.5 -116.2</pos></Point></geopriv>`, undefined],
  ['a polygon', `<gp:geopriv ${GEOPRIV}><gml:Polygon><gml:posList>1 2 3 4</gml:posList></gml:Polygon></gp:geopriv>`, undefined],
] as const) {
  test(`location to XMPP: ${what}`, () => assert.equal(backFrom(xml), out));
} // prettier-ignore

test('nick: the display name of the card, and back', () => {
  assert.deepEqual(withPepEvent({}, NICK_NODE, readXml(`<nick xmlns='${NICK_NODE}'> Jule </nick>`)), { nick: 'Jule' });
  const card = aDocument([], {
    persons: [{ id: 'p', rich: {}, notes: [], extensions: [], card: { displayName: 'Romeo' } }],
  });
  assert.equal(writeXml(pepFromDocument(card).get(NICK_NODE)!), `<nick xmlns="${NICK_NODE}">Romeo</nick>`);
});

test('pep: an event about one node leaves what the others have told', () => {
  const state = withPepEvent({ nick: 'Jule' }, MOOD_NODE, readXml(moodXml('<happy/>')));
  assert.deepEqual(withPepEvent(state, MOOD_NODE, undefined), { nick: 'Jule' });
});

const event = (children: string): string =>
  `<event xmlns='http://jabber.org/protocol/pubsub#event'>${children}</event>`;
const EVENTS: ReadonlyArray<readonly [what: string, xml: string, read: string | undefined]> = [
  ['an item', `<items node='${MOOD_NODE}'><item id='1'>${moodXml('<happy/>')}</item></items>`, `${MOOD_NODE} mood`],
  ['an item without a payload', `<items node='${MOOD_NODE}'><item id='1'/></items>`, `${MOOD_NODE} -`],
  ['a payload of another namespace', `<items node='${MOOD_NODE}'><item><mood xmlns='urn:x'/></item></items>`, `${MOOD_NODE} -`],
  ['a retraction', `<items node='${MOOD_NODE}'><retract id='1'/></items>`, `${MOOD_NODE} -`],
  ['a node that is emptied', `<purge node='${MOOD_NODE}'/>`, `${MOOD_NODE} -`],
  ['a node that is gone', `<delete node='${MOOD_NODE}'/>`, `${MOOD_NODE} -`],
  ['a node that is not mapped', `<items node='urn:xmpp:bookmarks:1'><item/></items>`, undefined],
  ['no items', `<items node='${MOOD_NODE}'/>`, undefined],
  ['something else', `<configuration node='${MOOD_NODE}'/>`, undefined],
  ['nothing', '', undefined],
]; // prettier-ignore
for (const [what, xml, read] of EVENTS) {
  test(`pep event: ${what}`, () => {
    const found = readPepEvent(readXml(event(xml)));
    assert.equal(found === undefined ? undefined : `${found.node} ${found.payload?.name ?? '-'}`, read);
  });
}

test('a text that is too long is cut, and never between the halves of one character', () => {
  const long = `${'a'.repeat(511)}😀`;
  assert.deepEqual(readMood(`<happy/><text>${long}</text>`)?.notes, [{ text: 'a'.repeat(511) }]);
  const nick = withPepEvent({}, NICK_NODE, readXml(`<nick xmlns='${NICK_NODE}'>${'b'.repeat(127)}😀</nick>`)).nick;
  assert.equal(nick, 'b'.repeat(127));
});
