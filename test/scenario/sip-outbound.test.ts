import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ParsedResponse } from '../../src/sip/engine/parser.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest } from '../support/raw-sip.ts';
import { PLACES, RunningApp } from '../support/running-app.ts';
import type { ScriptedPhone } from '../support/scripted-phone.ts';
import { until } from '../support/until.ts';

/** Phones with flows, devices and proxies of their own, at a whole server: RFC 5626, RFC 5627, RFC 3327. */
let world: RunningApp;
before(async () => {
  world = await RunningApp.start({
    users: ['frank', 'grace', 'heidi', 'ivan', 'judy', 'kim', 'leo', 'mia', 'nils'],
    presence: 'default: allow, notifyIntervalSeconds: 0',
  });
  await world.untilLinkUp();
});
after(async () => {
  await world.stop();
  assert.deepEqual(world.errors, []);
});

let made = 0;
const anInstance = (): string => `urn:uuid:00000000-0000-1000-8000-${String((made += 1)).padStart(12, '0')}`;

type Registration = {
  readonly device: string;
  readonly regId?: number;
  readonly contact?: string;
  readonly callId?: string;
  readonly expires?: number;
  readonly headers?: readonly HeaderField[];
};

async function registerDevice(phone: ScriptedPhone, parts: Registration): Promise<ParsedResponse> {
  const { device, regId, contact = phone.contact, callId, expires = 600, headers = [] } = parts;
  const flow = regId === undefined ? '' : `;reg-id=${regId}`;
  const response = await phone.request({
    method: 'REGISTER',
    uri: 'sip:sip.example',
    to: `<${phone.aor}>`,
    ...(callId === undefined ? {} : { callId }),
    headers: [
      ['Contact', `<${contact}>;+sip.instance="<${device}>"${flow};expires=${expires}`],
      ['Supported', 'path, outbound, gruu'],
      ...headers,
    ],
  });
  assert.equal(response.status, 200);
  return response;
}

function paramOf(response: ParsedResponse, device: string, name: string): string {
  const contact = response.headers.all('Contact').find((value) => value.includes(device));
  const value = parseNameAddr(contact ?? '')?.params.get(name);
  assert.ok(typeof value === 'string', `${name} in ${contact}`);
  return value;
}

test('outbound: a device with two flows is written to over the newest, and over the other when that is gone', async () => {
  const device = anInstance();
  const [first, second] = [await world.phone('frank', 'tcp'), await world.phone('frank', 'tcp')];
  await registerDevice(first, { device, regId: 1 });
  const { headers } = await registerDevice(second, { device, regId: 2 });
  assert.equal(headers.get('Require'), 'outbound');
  assert.equal(headers.all('Contact').length, 2);
  const alice = await world.phone('alice');
  assert.equal((await alice.write('sip:frank@sip.example', 'one')).status, 200);
  assert.deepEqual([first.texts, second.texts], [[], ['one']]);
  await second.close();
  await until(async () => (await alice.write('sip:frank@sip.example', 'two')).status === 200, { what: 'taken' });
  assert.ok(first.texts.includes('two'));
  assert.deepEqual(second.texts, ['one']);
});

test('outbound: 430 of the proxy that holds a flow leads to the other flow, any other answer does not', async () => {
  const device = anInstance();
  const [first, second] = [await world.phone('grace', 'tcp'), await world.phone('grace', 'tcp')];
  await registerDevice(first, { device, regId: 1 });
  await registerDevice(second, { device, regId: 2 });
  const alice = await world.phone('alice');
  second.answer = () => ({ status: 430 });
  assert.equal((await alice.write('sip:grace@sip.example', 'over the other')).status, 200);
  assert.deepEqual(first.texts, ['over the other']);
  second.answer = () => ({ status: 488 });
  assert.equal((await alice.write('sip:grace@sip.example', 'not wanted')).status, 488);
  assert.deepEqual(first.texts, ['over the other']);
});

test('outbound: a flow that registers anew takes the place of the one it had, whatever its contact', async () => {
  const device = anInstance();
  const [before, later] = [await world.phone('heidi', 'tcp'), await world.phone('heidi', 'tcp')];
  await registerDevice(before, { device, regId: 1, callId: 'h1' });
  const { headers } = await registerDevice(later, {
    device: device.toUpperCase().replace('URN:UUID', 'urn:uuid'),
    regId: 1,
  });
  assert.equal(headers.all('Contact').length, 1);
  await (await world.phone('alice')).write('sip:heidi@sip.example', 'here');
  assert.deepEqual([before.texts, later.texts], [[], ['here']]);
});

test('nat: over UDP requests go to where the phone is, not to what it calls itself', async () => {
  const phone = await world.phone('ivan');
  await registerDevice(phone, { device: anInstance(), regId: 1, contact: 'sip:ivan@10.255.255.1:5060' });
  const alice = await world.phone('alice');
  assert.equal((await alice.write('sip:ivan@sip.example', 'through the NAT')).status, 200);
  assert.equal(phone.received.at(-1)?.uri, 'sip:ivan@10.255.255.1:5060');
  assert.equal((await phone.register(0)).status, 200);
});

