import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ParsedRequest } from '../../src/sip/engine/parser.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { parseSipUri, uriParam } from '../../src/sip/uri.ts';
import { freePort } from '../support/ports.ts';
import { rawRequest, rawResponse } from '../support/raw-sip.ts';
import { PLACES, RunningApp } from '../support/running-app.ts';
import { ScriptedPhone } from '../support/scripted-phone.ts';
import { until } from '../support/until.ts';
import { WsPeer } from '../support/ws-peer.ts';

/** A whole server as the edge of a SIP core: users of sip.example without a password here are known to that core alone. */
const INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"';

let world: RunningApp;
let core: ScriptedPhone;
let wsPort = 0;
before(async () => {
  const [udp, tcp] = [await freePort(), await freePort()];
  wsPort = await freePort();
  const listen = [`udp://127.0.0.1:${udp}`, `tcp://127.0.0.1:${tcp}`, `ws://127.0.0.1:${wsPort}`];
  const sip = JSON.stringify({ listen, websocket: { origins: ['https://chat.example'] } });
  world = await RunningApp.start({ homeCore: true, homeEdge: true, sip });
  await world.untilLinkUp();
  core = await ScriptedPhone.open({
    user: 'core',
    domain: 'sip.example',
    server: { transport: 'tcp', port: world.ports.tcp },
    address: PLACES.home,
    port: world.ports.home,
  });
});
after(async () => {
  await core.close();
  await world.stop();
  assert.deepEqual(world.errors, []);
});

/** Registers a phone that only the core knows. @returns what the core got, with the Path in it */
async function registered(phone: ScriptedPhone, headers: readonly HeaderField[] = []): Promise<ParsedRequest> {
  const count = core.received.length;
  core.answer = (request) => ({ status: 200, headers: [['Contact', request.headers.get('Contact') ?? '']] });
  const { status } = await phone.request({
    method: 'REGISTER',
    uri: 'sip:sip.example',
    to: `<${phone.aor}>`,
    headers: [['Contact', `<${phone.contact}>;reg-id=1;${INSTANCE}`], ['Supported', 'path, outbound'], ...headers],
  });
  assert.equal(status, 200);
  return core.received[count]!;
}

function fromCore(path: string, uri: string, headers: readonly HeaderField[] = []) {
  return core.request({
    method: 'MESSAGE',
    uri,
    headers: [['Route', path], ...headers, ['Content-Type', 'text/plain']],
    body: 'by the flow',
  });
}

const pathOf = (request: ParsedRequest): string => request.headers.get('Path') ?? '';

test('edge: a REGISTER goes to the core with a flow token in Path, and the answer back (RFC 5626, section 5.1)', async () => {
  const phone = await world.phone('zoe', 'tcp');
  const request = await registered(phone, [['P-Asserted-Identity', '<sip:alice@sip.example>']]);
  assert.equal(request.uri, 'sip:sip.example');
  assert.equal(request.headers.all('Via').length, 2);
  assert.equal(request.headers.get('Max-Forwards'), '69');
  assert.equal(request.headers.get('P-Asserted-Identity'), undefined);
  const path = parseSipUri(parseNameAddr(pathOf(request))?.uri ?? '');
  assert.equal(`${path?.host}:${path?.port}`, `${PLACES.server}:${world.ports.tcp}`);
  assert.deepEqual([uriParam(path!, 'lr'), uriParam(path!, 'ob')], [true, true]);
  core.answer = () => ({ status: 401, headers: [['WWW-Authenticate', 'Digest realm="r", nonce="n"']] });
  const bare = await world.phone('zoe', 'tcp');
  const challenged = await bare.exchange(
    bare.bytesOf({ method: 'REGISTER', uri: 'sip:sip.example', to: `<${bare.aor}>` }),
  );
  assert.equal(challenged.headers.get('WWW-Authenticate'), 'Digest realm="r", nonce="n"');
});

