import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPidf, writePidf } from '../../src/cpim/presence/pidf.ts';
import { writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import { parseJid } from '../../src/xmpp/jid.ts';
import { presencesFromDocument } from '../../src/xmpp/presence/map-presence.ts';
import { presenceChildren } from '../../src/xmpp/presence/presence-content.ts';
import { FakeClock, settled } from '../support/fake-clock.ts';
import { aDocument, aTuple, ROMEO_WATCHES, ROUTE, XmppPresenceWorld } from '../support/xmpp-presence-world.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';
import { readStanzas } from './read-stanzas.ts';

/** Mutated presence, events and iq answers through reader, dispatch, handler, upstream and mapping. */
const RUN = new FuzzRun({ seed: 8048, cases: 6_000 });

const ADDRESSED = `from='juliet@xmpp.example/balcony' to='romeo@sip.xmpp.example'`;
const ERROR = `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
const pubsub = (node: string, payload: string): string =>
  `<message from='juliet@xmpp.example' to='romeo@sip.xmpp.example' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='http://jabber.org/protocol/${node}'><item id='1'><${node} xmlns='http://jabber.org/protocol/${node}'>${payload}</${node}></item></items></event></message>`;
const CORPUS: readonly string[] = [
  `<presence ${ADDRESSED} id='1' xml:lang='en'><show>away</show><status>Out</status><status xml:lang='cs'>Pryč 😀</status><priority>13</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:n' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><idle xmlns='urn:xmpp:idle:1' since='2023-11-14T20:00:00Z'/><delay xmlns='urn:xmpp:delay' stamp='2023-11-14T20:00:00Z'/></presence>`,
  `<presence ${ADDRESSED} type='unavailable'><status>bye</status></presence>`,
  `<presence from='juliet@xmpp.example' to='romeo@sip.xmpp.example' type='unavailable'/>`,
  `<presence ${ADDRESSED} type='subscribe'><nick xmlns='http://jabber.org/protocol/nick'>Jule</nick></presence>`,
  `<presence ${ADDRESSED} type='subscribed'/>`,
  `<presence ${ADDRESSED} type='unsubscribe'/>`,
  `<presence ${ADDRESSED} type='unsubscribed'/>`,
  `<presence ${ADDRESSED} type='probe'/>`,
  `<presence ${ADDRESSED} type='error' id='subscribe'>${ERROR}</presence>`,
  `<presence ${ADDRESSED} type='error' id='notify'>${ERROR}</presence>`,
  pubsub('mood', '<happy/><text>x</text>'),
  pubsub('activity', '<relaxing><partying/></relaxing>'),
  pubsub('geoloc', '<lat>45.44</lat><lon>12.33</lon><accuracy>20</accuracy>'),
  `<iq ${ADDRESSED} type='result' id='t1'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/><feature var='http://jabber.org/protocol/mood+notify'/></query></iq>`,
];
const PIECES: readonly string[] = [
  '&#0;', '\u0001', '\uFFFF', '\uD800', '\u202E', '@', '/', '\\20', "'", '>', '<status>', '<show>', "xmlns=''", "type='error'", "type='probe'",
  '__proto__', 'constructor', '999', '-1', '1e9', 'é', 'a'.repeat(5_000), '😀'.repeat(2_000), '<a>'.repeat(70), '9'.repeat(500),
]; // prettier-ignore

function mutated(number: number): string {
  const below = caseNumbers(RUN.seed, number);
  let text = '';
  for (let stanzas = 1 + below(4); stanzas > 0; stanzas -= 1) text += CORPUS[below(CORPUS.length)] ?? '';
  for (let times = below(4); times > 0; times -= 1) {
    const at = below(text.length + 1);
    const piece = PIECES[below(PIECES.length)] ?? '';
    const quote = text.indexOf("'", at);
    switch (below(5)) {
      case 0:
        text = text.slice(0, at) + piece + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + below(20));
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(below(0x300)) + text.slice(at + 1);
        break;
      case 3: {
        const from = below(text.length);
        text = text.slice(0, at) + text.slice(from, from + below(200)) + text.slice(at);
        break;
      }
      default:
        text = quote < 0 ? text : text.slice(0, quote + 1) + piece + text.slice(quote + 1);
    }
  }
  return text;
}

async function check(number: number): Promise<void> {
  const world = new XmppPresenceWorld({ clock: new FakeClock() });
  if (number % 2 === 0) await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  if (number % 3 === 0) world.subscribed(number % 6 === 0 ? 'active' : 'pending');
  for (const stanza of readStanzas(mutated(number))) {
    world.link.stanzas.length = 0;
    await world.begin(writeXml(stanza));
    const { type } = stanza.attrs;
    const answers = world.link.stanzas.filter(({ attrs }) => attrs['type'] === 'error');
    assert.ok(answers.length <= 1, 'more than one error');
    assert.ok((type !== 'error' && type !== 'result') || answers.length === 0, 'an answer was answered with an error');
    for (const sent of world.link.stanzas) checkOutgoing(sent);
    if (world.subscriptions.find('s1')?.state.at === 'active') {
      await world.notify({ at: 'active' }, aDocument([aTuple()]), { isWhole: true });
      for (const sent of world.link.stanzas) checkOutgoing(sent);
    }
  }
  await settled();
  for (const [pair, { document }] of world.reports) {
    assert.equal(pair, 'romeo@sip.example juliet@xmpp.example');
    if (document === undefined) continue;
    assert.deepEqual(JSON.parse(JSON.stringify(document)), document);
    assert.ok(document.tuples.length >= 1 && document.tuples.length <= 18);
    assert.equal(new Set(document.tuples.map(({ id }) => id)).size, document.tuples.length);
    assert.ok(JSON.stringify(document).length < 200_000);
    // What is equal as a document is equal on the way to a phone and back.
    assert.deepEqual(readPidf(writePidf(document)), document);
    for (const { content } of presencesFromDocument(document)) presenceChildren(content).map(writeXml);
  }
  for (const request of world.subscriptions.requests) {
    assert.match(request.watcher, /@xmpp\.example$/);
    assert.match(request.presentity, /@sip\.example$/);
    assert.ok((request.displayName?.length ?? 0) <= 128);
  }
  assert.deepEqual(world.log.at('error'), []);
  world.presence.stop();
}

function checkOutgoing(stanza: XmlElement): void {
  assert.equal(parseJid(stanza.attrs['from'] ?? '')?.domain, 'sip.xmpp.example');
  const to = parseJid(stanza.attrs['to'] ?? '')?.domain;
  // Strangers are refused what they ask, and learn nothing of presence.
  if (stanza.name === 'presence') assert.equal(to, 'xmpp.example');
  assert.notEqual(to, undefined);
  assert.equal(readStanzas(writeXml(stanza)).length, 1);
}

test(`presence: ${RUN.title}: no throw, no forged sender, everything bounded`, async () => {
  for (const number of RUN.numbers()) {
    await check(number).catch((thrown: unknown) => {
      throw RUN.fault(number, mutated(number).slice(0, 500), thrown);
    });
  }
});
