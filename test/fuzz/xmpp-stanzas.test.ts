import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstantMessage } from '../../src/cpim/operation.ts';
import { type XmlElement, XmlStreamReader, writeXml } from '../../src/cpim/xml.ts';
import { xmppDispatch } from '../../src/xmpp/dispatch.ts';
import { parseJid } from '../../src/xmpp/jid.ts';
import { stanzaFromMessage } from '../../src/xmpp/map-message.ts';
import { elementFromMessage } from '../../src/xmpp/stanza.ts';
import { anIqDesk } from '../support/iq-desk.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';
import { readStanzas } from './read-stanzas.ts';

/** Mutated stanzas through reader, dispatch and mapping. */
const RUN = new FuzzRun({ seed: 6120, cases: 20_000 });

const DOMAINS = { domain: 'sip.example', name: 'sip.xmpp.example' };
const CORPUS: readonly string[] = [
  `<message from='juliet@xmpp.example/balcony' to='romeo@sip.xmpp.example' id='m1' type='chat' xml:lang='en'><subject>s</subject><body>Art thou not Romeo?</body><thread>t</thread><origin-id xmlns='urn:xmpp:sid:0' id='o1'/><delay xmlns='urn:xmpp:delay' from='xmpp.example' stamp='2023-11-14T20:00:00Z'/></message>`,
  `<message from='o\\27malley@xmpp.example' to='a\\40b\\5c20@sip.xmpp.example'><body xml:lang='cs'>Nic z obého 😀</body><body>x</body></message>`,
  `<message from='juliet@xmpp.example' to='romeo@sip.xmpp.example' id='abc' type='error'><body>x</body><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text></error></message>`,
  `<iq from='juliet@xmpp.example/balcony' to='sip.xmpp.example' id='i1' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>`,
  `<iq from='xmpp.example' to='sip.xmpp.example' id='i2' type='get'><ping xmlns='urn:xmpp:ping'/></iq>`,
  `<presence from='juliet@xmpp.example' to='romeo@sip.xmpp.example' type='subscribe' id='p1'><status>x</status></presence>`,
  `<message from='a@sip.xmpp.example' to='romeo@sip.xmpp.example'><x:body xmlns:x='urn:x'>&lt;&#x41;&amp;<![CDATA[<b>]]></x:body></message>`,
];
const PIECES: readonly string[] = [
  '&', '&nope;', '&#0;', '&#x1F600;', '<!DOCTYPE a>', '<!--', ']]>', '<![CDATA[', '\u0000', '\u0001', '\uFFFF', '\uD800', '\u202E',
  '@', '/', '\\20', '\\5c', '..', 'xn--', '[::1]', "'", '"', '>', '<', '</message>', '<body>', "xmlns=''", "from=''", "type='error'",
  "id=''", "type='groupchat'", 'sip.example', '%00', ' ', '\r\n', 'é', '__proto__', 'constructor', 'a'.repeat(2_000), '<a>'.repeat(70),
]; // prettier-ignore

/** One case, the same for the same seed and number. */
function mutated(number: number): string {
  const below = caseNumbers(RUN.seed, number);
  let text = CORPUS[below(CORPUS.length)] ?? '';
  for (let times = below(4); times > 0; times -= 1) {
    const at = below(text.length + 1);
    const piece = PIECES[below(PIECES.length)] ?? '';
    const other = CORPUS[below(CORPUS.length)] ?? '';
    switch (below(7)) {
      case 0:
        text = text.slice(0, at) + piece + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + below(20));
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(below(0x300)) + text.slice(at + 1);
        break;
      case 3:
        text = text.slice(0, at) + other.slice(below(other.length));
        break;
      case 4: {
        const from = below(text.length);
        text = text.slice(0, at) + text.slice(from, from + below(60)) + text.slice(at);
        break;
      }
      case 5: {
        // Into an attribute value, where most of what is judged stands.
        const quote = text.indexOf("'", at);
        text = quote < 0 ? text : text.slice(0, quote + 1) + piece + text.slice(quote + 1);
        break;
      }
      default: {
        const quote = text.indexOf("='", at);
        const end = quote < 0 ? -1 : text.indexOf("'", quote + 2);
        if (end >= 0) text = `${text.slice(0, quote + 2)}${piece}${text.slice(end)}`;
      }
    }
  }
  return text;
}

/** Runs a case; what it breaks is thrown. */
function check(number: number): void {
  const answers: XmlElement[] = [];
  const accepted: InstantMessage[] = [];
  const log = new LogRecorder();
  const dispatch = xmppDispatch({
    link: 'office',
    domains: DOMAINS,
    post: (stanza) => void answers.push(stanza),
    isPeer: (domain) => domain === 'xmpp.example',
    accept: (message) => {
      accepted.push(message);
      return Promise.resolve();
    },
    presence: { presence: () => undefined, event: () => false, answered: () => false },
    failedLater: () => undefined,
    clock: { nowMs: () => 1_700_000_000_000 },
    log,
    isService: () => false,
    iq: anIqDesk(),
  });
  for (const stanza of readStanzas(mutated(number))) {
    answers.length = 0;
    accepted.length = 0;
    void dispatch(stanza);
    const { type } = stanza.attrs;
    const isRequest = stanza.name === 'iq' && type !== 'result' && type !== 'error';
    assert.ok(answers.length <= 1, 'more than one answer');
    assert.ok(type !== 'error' || answers.length === 0, 'an error was answered');
    const isForUs = stanza.attrs['to'] === 'sip.xmpp.example';
    const isFromPeer = /^([a-z\\0-9]+@)?xmpp\.example(\/balcony)?$/.test(stanza.attrs['from'] ?? '');
    if (isRequest && isForUs && isFromPeer) assert.equal(answers.length, 1, 'a request was not answered');
    for (const answer of answers) checkOutgoing(answer);
    for (const message of accepted) {
      assert.match(message.source.address, /(^|@)xmpp\.example$/);
      assert.match(message.destination.address, /@sip\.example$/);
      assert.match(message.id, /^[A-Za-z0-9_-]{1,40}$/);
      assert.deepEqual(JSON.parse(JSON.stringify(message)), message);
      const turned = { ...message, source: message.destination, destination: message.source };
      const context = { domains: DOMAINS, nowMs: message.acceptedAtMs, maybeSent: true };
      checkOutgoing(elementFromMessage(stanzaFromMessage(turned, context)));
    }
  }
  assert.deepEqual(log.at('error'), []);
}

/** What every server asks of what we write: our domain as sender, an address to go to, well-formed XML. */
function checkOutgoing(stanza: XmlElement): void {
  assert.equal(parseJid(stanza.attrs['from'] ?? '')?.domain, 'sip.xmpp.example');
  assert.notEqual(parseJid(stanza.attrs['to'] ?? ''), undefined);
  let read = 0;
  const reader = new XmlStreamReader({
    onOpen: () => undefined,
    onElement: () => void (read += 1),
    onClose: () => undefined,
    onError: (error) => assert.fail(`written XML is refused: ${error.message}`),
  });
  reader.write(`<s xmlns='jabber:component:accept'>${writeXml(stanza)}`);
  assert.equal(read, 1);
}

test(`stanzas: ${RUN.title}: no throw, no forged sender, no answer to an error`, () => {
  for (const number of RUN.numbers()) {
    try {
      check(number);
    } catch (thrown) {
      throw RUN.fault(number, mutated(number).slice(0, 500), thrown);
    }
  }
});