test('nat: a STUN keep-alive on the SIP port is answered with where it came from (RFC 5626, section 8)', async () => {
  const peer = await world.udp();
  const transaction = 'b7e7a701bc34d686fa87dfae';
  peer.send(Buffer.from(`000100002112a442${transaction}`, 'hex'), world.ports.udp, PLACES.server);
  const { bytes } = await peer.next();
  assert.equal(bytes.subarray(0, 20).toString('hex'), `0101000c2112a442${transaction}`);
  assert.equal(bytes.readUInt16BE(26) ^ 0x2112, peer.port);
});

test('gruu: a message to one device reaches that one alone, and none is kept up by one that is away', async () => {
  const [desk, mobile] = [anInstance(), anInstance()];
  const [one, other] = [await world.phone('judy'), await world.phone('judy')];
  await registerDevice(one, { device: desk });
  const registered = await registerDevice(other, { device: mobile });
  const gruu = paramOf(registered, mobile, 'pub-gruu');
  assert.equal(gruu, `sip:judy@sip.example;gr=${mobile}`);
  const alice = await world.phone('alice');
  assert.equal((await alice.write(gruu, 'for the mobile')).status, 200);
  assert.deepEqual([one.texts, other.texts], [[], ['for the mobile']]);
  await registerDevice(other, { device: mobile, expires: 0 });
  assert.equal((await alice.write(gruu, 'for later')).status, 202);
  assert.equal((await alice.write('sip:judy@sip.example', 'for anybody')).status, 200);
  assert.deepEqual(one.texts, ['for anybody']);
  await registerDevice(other, { device: mobile });
  await until(() => other.texts.includes('for later'), { what: 'the device has what waited for it' });
  assert.deepEqual(one.texts, ['for anybody']);
});

test('gruu: a temporary one works until the phone starts anew, and is nobody then', async () => {
  const device = anInstance();
  const phone = await world.phone('kim');
  const gruu = paramOf(await registerDevice(phone, { device, callId: 'k1' }), device, 'temp-gruu');
  const again = paramOf(await registerDevice(phone, { device, callId: 'k1' }), device, 'temp-gruu');
  assert.notEqual(again, gruu);
  const alice = await world.phone('alice');
  for (const uri of [gruu, again]) assert.equal((await alice.write(uri, 'psst')).status, 200);
  // Whose it is does not come out by a failure either.
  phone.answer = ({ method }) => (method === 'MESSAGE' ? { status: 480 } : { status: 200 });
  assert.equal((await alice.write(gruu, 'not now', [['Expires', '1']])).status, 202);
  const reader = await world.registered('alice');
  await until(() => reader.texts.some((text) => text.includes('could not be delivered')), { what: 'the report' });
  assert.ok(
    reader.texts.every((text) => !text.includes('kim') && text.includes('tgruu.')),
    reader.texts.join(),
  );
  await reader.register(0);
  await registerDevice(phone, { device, callId: 'k2' });
  for (const uri of [gruu, again, 'sip:kim@sip.example;gr', 'sip:tgruu.AAAA@sip.example;gr']) {
    assert.equal((await alice.write(uri, 'psst')).status, 404);
  }
  assert.equal(phone.texts.filter((text) => text === 'psst').length, 2);
});

test('gruu: a phone that subscribes with it is told over its flow', async () => {
  const device = anInstance();
  const phone = await world.phone('leo', 'tcp');
  const gruu = paramOf(await registerDevice(phone, { device, regId: 1 }), device, 'pub-gruu');
  const subscribed = await phone.request({
    method: 'SUBSCRIBE',
    uri: 'sip:alice@sip.example',
    headers: [
      ['Event', 'presence'],
      ['Expires', '600'],
      ['Contact', `<${gruu}>`],
    ],
  });
  assert.equal(subscribed.status, 200);
  const [notify] = await phone.count(1);
  assert.deepEqual([notify?.method, notify?.uri], ['NOTIFY', phone.contact]);
  // Over another flow of the device, when the one of the dialog is gone.
  const other = await world.phone('leo', 'tcp');
  await registerDevice(other, { device, regId: 2 });
  await phone.close();
  const mia = await world.registered('alice');
  await other.count(1, 10_000);
  assert.equal(other.received[0]?.method, 'NOTIFY');
  await mia.register(0);
});

test('gruu: XMPP users see a device by its name', async () => {
  const device = anInstance();
  const phone = await world.phone('nils');
  world.xmpp.sendRaw(`<presence type='subscribe' from='juliet@xmpp.example' to='nils@sip.xmpp.example'/>`);
  await registerDevice(phone, { device });
  await until(() => world.xmpp.received.some((stanza) => stanza.attrs['from'] === `nils@sip.xmpp.example/${device}`), {
    what: 'presence of the device',
  });
});

