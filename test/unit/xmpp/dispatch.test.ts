import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import { childOf, readXml, writeXml, type XmlElement } from '../../../src/cpim/xml.ts';
import { xmppDispatch, type XmppDispatchDeps } from '../../../src/xmpp/dispatch.ts';
import { isVerified, readDiscoInfo } from '../../../src/xmpp/presence/disco-info.ts';
import { USER_CAPS, USER_CAPS_NODE } from '../../../src/xmpp/presence/own-caps.ts';
import { anIqDesk } from '../../support/iq-desk.ts';
import { LogRecorder } from '../../support/log-recorder.ts';

const OWN = 'sip.xmpp.example';
const FROM = `from='juliet@xmpp.example/balcony' to='romeo@${OWN}'`;
const ERRORS = 'urn:ietf:params:xml:ns:xmpp-stanzas';

/** Presence as a link without any has it: nothing is taken, nothing was asked. */
const NO_PRESENCE = { presence: () => undefined, event: () => false, answered: () => false };

type World = {
  readonly answers: string[];
  readonly accepted: InstantMessage[];
  readonly failed: string[];
  readonly log: LogRecorder;
  readonly take: (xml: string) => Promise<void> | undefined;
};

function aWorld(
  accept: (message: InstantMessage) => Promise<unknown> = () => Promise.resolve('queued'),
  presence: XmppDispatchDeps['presence'] = NO_PRESENCE,
): World {
  const posted: XmlElement[] = [];
  const accepted: InstantMessage[] = [];
  const failed: string[] = [];
  const log = new LogRecorder();
  const dispatch = xmppDispatch({
    link: 'office',
    domains: { domain: 'sip.example', name: OWN },
    post: (stanza) => void posted.push(stanza),
    isPeer: (domain) => domain === 'xmpp.example',
    accept: (message) => {
      accepted.push(message);
      return accept(message);
    },
    presence,
    failedLater: (id, error, from) => void failed.push(`${id} ${error.code} ${from}`),
    clock: { nowMs: () => 1_700_000_000_000 },
    log,
    isService: () => false,
    iq: anIqDesk(),
  });
  return {
    get answers() {
      return posted.map(writeXml);
    },
    accepted,
    failed,
    log,
    take: (xml) => dispatch(readXml(xml)),
  };
}

/** What one stanza is answered; waits for what it set going. */
async function answersTo(xml: string, accept?: (message: InstantMessage) => Promise<unknown>): Promise<World> {
  const world = aWorld(accept);
  await world.take(xml);
  return world;
}

const error = (attrs: string, type: string, condition: string): string =>
  `${attrs}><error type='${type}'><${condition} xmlns='${ERRORS}'/></error>`;
const back = (type: string, id = `id='1'`): string =>
  `type='${type}' from='romeo@${OWN}' to='juliet@xmpp.example/balcony' ${id}`;
const domainBack = `from='${OWN}' to='juliet@xmpp.example/balcony' id='1'`;
const iq = (payload: string, to = OWN, type = 'get'): string =>
  `<iq from='juliet@xmpp.example/balcony' to='${to}' type='${type}' id='1'>${payload}</iq>`;