for (const transport of ['tcp', 'udp'] as const) {
  test(`edge: what the core sends by the Path goes over the flow of the phone (${transport})`, async () => {
    const phone = await world.phone('yan', transport);
    const path = pathOf(await registered(phone));
    phone.answer = () => ({ status: 200, headers: [['X-From', 'the phone']] });
    const answer = await fromCore(path, 'sip:yan@10.0.0.1', [['Route', '<sip:further@10.0.0.2;lr>']]);
    assert.deepEqual([answer.status, answer.headers.get('X-From')], [200, 'the phone']);
    const request = phone.received.at(-1);
    assert.deepEqual([request?.uri, request?.body.toString()], ['sip:yan@10.0.0.1', 'by the flow']);
    assert.deepEqual(request?.headers.all('Route'), ['<sip:further@10.0.0.2;lr>']);
    assert.equal(request.headers.all('Via').length, 2);
  });
}

test('edge: a page in a browser is a phone of the core like any other', async () => {
  const page = await WsPeer.connect(wsPort, { origin: 'https://chat.example' });
  core.answer = (request) => ({ status: 200, headers: [['Contact', request.headers.get('Contact') ?? '']] });
  page.send(
    rawRequest({
      method: 'REGISTER',
      uri: 'sip:sip.example',
      via: 'SIP/2.0/WS x7.invalid;branch=z9hG4bKpage',
      from: '<sip:pia@sip.example>;tag=1',
      to: '<sip:pia@sip.example>',
      headers: [`Contact: <sip:pia@x7.invalid;transport=ws>;reg-id=1;${INSTANCE}`, 'Supported: path, outbound'],
      body: '',
    }),
  );
  assert.equal((await page.next()).status, 200);
  const request = core.received.at(-1)!;
  assert.match(request.headers.all('Via')[1] ?? '', /^SIP\/2\.0\/WS x7\.invalid/);
  const answered = fromCore(pathOf(request), 'sip:pia@x7.invalid;transport=ws');
  const message = await page.next();
  assert.equal(message.startLine, 'MESSAGE sip:pia@x7.invalid;transport=ws SIP/2.0');
  page.send(rawResponse(message, 200));
  assert.equal((await answered).status, 200);
  page.close();
  await page.closed;
  assert.equal((await fromCore(pathOf(request), 'sip:pia@x7.invalid;transport=ws')).status, 430);
});

test('edge: a flow that is gone is 430, also after a restart; one over UDP outlives that (RFC 5626, section 5.3.1)', async () => {
  const [tcp, udp, other] = [
    await world.phone('xia', 'tcp'),
    await world.phone('xia'),
    await world.phone('wim', 'tcp'),
  ];
  const [gone, kept, later] = [
    pathOf(await registered(tcp)),
    pathOf(await registered(udp)),
    pathOf(await registered(other)),
  ];
  await tcp.close();
  await until(async () => (await fromCore(gone, 'sip:xia@10.0.0.1')).status === 430, { what: 'the flow is gone' });
  await world.crash();
  assert.equal((await fromCore(later, 'sip:wim@10.0.0.1')).status, 430);
  assert.equal((await fromCore(kept, 'sip:xia@10.0.0.1')).status, 200);
  assert.equal(udp.received.length, 1);
});

test('vulnerabilities: what only a trusted element may assert comes from no phone, however it is spelt', async () => {
  const phone = await world.phone('zoe', 'tcp');
  const asserted = [
    'P-Asserted-Identity',
    'p-served-user',
    'P-SERVED-USER',
    'p-asserted-Service',
    'remote-party-id',
    'y',
    'IDENTITY',
  ];
  asserted.push('p-user-Database', 'service-ROUTE');
  const fields = asserted.map((name): HeaderField => [name, '<sip:alice@sip.example>']);
  const request = await registered(phone, [...fields, ['p-preferred-identity', '<sip:zoe@sip.example>']]);
  const names = request.headers.fields.map(([name]) => name.toLowerCase());
  for (const name of [...asserted, 'identity']) assert.equal(names.includes(name.toLowerCase()), false, name);
  assert.ok(names.includes('p-preferred-identity'));
});