test('path: requests go by the proxies that a REGISTER has passed, with the contact as their end (RFC 3327)', async () => {
  const proxy = await world.udp();
  const phone = await world.phone('mia');
  const path = `<sip:token@${proxy.address}:${proxy.port};lr;ob>`;
  // What a proxy adds on the way: the digest does not cover it.
  const challenged = await phone.request({ method: 'OPTIONS', uri: 'sip:sip.example' });
  assert.equal(challenged.status, 200);
  const bytes = (authorization: string): Buffer =>
    rawRequest({
      method: 'REGISTER',
      uri: 'sip:sip.example',
      from: '<sip:mia@sip.example>;tag=1',
      to: '<sip:mia@sip.example>',
      via: `SIP/2.0/UDP ${proxy.address}:${proxy.port};branch=z9hG4bKp${(made += 1)}, SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKq`,
      headers: [
        `Path: ${path}`,
        'Contact: <sip:mia@10.0.0.1:5070;transport=tcp>;reg-id=1;+sip.instance="<urn:uuid:9>"',
        'Supported: path, outbound',
        ...(authorization === '' ? [] : [`Authorization: ${authorization}`]),
      ],
      body: '',
    });
  const challenge = await world.ask(proxy, bytes(''));
  const registered = await world.ask(
    proxy,
    bytes(phone.authorize('REGISTER', 'sip:sip.example', challenge.header('WWW-Authenticate'))),
  );
  assert.equal(registered.status, 200);
  assert.equal(registered.header('Path'), path);
  assert.equal(registered.header('Require'), 'outbound');
  const alice = await world.phone('alice');
  const written = alice.write('sip:mia@sip.example', 'by the proxy');
  const request = await proxy.next();
  assert.equal(request.startLine, 'MESSAGE sip:mia@10.0.0.1:5070;transport=tcp SIP/2.0');
  assert.equal(request.header('Route'), path);
  proxy.send(responseTo(request.bytes), request.port, PLACES.server);
  assert.equal((await written).status, 200);
});

test('vulnerabilities: a Path to a third party is refused, and nothing is sent there', async () => {
  const victim = await world.udp('127.0.0.77');
  const phone = await world.phone('alice');
  const { status } = await phone.request({
    method: 'REGISTER',
    uri: 'sip:sip.example',
    to: '<sip:alice@sip.example>',
    headers: [
      ['Contact', '<sip:alice@10.0.0.1>'],
      ['Path', `<sip:${victim.address}:${victim.port};lr>`],
    ],
  });
  assert.equal(status, 403);
  assert.equal((await phone.write('sip:alice@sip.example', 'to myself')).status, 202);
  assert.equal(victim.received.length, 0);
});

test('outbound: after a restart connections are known to be gone: nobody is dialled, and messages wait', async () => {
  const device = anInstance();
  const phone = await world.phone('erin', 'tcp');
  await registerDevice(phone, { device, regId: 1 });
  await world.crash();
  await world.untilLinkUp();
  const alice = await world.phone('alice');
  const startMs = performance.now();
  assert.equal((await alice.write('sip:erin@sip.example', 'wait for me')).status, 202);
  assert.ok(performance.now() - startMs < 1_500, 'nothing was tried');
  assert.deepEqual(phone.texts, []);
  const back = await world.phone('erin', 'tcp');
  await registerDevice(back, { device, regId: 1 });
  await until(() => back.texts.length > 0, { what: 'the message' });
  assert.deepEqual(back.texts, ['wait for me']);
});

test('outbound: a connection without the signs of life that were promised is closed (RFC 5626, section 5.4)', async (t) => {
  const stage = await EngineStage.open(t, {}, async () => ({ status: 200, flowTimerSeconds: 60 }));
  const [silent, alive] = [await stage.tcpPeer(), await stage.tcpPeer()];
  for (const peer of [silent, alive]) {
    peer.send(rawRequest({ via: `SIP/2.0/TCP 127.0.0.1:1;branch=z9hG4bKft${(made += 1)}` }));
    await peer.next();
  }
  const flow = stage.seen[0]!.flow.id;
  await stage.pass(55_000);
  alive.send('\r\n\r\n');
  await until(() => alive.bytes.subarray(-2).toString() === '\r\n', { what: 'the pong' });
  await stage.pass(20_000);
  await silent.closed;
  assert.equal(stage.stack.isFlowOpen(flow), false);
  await assert.rejects(stage.stack.request(anOutgoing('sip:a@b.invalid', { nextHop: { flow } })), {
    code: 'peer-unreachable',
  });
  assert.equal(stage.stack.isFlowOpen(stage.seen[1]!.flow.id), true);
});

function responseTo(request: Buffer): string {
  const lines = request.toString().split('\r\n');
  const copied = lines.filter((line) => /^(Via|From|To|Call-ID|CSeq):/i.test(line));
  return `${['SIP/2.0 200 OK', ...copied, 'Content-Length: 0'].join('\r\n')}\r\n\r\n`;
}