const rows: Array<{ what: string; in: string; out: string | undefined }> = [
  { what: 'ping to the domain', in: iq(`<ping xmlns='urn:xmpp:ping'/>`), out: `<iq type='result' ${domainBack}/>` },
  {
    what: 'ping to a user',
    in: iq(`<ping xmlns='urn:xmpp:ping'/>`, `romeo@${OWN}`),
    out: `<iq ${back('result')}/>`,
  },
  {
    what: 'version',
    in: iq(`<query xmlns='jabber:iq:version'/>`),
    out: `<iq type='result' ${domainBack}><query xmlns='jabber:iq:version'><name>Interpres</name><version>1.2.3</version></query></iq>`,
  },
  {
    what: 'disco#items',
    in: iq(`<query xmlns='http://jabber.org/protocol/disco#items'/>`),
    out: `<iq type='result' ${domainBack}><query xmlns='http://jabber.org/protocol/disco#items'/></iq>`,
  },
  {
    what: 'disco#info of a node we do not have',
    in: iq(`<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>`),
    out: `<iq ${error(`type='error' ${domainBack}`, 'cancel', 'item-not-found')}</iq>`,
  },
  {
    what: 'what is not served',
    in: iq(`<query xmlns='jabber:iq:search'/>`),
    out: `<iq ${error(`type='error' ${domainBack}`, 'cancel', 'service-unavailable')}</iq>`,
  },
  {
    what: 'what is not served, of a user',
    in: iq(`<query xmlns='jabber:iq:search'/>`, `romeo@${OWN}/x`),
    out: `<iq ${error(`type='error' from='romeo@${OWN}/x' to='juliet@xmpp.example/balcony' id='1'`, 'cancel', 'service-unavailable')}</iq>`,
  },
  {
    what: 'a set where only get is served',
    in: iq(`<query xmlns='jabber:iq:version'/>`, OWN, 'set'),
    out: `<iq ${error(`type='error' ${domainBack}`, 'cancel', 'feature-not-implemented')}</iq>`,
  },
  {
    what: 'an iq of no type',
    in: iq(`<ping xmlns='urn:xmpp:ping'/>`, OWN, 'x'),
    out: `<iq ${error(`type='error' ${domainBack}`, 'modify', 'bad-request')}</iq>`,
  },
  {
    what: 'an iq without payload',
    in: iq(''),
    out: `<iq ${error(`type='error' ${domainBack}`, 'modify', 'bad-request')}</iq>`,
  },
  {
    what: 'an iq with two payloads',
    in: iq('<a xmlns="x"/><b xmlns="x"/>'),
    out: `<iq ${error(`type='error' ${domainBack}`, 'modify', 'bad-request')}</iq>`,
  },
  { what: 'an iq result', in: `<iq ${FROM} type='result' id='1'/>`, out: undefined },
  { what: 'an iq error', in: `<iq ${FROM} type='error' id='1'/>`, out: undefined },
  { what: 'a message error', in: `<message ${FROM} type='error' id='!'/>`, out: undefined },
  { what: 'a presence error', in: `<presence ${FROM} type='error'/>`, out: undefined },
  {
    what: 'groupchat',
    in: `<message ${FROM} type='groupchat' id='1'><body>x</body></message>`,
    out: `<message ${error(back('error'), 'modify', 'bad-request')}</message>`,
  },
  {
    what: 'a message without a text',
    in: `<message ${FROM} id='1'><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
    out: undefined,
  },
  {
    what: 'a message to the domain itself',
    in: `<message from='juliet@xmpp.example/balcony' to='${OWN}' id='1'><body>x</body></message>`,
    out: `<message ${error(`type='error' ${domainBack}`, 'cancel', 'service-unavailable')}</message>`,
  },
  {
    what: 'a message to a localpart that is none',
    in: `<message from='juliet@xmpp.example/balcony' to='\\20a@${OWN}' id='1'><body>x</body></message>`,
    out: `<message ${error(`type='error' from='\\20a@${OWN}' to='juliet@xmpp.example/balcony' id='1'`, 'modify', 'jid-malformed')}</message>`,
  },
  {
    what: 'a message to what is no JID in our domain',
    in: `<message from='juliet@xmpp.example/balcony' to='a b@${OWN}' id='1'><body>x</body></message>`,
    out: `<message ${error(`type='error' ${domainBack}`, 'modify', 'jid-malformed')}</message>`,
  },
  { what: 'available', in: `<presence ${FROM}/>`, out: undefined },
  { what: 'probe', in: `<presence ${FROM} type='probe'/>`, out: undefined },
  {
    what: 'a message from a domain that is no peer (class 7)',
    in: `<message from='a@other.example' to='romeo@${OWN}' id='1'><body>x</body></message>`,
    out: `<message ${error(`type='error' from='romeo@${OWN}' to='a@other.example' id='1'`, 'auth', 'forbidden')}</message>`,
  },
  {
    what: 'a message from a subdomain of a peer',
    in: `<message from='a@rooms.xmpp.example' to='romeo@${OWN}' id='1'><body>x</body></message>`,
    out: `<message ${error(`type='error' from='romeo@${OWN}' to='a@rooms.xmpp.example' id='1'`, 'auth', 'forbidden')}</message>`,
  },
  {
    what: 'an iq from a domain that is no peer',
    in: `<iq from='a@other.example' to='${OWN}' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>`,
    out: `<iq ${error(`type='error' from='${OWN}' to='a@other.example' id='1'`, 'auth', 'forbidden')}</iq>`,
  },
  {
    what: 'presence from a domain that is no peer',
    in: `<presence from='a@other.example' to='romeo@${OWN}' type='subscribe'/>`,
    out: undefined,
  },
  {
    what: 'a message that claims our XMPP name (class 4)',
    in: `<message from='alice@${OWN}' to='romeo@${OWN}' id='1'><body>x</body></message>`,
    out: undefined,
  },
  {
    what: 'a message that claims our domain (class 4)',
    in: `<message from='alice@SIP.example' to='romeo@${OWN}' id='1'><body>x</body></message>`,
    out: undefined,
  },
  {
    what: 'a ping that claims our name',
    in: `<iq from='${OWN}' to='${OWN}' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>`,
    out: undefined,
  },
  { what: 'a message from nobody', in: `<message to='romeo@${OWN}' id='1'><body>x</body></message>`, out: undefined },
  {
    what: 'a message from what is no JID',
    in: `<message from='a b@xmpp.example' to='romeo@${OWN}' id='1'><body>x</body></message>`,
    out: undefined,
  },
  {
    what: 'a message for somebody else (class 9)',
    in: `<message from='juliet@xmpp.example' to='nurse@xmpp.example' id='1'><body>x</body></message>`,
    out: undefined,
  },
  {
    what: 'a message for nobody',
    in: `<message from='juliet@xmpp.example' id='1'><body>x</body></message>`,
    out: undefined,
  },
];

for (const row of rows) {
  test(`dispatch: ${row.what} is answered ${row.out === undefined ? 'nothing' : 'once'}`, async () => {
    const { answers, accepted, failed } = await answersTo(row.in);
    assert.deepEqual(
      answers.map((answer) => readXml(answer)),
      row.out === undefined ? [] : [readXml(row.out)],
    );
    assert.deepEqual(accepted, []);
    assert.deepEqual(failed, []);
  });
}

test('dispatch: presence is handed on, and what is thrown for it is answered', async () => {
  for (const presence of [
    () => Promise.reject(new GatewayError('recipient-unknown', 'internal words')),
    () => {
      throw new GatewayError('recipient-unknown', 'internal words');
    },
  ]) {
    const world = aWorld(undefined, { ...NO_PRESENCE, presence });
    await world.take(`<presence ${FROM} type='subscribe' id='1'/>`);
    assert.deepEqual(
      world.answers.map((answer) => readXml(answer)),
      [readXml(`<presence ${error(back('error'), 'cancel', 'item-not-found')}</presence>`)],
    );
  }
});

test('dispatch: one who may not watch is refused as a contact would, and is not told why', async () => {
  const presence = (): Promise<void> => Promise.reject(new GatewayError('sender-forbidden', 'blocked'));
  const world = aWorld(undefined, { ...NO_PRESENCE, presence });
  await world.take(`<presence ${FROM} type='subscribe' id='1'/>`);
  assert.deepEqual(world.answers, [
    `<presence type="unsubscribed" from="romeo@${OWN}" to="juliet@xmpp.example/balcony" id="1"/>`,
  ]);
});

test('dispatch: an error is not answered with an error, whatever presence says to it', async () => {
  const presence = (): Promise<void> => Promise.reject(new GatewayError('internal', 'x'));
  const world = aWorld(undefined, { ...NO_PRESENCE, presence });
  await world.take(`<presence ${FROM} type='error' id='1'/>`);
  assert.deepEqual(world.answers, []);
});

test('dispatch: a message that carries an event of presence is no message', async () => {
  const world = aWorld(undefined, { ...NO_PRESENCE, event: ({ event }) => event !== undefined });
  const event = `<event xmlns='http://jabber.org/protocol/pubsub#event'/>`;
  await world.take(`<message from='juliet@xmpp.example' to='romeo@${OWN}' type='headline'>${event}</message>`);
  assert.deepEqual([world.accepted, world.answers], [[], []]);
});

test('dispatch: answers to what we asked go to whoever asked', async () => {
  const answered: string[] = [];
  const world = aWorld(undefined, {
    ...NO_PRESENCE,
    answered: (element) => {
      answered.push(element.attrs['id'] ?? '');
      return true;
    },
  });
  await world.take(`<iq ${FROM} type='result' id='1'/>`);
  await world.take(`<iq ${FROM} type='error' id='2'><error type='cancel'/></iq>`);
  await world.take(`<iq from='a@other.example' to='romeo@${OWN}' type='result' id='3'/>`);
  assert.deepEqual(answered, ['1', '2']);
});

test('dispatch: disco#info of a user at the node of his presence gives what its hash stands for', async () => {
  const { answers } = await answersTo(
    iq(`<query xmlns='http://jabber.org/protocol/disco#info' node='${USER_CAPS_NODE}'/>`, `romeo@${OWN}/phone`),
  );
  const query = childOf(readXml(answers[0]!), 'query', 'http://jabber.org/protocol/disco#info');
  assert.equal(query?.attrs['node'], USER_CAPS_NODE);
  assert.equal(isVerified(USER_CAPS, readDiscoInfo(query)!), true);
  assert.match(answers[0]!, /mood\+notify/);
});

test('dispatch: disco#info says gateway, and what it understands', async () => {
  const { answers } = await answersTo(iq(`<query xmlns='http://jabber.org/protocol/disco#info'/>`));
  const [answer = ''] = answers;
  assert.match(answer, /<identity category="gateway" type="simple"/);
  for (const feature of [
    'http://jabber.org/protocol/disco#info',
    'urn:xmpp:ping',
    'jabber:iq:version',
    'jid\\20escaping',
  ]) {
    assert.ok(answer.includes(`<feature var="${feature}"/>`), feature);
  }
});

test('dispatch: a message is handed on with the domain that its link vouches for', async () => {
  const { accepted, answers } = await answersTo(`<message ${FROM} id='1' type='chat'><body>x</body></message>`);
  assert.equal(accepted.length, 1);
  assert.deepEqual(accepted[0]?.source, { address: 'juliet@xmpp.example', instance: 'balcony' });
  assert.deepEqual(accepted[0].destination, { address: 'romeo@sip.example' });
  assert.deepEqual(answers, []);
});

test('dispatch: a refusal by the core is an error stanza with the original id', async () => {
  const refuse = (): Promise<never> =>
    Promise.reject(new GatewayError('queue-full', 'internal words', { details: { retryAfterSeconds: 5 } }));
  const { answers } = await answersTo(`<message ${FROM} id='1'><body>x</body></message>`, refuse);
  assert.deepEqual(
    answers.map((answer) => readXml(answer)),
    [readXml(`<message ${error(back('error'), 'wait', 'resource-constraint')}</message>`)],
  );
  assert.equal(answers.join('').includes('internal words'), false);
});

test('dispatch: a fault of ours is answered too, and is logged as ours', async () => {
  const world = await answersTo(`<message ${FROM} id='1'><body>x</body></message>`, () => {
    throw new TypeError('boom');
  });
  assert.match(world.answers.join(''), /internal-server-error/);
  assert.deepEqual(world.log.at('error'), ['stanza failed']);
});

test('dispatch: messages are handed on in the order of the stream, none waits for another', () => {
  const world = aWorld(() => new Promise(() => undefined));
  for (let n = 0; n < 5; n += 1) void world.take(`<message ${FROM} id='${n}'><body>${n}</body></message>`);
  assert.deepEqual(
    world.accepted.map(({ senderId }) => senderId),
    ['0', '1', '2', '3', '4'],
  );
});

test('dispatch: an error for what we delivered is told to the core, once, and never answered (class 19)', async () => {
  const world = await answersTo(
    `<message from='juliet@xmpp.example' to='romeo@${OWN}' type='error' id='abc_-1'><body>x</body>` +
      `<error type='cancel'><item-not-found xmlns='${ERRORS}'/></error></message>`,
  );
  assert.deepEqual(world.failed, ['abc_-1 recipient-unknown juliet@xmpp.example']);
  assert.deepEqual(world.answers, []);
});

for (const [what, xml] of [
  ['an id that is none of ours', `<message ${FROM} type='error' id='not ours!'><error type='cancel'/></message>`],
  ['no id', `<message ${FROM} type='error'><error type='cancel'/></message>`],
  [
    'a domain that is no peer',
    `<message from='a@other.example' to='romeo@${OWN}' type='error' id='abc'><error type='cancel'/></message>`,
  ],
] as const) {
  test(`dispatch: an error with ${what} means nothing`, async () => {
    const world = await answersTo(xml);
    assert.deepEqual([world.failed, world.answers], [[], []]);
  });
}