test('edge: a subscription of a phone is recorded, and goes on over its flow in both directions', async () => {
  const phone = await world.phone('vic', 'tcp');
  core.answer = (request) => ({
    status: 200,
    headers: [
      ['Contact', '<sip:10.9.9.9>'],
      ['Expires', '600'],
      ['Record-Route', request.headers.get('Record-Route') ?? ''],
    ],
  });
  const subscribe = { method: 'SUBSCRIBE', uri: 'sip:alice@sip.example', callId: 'edge-1' };
  const subscribed = await phone.request({
    ...subscribe,
    headers: [
      ['Event', 'presence'],
      ['Contact', `<${phone.contact}>`],
    ],
  });
  assert.equal(subscribed.status, 200);
  const route = core.received.at(-1)?.headers.get('Record-Route') ?? '';
  assert.equal(uriParam(parseSipUri(parseNameAddr(route)?.uri ?? '')!, 'ob'), undefined);
  const notified = await core.request({
    method: 'NOTIFY',
    uri: phone.contact,
    headers: [
      ['Route', route],
      ['Event', 'presence'],
      ['Subscription-State', 'active'],
    ],
  });
  assert.equal(notified.status, 200);
  assert.equal(phone.received.at(-1)?.method, 'NOTIFY');
  // Whatever machine its target names, it goes to the core.
  const victim = await world.udp('127.0.0.77');
  const refreshed = await phone.request({
    ...subscribe,
    uri: `sip:${victim.address}:${victim.port}`,
    to: `<sip:alice@sip.example>;tag=core`,
    headers: [
      ['Route', route],
      ['Event', 'presence'],
      ['Contact', `<${phone.contact}>`],
    ],
  });
  assert.equal(refreshed.status, 200);
  assert.equal(core.received.at(-1)?.uri, `sip:${victim.address}:${victim.port}`);
  assert.equal(core.received.at(-1)?.headers.get('Route'), undefined);
  assert.equal(victim.received.length, 0);
});

test('edge: users with a password here are served here, and requests without a hop left go nowhere', async () => {
  const count = core.received.length;
  const alice = await world.registered('alice');
  assert.equal((await alice.write('sip:alice@sip.example', 'here')).status, 200);
  const phone = await world.phone('zoe', 'tcp');
  const bytes = phone.bytesOf({ method: 'REGISTER', uri: 'sip:sip.example', to: `<${phone.aor}>` });
  const last = Buffer.from(bytes.toString().replace('Max-Forwards: 70', 'Max-Forwards: 0'));
  assert.equal((await phone.exchange(last)).status, 483);
  assert.equal(core.received.length, count);
});

test('vulnerabilities: forged flow tokens, and true ones in the hands of others, reach no phone', async () => {
  const phone = await world.phone('uma', 'tcp');
  const path = pathOf(await registered(phone));
  const token = /sip:([\w-]+)@/.exec(path)?.[1] ?? '';
  const bytes = Buffer.from(token, 'base64url');
  for (let at = 0; at < bytes.length; at += 5) {
    const forged = Buffer.from(bytes);
    forged[at] = (forged[at] ?? 0) ^ 1;
    const { status } = await fromCore(path.replace(token, forged.toString('base64url')), 'sip:uma@10.0.0.1');
    assert.equal(status, 403);
  }
  for (const wrong of ['x', 'A'.repeat(64), 'B'.repeat(2_000)]) {
    assert.equal((await fromCore(path.replace(token, wrong), 'sip:uma@10.0.0.1')).status, 403);
  }
  const stranger = await ScriptedPhone.open({
    user: 'eve',
    domain: 'stranger.example',
    server: { transport: 'udp', port: world.ports.udp },
    address: PLACES.stranger,
  });
  const stolen = await stranger.request({
    method: 'MESSAGE',
    uri: 'sip:uma@10.0.0.1',
    headers: [['Route', path]],
    body: 'x',
  });
  assert.equal(stolen.status, 403);
  await stranger.close();
  assert.equal(phone.received.length, 0);
});
