import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdhocCommands } from '../../src/xmpp/gateway/adhoc.ts';
import { COMMANDS_NAMESPACE } from '../../src/xmpp/gateway/adhoc-element.ts';
import type { Handler } from '../../src/xmpp/gateway/ask.ts';
import { gatewayPrompt, PROMPT_NAMESPACE } from '../../src/xmpp/gateway/prompt.ts';
import { xmppDispatch } from '../../src/xmpp/dispatch.ts';
import { answered } from '../../src/core/commands/command.ts';
import { historyCommand } from '../../src/core/commands/history-command.ts';
import { readXml, writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { anIqDesk } from '../support/iq-desk.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { aDocument, aPerson, aTuple } from '../support/presence-builders.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';
import { readStanzas } from './read-stanzas.ts';

/** Mutated questions to domain and contacts, by one who may see them and one who may not. */
const RUN = new FuzzRun({ seed: 3920, cases: 3_000 });

const OWN = 'sip.xmpp.example';
const PRIVATE = 'Nobody-But-Watchers';
const FORM = `<x xmlns='jabber:x:data' type='submit'><field var='which'><value>failed</value></field></x>`;
const PAYLOADS: readonly string[] = [
  `<vCard xmlns='vcard-temp'/>`,
  `<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>`,
  `<query xmlns='jabber:iq:last'/>`,
  `<query xmlns='jabber:iq:version'/>`,
  `<time xmlns='urn:xmpp:time'/>`,
  `<query xmlns='http://jabber.org/protocol/disco#info' node='history'/>`,
  `<query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS_NAMESPACE}'><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><after>history</after><before/><index>1</index></set></query>`,
  `<query xmlns='http://jabber.org/protocol/disco#items'/>`,
  `<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:vcard4' max_items='1'><item id='current'/></items></pubsub>`,
  `<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:metadata'/></pubsub>`,
  `<command xmlns='${COMMANDS_NAMESPACE}' node='history' action='execute'>${FORM}</command>`,
  `<command xmlns='${COMMANDS_NAMESPACE}' node='history' sessionid='s1' action='next'>${FORM}</command>`,
  `<query xmlns='jabber:iq:gateway'><prompt>sip:alice@sip.example</prompt></query>`,
];
const PIECES: readonly string[] = [
  '', 'x', '-1', '1e9', '99999999999', '@', '/', ' ', '\\20', '%', '\u0001', '&#0;', '&amp;', '<a/>', '<set/>', '<item/>', '<x/>',
  '__proto__', 'constructor', 'a'.repeat(3_000), '<b>'.repeat(70), "node=''", "xmlns=''", 'sip:', '*', 'cancel', 'prev', 'complete',
]; // prettier-ignore

function mutated(number: number): { readonly text: string; readonly isStranger: boolean } {
  const below = caseNumbers(RUN.seed, number);
  let payload = PAYLOADS[below(PAYLOADS.length)] ?? '';
  for (let times = below(4); times > 0; times -= 1) {
    const at = below(payload.length + 1);
    const piece = PIECES[below(PIECES.length)] ?? '';
    const other = PAYLOADS[below(PAYLOADS.length)] ?? '';
    const quote = payload.indexOf("='", at);
    const end = quote < 0 ? -1 : payload.indexOf("'", quote + 2);
    switch (below(4)) {
      case 0:
        payload = payload.slice(0, at) + piece + payload.slice(at);
        break;
      case 1:
        payload = payload.slice(0, at) + payload.slice(at + 1 + below(20));
        break;
      case 2:
        payload = payload.slice(0, at) + other.slice(below(other.length));
        break;
      default:
        if (end >= 0) payload = `${payload.slice(0, quote + 2)}${piece}${payload.slice(end)}`;
    }
  }
  const isStranger = below(2) === 0;
  const from = `${isStranger ? 'mercutio' : 'juliet'}@xmpp.example/r`;
  const to = [OWN, `alice@${OWN}`, `alice@${OWN}/phone`, `interpres@${OWN}`, `\\20x@${OWN}`][below(5)] ?? OWN;
  const type = below(2) === 0 ? 'get' : 'set';
  return { text: `<iq from='${from}' to='${to}' type='${type}' id='i${number}'>${payload}</iq>`, isStranger };
}

const queue = { list: () => Promise.resolve([]), show: () => Promise.resolve(undefined) };
const commands = [historyCommand({ queue })];
const clock = new FakeClock();
const adhoc = new AdhocCommands({
  commands: {
    callerOf: (address) => ({ address }),
    commandsFor: () => commands,
    admit: () => undefined,
    run: () => Promise.resolve(answered('done')),
  },
  newToken: () => 's1',
  clock,
});
const prompt = gatewayPrompt({ domain: 'sip.example', name: OWN });
const served = new Map<string, Handler>([
  [`set ${COMMANDS_NAMESPACE} command`, (ask) => adhoc.execute(ask)],
  [`get ${PROMPT_NAMESPACE} query`, prompt.get],
  [`set ${PROMPT_NAMESPACE} query`, prompt.set],
]);
const document = aDocument({
  tuples: [aTuple({ id: 'ID-phone', rich: { timeOffset: { minutes: 60 } } })],
  persons: [aPerson({ card: { displayName: PRIVATE, icon: `https://x.example/${PRIVATE}` } })],
});

async function check(number: number): Promise<void> {
  const answers: XmlElement[] = [];
  const log = new LogRecorder();
  const dispatch = xmppDispatch({
    link: 'office',
    domains: { domain: 'sip.example', name: OWN },
    post: (stanza) => void answers.push(stanza),
    isPeer: (domain) => domain === 'xmpp.example',
    accept: () => Promise.resolve(),
    presence: { presence: () => undefined, event: () => false, answered: () => false },
    failedLater: () => undefined,
    clock,
    log,
    isService: () => false,
    iq: anIqDesk(
      { served, commandsFor: (ask) => adhoc.listFor(ask), features: [COMMANDS_NAMESPACE], clock },
      {
        presence: {
          seenBy: ({ watcher }) =>
            watcher.startsWith('juliet') ? { kind: 'presence', document } : { kind: 'nothing' },
        },
        profileOf: () => ({ displayName: PRIVATE, email: `${PRIVATE}@m.example` }),
        bindingsOf: () => [],
        lastSeenOf: () => 1,
      },
    ),
  });
  const { text, isStranger } = mutated(number);
  for (const stanza of readStanzas(text)) {
    answers.length = 0;
    await dispatch(stanza);
    if (stanza.name === 'iq') assert.equal(answers.length, 1, 'not exactly one answer');
    for (const answer of answers) {
      const written = writeXml(answer);
      readXml(written);
      if (isStranger) assert.equal(written.includes(PRIVATE), false, 'a stranger is told what is private');
    }
  }
  assert.deepEqual(log.at('error'), []);
}

test(`iq: ${RUN.title}: one answer to each, nothing private for strangers`, async () => {
  for (const number of RUN.numbers()) {
    try {
      await check(number);
    } catch (thrown) {
      throw RUN.fault(number, mutated(number).text, thrown);
    }
  }
  assert.ok(adhoc.size <= 1_000);
});
