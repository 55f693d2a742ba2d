import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { DrachtioServer } from '../support/drachtio-server.ts';
import { PresenceStage } from '../support/presence-stage.ts';
import { rawRequest, rawResponse, StreamServer } from '../support/raw-sip.ts';
import { COMPONENT, PLACES } from '../support/running-app.ts';
import { pidfOf } from '../support/scripted-presence-server.ts';
import type { ScriptedPhone } from '../support/scripted-phone.ts';
import { until } from '../support/until.ts';

/** A whole server whose SIP a drachtio server carries: phones are at that one's ports, XMPP is behind a component link. */
const SECRET = 'between the two of us';
let edge: DrachtioServer;
let stage: PresenceStage;

before(async () => {
  edge = await DrachtioServer.start({ secret: SECRET });
  stage = await PresenceStage.open({
    sip: `{ engine: drachtio, drachtio: [{ host: 127.0.0.1, port: ${edge.controlPort}, secret: ${SECRET} }] }`,
    presence: 'default: allow, notifyIntervalSeconds: 0',
    users: ['frank', 'grace'],
  });
});

after(async () => {
  await stage.stop();
  await edge.stop();
});

/** Messages of juliet's to a user of ours. */
function juliet(to: string, text: string, id: string): void {
  stage.world.xmpp.sendRaw(
    `<message from='juliet@xmpp.example/balcony' to='${to}@${COMPONENT}' type='chat' id='${id}'><body>${text}</body></message>`,
  );
}

function messagesOf(phone: ScriptedPhone): string[] {
  const once = new Map<string, string>();
  for (const { method, headers, body } of phone.received) {
    if (method === 'MESSAGE') once.set(headers.get('Call-ID') ?? '', body.toString());
  }
  return [...once.values()];
}

test('drachtio: a phone registers at the server and writes to an XMPP user, over UDP and TCP', async () => {
  for (const [user, transport] of [
    ['alice', 'udp'],
    ['bob', 'tcp'],
  ] as const) {
    const phone = await stage.world.registered(user, transport);
    const { status } = await phone.write('sip:juliet@xmpp.example', `from ${user}: grüße 😀`);
    assert.ok([200, 202].includes(status), String(status));
    await until(() => stage.world.xmppTexts.includes(`from ${user}: grüße 😀`), { what: `the message of ${user}` });
  }
});

test('drachtio: a phone behind proxies that the server cannot follow is told so when it registers', async () => {
  const phone = await stage.world.phone('erin');
  const far = await phone.register(600, [['Path', '<sip:token@127.0.0.1;lr;ob>']]);
  assert.equal(far.status, 420);
  assert.equal(far.headers.get('Unsupported'), 'path');
  const plain = await phone.register(600, [['Path', `<sip:127.0.0.1:${phone.port};lr>`]]);
  assert.equal(plain.status, 200);
  juliet('erin', 'by way of one proxy', 'm0');
  await until(() => messagesOf(phone).includes('by way of one proxy'), { what: 'the message' });
});

test('drachtio: an XMPP user writes to a phone on UDP, and to one behind a connection that only it can open', async () => {
  const carol = await stage.world.registered('carol');
  const dave = await stage.world.registered('dave', 'tcp');
  await dave.closeListener();
  juliet('carol', 'in the open', 'm1');
  juliet('dave', 'through the connection', 'm2');
  await until(() => messagesOf(carol).includes('in the open'), { what: 'the message over UDP' });
  await until(() => messagesOf(dave).includes('through the connection'), { what: 'the message over the connection' });
});

test('drachtio: a phone watches an XMPP user through his changes, refreshes and ends it', async () => {
  const contact = stage.contact('romeo@xmpp.example');
  const watching = await stage.watch('alice', 'sip:romeo@xmpp.example');
  assert.equal(watching.status, 200);
  await contact.untilNews(1, 'the request');
  contact.say({ to: 'alice', type: 'subscribed' });
  contact.say({ to: 'alice', resource: 'balcony', children: '<status>here</status>' });
  await watching.until(({ body }) => body.includes('here'), { what: 'here' });
  contact.say({ to: 'alice', resource: 'balcony', children: '<show>away</show><status>gone out</status>' });
  await watching.until(({ body }) => body.includes('gone out'), { what: 'gone out' });
  const before = watching.notifies.length;
  assert.equal((await watching.refresh()).status, 200);
  await watching.until(() => true, { from: before, what: 'the NOTIFY after a refresh' });
  assert.equal(edge.sip.dialogs.size, 1, 'the server has a dialog, too');
  assert.equal((await watching.unsubscribe()).status, 200);
  await watching.until(({ state }) => state.state === 'terminated', { what: 'the end' });
  await until(() => edge.sip.dialogs.size === 0, { what: 'the server lets go of its dialog' });
});

