import type { PresenceDocument } from '../../src/cpim/presence/document.ts';
import { aDevice, aPerson, aTuple } from './presence-builders.ts';

/** A presence document with nothing in it but what is given. */
export function aPresenceDocument(parts: Partial<PresenceDocument> = {}): PresenceDocument {
  return {
    entity: 'pres:juliet@example.com',
    tuples: [],
    persons: [],
    devices: [],
    notes: [],
    extensions: [],
    ...parts,
  };
}

/** A document that uses every part of the model. */
export const FULL_DOCUMENT: PresenceDocument = aPresenceDocument({
  tuples: [
    aTuple({
      basic: 'open',
      show: 'dnd',
      statusExtensions: [{ name: 'loc:place', attrs: { 'xmlns:loc': 'urn:example:loc' }, children: ['home'] }],
      contact: { uri: 'sip:juliet@example.com;gr=balcony', priority: 992 },
      deviceIds: ['urn:uuid:1', 'urn:uuid:2'],
      rich: {
        class: 'work',
        privacy: { values: [{ name: 'audio' }, { name: 'text' }, { name: 'video' }] },
        relationship: { values: [{ name: 'self' }], notes: [{ text: 'me', language: 'en' }] },
        serviceClass: { values: [{ name: 'electronic' }] },
        statusIcon: { uri: 'http://example.com/i.png', id: 'icon', fromMs: 0, untilMs: 1_000 },
        userInput: { state: 'idle', idleThresholdSeconds: 600, lastInputMs: 1_098_382_800_000, id: 'ui' },
      },
      notes: [
        { text: 'Wooing <Romeo> & "more"', language: 'en' },
        { text: 'Námluvy', language: 'cs' },
        { text: '\u{1F339}' },
      ],
      timestampMs: 1_130_431_769_000,
      extensions: [
        {
          name: 'x',
          attrs: { xmlns: 'urn:example:x', a: 'b' },
          children: [' text ', { name: 'y', attrs: {}, children: [] }],
        },
      ],
      card: {
        card: 'http://example.com/v',
        displayName: 'Juliet',
        displayNameLanguage: 'it',
        homepage: 'http://example.com/',
      },
      capabilities: {
        audio: true,
        application: false,
        control: true,
        data: false,
        message: true,
        text: true,
        video: false,
        automata: false,
        isFocus: true,
        descriptions: [{ text: 'Szolgáltatás', language: 'hu' }, { text: 'A service' }],
        types: ['text/plain', 'message/cpim'],
        actor: { supported: ['principal'], notSupported: ['attendant', 'msg-taker'] },
        class: { supported: ['business', 'personal'] },
        duplex: { supported: ['full', 'half'] },
        eventPackages: { supported: ['presence', 'winfo'] },
        extensions: { supported: ['rel100', 'gruu', 'timer'] },
        languages: { supported: ['en', 'cs'] },
        methods: {
          supported: ['ACK', 'MESSAGE'],
          unknownSupported: [{ name: 'm:FOO', attrs: { 'xmlns:m': 'urn:example:m' }, children: [] }],
        },
        schemes: { supported: ['sip'], notSupported: ['h323'] },
        priority: { supported: [{ min: 3, max: 3 }, { min: 20 }, { max: 10 }, { min: 1, max: 5 }] },
        unknown: [{ name: 'm:more', attrs: { 'xmlns:m': 'urn:example:m' }, children: [] }],
      },
    }),
    aTuple({ id: 't2', basic: 'closed', rich: { relationship: { values: [{ name: 'other', text: 'my nurse' }] } } }),
  ],
  persons: [
    aPerson({
      rich: {
        activities: {
          values: [{ name: 'meal' }, { name: 'travel' }, { name: 'other', text: 'sighing', language: 'en' }],
          notes: [{ text: 'Far away' }],
          fromMs: 1_117_436_400_000,
          untilMs: 1_117_454_400_000,
          id: 'act',
          unknown: [{ name: 'a:dreaming', attrs: { 'xmlns:a': 'urn:example:a' }, children: [] }],
        },
        class: 'a class of words',
        mood: { values: [{ name: 'in_love' }, { name: 'worried' }], notes: [{ text: 'so early' }], id: 'mood' },
        placeIs: { audio: 'quiet', video: 'dark', text: 'ok', notes: [{ text: 'night' }] },
        placeType: { values: [{ name: 'residence' }, { name: 'outdoors' }] },
        privacy: { values: [{ name: 'unknown' }] },
        sphere: { values: [{ name: 'home' }] },
        statusIcon: { uri: 'http://example.com/p.gif' },
        timeOffset: { minutes: 60, description: 'Europe/Rome', id: 'tz' },
        userInput: { state: 'active' },
      },
      notes: [{ text: 'On the balcony', language: 'en' }],
      timestampMs: 1_117_451_384_120,
      card: { map: 'http://example.com/m', icon: 'http://example.com/i', sound: 'http://example.com/s' },
      extensions: [{ name: 'g:geopriv', attrs: { 'xmlns:g': 'urn:ietf:params:xml:ns:pidf:geopriv10' }, children: [] }],
    }),
    aPerson({
      id: 'p2',
      rich: { activities: { values: [] }, placeType: { values: [{ name: 'other', text: 'a crypt' }] } },
    }),
  ],
  devices: [
    aDevice({
      rich: { class: 'pc', userInput: { state: 'idle' } },
      notes: [{ text: 'PC' }],
      timestampMs: 1_117_451_384_000,
      capabilities: {
        descriptions: [{ text: 'A phone' }],
        mobility: { supported: ['mobile'], notSupported: ['fixed'] },
      },
      extensions: [{ name: 'x', attrs: { xmlns: 'urn:example:x' }, children: [] }],
    }),
  ],
  notes: [{ text: 'I will be in Mantua next week' }],
  extensions: [{ name: 'loc:all', attrs: { 'xmlns:loc': 'urn:example:loc' }, children: ['x'] }],
});