test('drachtio: an XMPP user watches a phone that publishes', async () => {
  const contact = stage.contact('benvolio@xmpp.example');
  contact.say({ to: 'bob', type: 'subscribe' });
  await contact.until(({ attrs }) => attrs['type'] === 'subscribed', 'subscribed');
  const phone = await stage.phone('bob');
  assert.equal((await phone.publish('reading')).status, 200);
  await contact.until(({ children }) => JSON.stringify(children).includes('reading'), 'the note of the publication');
});

test('drachtio: a SIP peer is written to at its next hop, and believed by the address that the server names', async () => {
  const partner = await StreamServer.open(undefined, undefined, stage.world.ports.partner, PLACES.partner);
  const phone = (await stage.phone('alice')).phone;
  const written = phone.write('sip:zoe@partner.example', 'over the fence');
  const peer = await partner.next();
  const request = await peer.next(10_000);
  assert.equal(request.body.toString(), 'over the fence');
  peer.send(rawResponse(request, 200));
  assert.ok([200, 202].includes((await written).status));
  for (const place of [PLACES.partner, PLACES.stranger]) {
    const sender = await stage.world.udp(place);
    const parts = {
      from: '<sip:zoe@partner.example>;tag=z1',
      uri: 'sip:alice@sip.example',
      to: '<sip:alice@sip.example>',
    };
    sender.send(rawRequest({ ...parts, body: `from ${place}` }), edge.sip.ports.udp, PLACES.server);
    const { status } = await sender.next(10_000);
    assert.equal(status < 300, place === PLACES.partner, `${place}: ${status}`);
  }
  partner.close();
});

test('drachtio: a user watches the user of a SIP peer', async () => {
  const partner = await stage.partnerServer();
  const watching = await stage.watch('bob', 'sip:paul@partner.example');
  const subscribe = await partner.untilSubscribe('paul', 1);
  const body = pidfOf('paul@partner.example', [['t', '<status><basic>open</basic></status><note>in</note>']]);
  assert.equal((await partner.notify(subscribe, { body })).status, 200);
  await watching.until(({ body: seen }) => seen.includes('in<'), { what: 'the note' });
  assert.equal((await partner.notify(subscribe, { body: body.replace('in<', 'out<') })).status, 200);
  await watching.until(({ body: seen }) => seen.includes('out<'), { what: 'the next note' });
  await partner.close();
});

test('drachtio: a message too large for the control connection comes back to its sender, and later ones go', async () => {
  const frank = await stage.world.registered('frank');
  juliet('frank', 'x'.repeat(13_000), 'large');
  juliet('frank', 'small', 'small');
  const refused = await until(
    () => stage.world.xmppMessages.find(({ attrs }) => attrs['type'] === 'error' && attrs['id'] === 'large'),
    { what: 'the error for the large message' },
  );
  assert.match(JSON.stringify(refused), /policy-violation|not-acceptable/);
  await until(() => messagesOf(frank).includes('small'), { what: 'the small message' });
  assert.ok(!messagesOf(frank).some((text) => text.length > 10_000));
});

test('drachtio: a server that is lost in the middle of load loses nothing, and the rest comes in order', async () => {
  const grace = await stage.world.registered('grace');
  const wanted = Array.from({ length: 300 }, (_, at) => `n${at}`);
  for (const [at, text] of wanted.entries()) {
    juliet('grace', text, text);
    if (at === 150) {
      await until(() => messagesOf(grace).length > 0, { what: 'the load begins', everyMs: 1 });
      await edge.cutControl();
    }
  }
  const { sipServers } = stage.world.app.health();
  await until(() => Object.values(stage.world.app.health().sipServers ?? {})[0]?.at === 'down', {
    what: 'health says so',
  });
  assert.notEqual(sipServers, undefined);
  await edge.openControl();
  await until(() => messagesOf(grace).length === wanted.length, { what: 'all messages', withinMs: 20_000 });
  assert.deepEqual(messagesOf(grace), wanted);
});

test("drachtio: what cannot be sent is nobody else's matter, and health names the server and its version", () => {
  assert.deepEqual(
    Object.values(stage.world.app.health().sipServers ?? {}).map(({ at, version }) => [at, version]),
    [['up', 'v0.9.10']],
  );
  const { udp, tcp } = edge.sip.ports;
  assert.deepEqual(
    stage.world.app.health().sip.map(({ transport, port }) => [transport, port]),
    [
      ['tcp', tcp],
      ['udp', udp],
    ],
  );
});
