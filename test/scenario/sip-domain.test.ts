import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import type { App } from '../../src/app.ts';
import type { ParsedResponse } from '../../src/sip/engine/parser.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { freePort } from '../support/ports.ts';
import { ScriptedPhone, type PhoneOptions } from '../support/scripted-phone.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { configOf, startApp, storeAccounts } from '../support/whole-app.ts';

/** Whole server, real sockets: users of sip.example at 127.0.0.1, partner.example at 127.0.0.2, a core at 127.0.0.3. */
const PASSWORD = 'correct horse';
const USERS = [
  'alice',
  'bob',
  'carol',
  'dave',
  'erin',
  'frank',
  'grace',
  'heidi',
  'ivan',
  'judy',
  'kim',
  'leo',
  'mia',
  'nils',
];
const PARTNER = '127.0.0.2';
const CORE = '127.0.0.3';

let app: App;
let partner: ScriptedPhone;
const log = new LogRecorder();
const ports = { udp: 0, tcp: 0 };
const phones: ScriptedPhone[] = [];

before(async () => {
  const folder = temporaryFolder('sip-domain');
  const partnerPort = await freePort();
  const config = configOf(
    `domains: [sip.example, { name: core.example, trust: ['${CORE}'] }]
data: ${join(folder, 'data')}
sip: { listen: ['udp://127.0.0.1:0', 'tcp://127.0.0.1:0'] }
peers:
  - { domain: partner.example, link: sip, nextHop: 'sip:${PARTNER}:${partnerPort};transport=tcp', trust: ['${PARTNER}'] }
http: { listen: '127.0.0.1:${await freePort()}' }
`,
    folder,
  );
  await storeAccounts(
    config.data,
    USERS.map((user) => `${user}@sip.example`),
    PASSWORD,
  );
  app = await startApp(config, folder, log);
  for (const { transport, port } of app.listeners)
    if (transport === 'udp' || transport === 'tcp') ports[transport] = port;
  partner = await aPhone('paul', { domain: 'partner.example', address: PARTNER, port: partnerPort, transport: 'tcp' });
});

after(async () => {
  await Promise.all(phones.map((phone) => phone.close()));
  await app.stop();
  assert.deepEqual(log.at('error'), []);
});

type PhoneParts = Partial<Omit<PhoneOptions, 'server'>> & { readonly transport?: 'udp' | 'tcp' };

async function aPhone(user: string, parts: PhoneParts = {}): Promise<ScriptedPhone> {
  const { transport = 'udp', ...rest } = parts;
  const server = { transport, port: ports[transport] };
  const phone = await ScriptedPhone.open({ user, domain: 'sip.example', password: PASSWORD, server, ...rest });
  phones.push(phone);
  return phone;
}

async function registered(user: string, transport: 'udp' | 'tcp' = 'udp'): Promise<ScriptedPhone> {
  const phone = await aPhone(user, { transport });
  assert.equal((await phone.register()).status, 200);
  return phone;
}

function contactsOf(response: ParsedResponse): readonly string[] {
  return response.headers.all('Contact').map((value) => value.replace(/;expires=\d+$/, ''));
}

for (const transport of ['udp', 'tcp'] as const) {
  test(`a phone comes and goes over ${transport}`, async () => {
    const phone = await aPhone('alice', { transport });
    assert.deepEqual(contactsOf(await phone.register()), [`<${phone.contact}>`]);
    const asked = await phone.request({ method: 'REGISTER', uri: 'sip:sip.example', to: '<sip:alice@sip.example>' });
    assert.deepEqual(contactsOf(asked), [`<${phone.contact}>`]);
    assert.deepEqual(contactsOf(await phone.register(0)), []);
  });
}

test('a registration that is too short is told the shortest', async () => {
  const response = await (await aPhone('alice')).register(10);
  assert.equal(response.status, 423);
  assert.equal(response.headers.get('Min-Expires'), '60');
});

for (const [name, user, password] of [
  ['a wrong password', 'alice', 'wrong'],
  ['an unknown user', 'nobody', PASSWORD],
] as const) {
  test(`${name} registers nothing`, async () => {
    const response = await (await aPhone(user, { password })).register();
    assert.equal(response.status, 401);
    assert.equal(response.headers.all('WWW-Authenticate').length, 2);
  });
}

test('one user of ours cannot write or register as another', async () => {
  const phone = await aPhone('alice');
  const from = '<sip:bob@sip.example>';
  const headers = [['Content-Type', 'text/plain']] as const;
  const written = await phone.request({ method: 'MESSAGE', uri: 'sip:carol@sip.example', from, headers, body: 'x' });
  assert.equal(written.status, 403);
  const there = await phone.request({
    method: 'REGISTER',
    uri: 'sip:sip.example',
    from,
    to: from,
    headers: [['Contact', `<${phone.contact}>`]],
  });
  assert.equal(there.status, 403);
});

for (const transport of ['udp', 'tcp'] as const) {
  test(`a message reaches a phone over ${transport}: 200, text and words as written`, async () => {
    const bob = await registered(transport === 'udp' ? 'bob' : 'nils', transport);
    const alice = await aPhone('alice', { transport });
    const response = await alice.write(bob.aor, 'Grüße 😀 שלום', [
      ['Content-Type', 'text/plain;charset=UTF-8'],
      ['Subject', 'Über'],
      ['Content-Language', 'de'],
    ]);
    assert.equal(response.status, 200);
    assert.equal(response.body.length, 0);
    assert.equal(response.headers.get('Contact'), undefined);
    const [message] = await bob.count(1);
    assert.deepEqual(bob.texts, ['Grüße 😀 שלום']);
    assert.equal(message?.uri, bob.contact);
    assert.equal(message.headers.get('Subject'), 'Über');
    assert.equal(message.headers.get('Content-Language'), 'de');
    assert.equal(message.from.uri, 'sip:alice@sip.example');
  });
}

test('a message of 10 kB goes over TCP', async () => {
  const carol = await registered('carol', 'tcp');
  const body = 'x'.repeat(10_240);
  assert.equal((await (await aPhone('alice', { transport: 'tcp' })).write(carol.aor, body)).status, 200);
  await carol.count(1);
  assert.deepEqual(carol.texts, [body]);
});

test('a phone that nobody can call is reached over the connection it opened itself', async () => {
  const dave = await registered('dave', 'tcp');
  await dave.closeListener();
  assert.equal((await (await aPhone('alice')).write(dave.aor, 'hello')).status, 200);
  await dave.count(1);
});

test('of two phones one takes it while the other is silent', async () => {
  const [silent, awake] = [await registered('erin'), await registered('erin')];
  silent.answer = () => undefined;
  assert.equal((await (await aPhone('alice')).write(awake.aor, 'hello')).status, 200);
  await Promise.all([silent.count(1), awake.count(1)]);
});

test('messages for a user who is away wait, and come in order when he registers', async () => {
  const alice = await aPhone('alice');
  for (const text of ['one', 'two', 'three']) {
    assert.equal((await alice.write('sip:frank@sip.example', text)).status, 202);
  }
  const frank = await registered('frank');
  await frank.count(3);
  assert.deepEqual(frank.texts, ['one', 'two', 'three']);
});

test('a refusal of the recipient is the answer', async () => {
  const grace = await registered('grace');
  grace.answer = () => ({ status: 415, headers: [['Accept', 'text/plain']] });
  const response = await (await aPhone('alice')).write(grace.aor, '<p>', [['Content-Type', 'text/html']]);
  assert.equal(response.status, 415);
  assert.equal(response.headers.get('Accept'), 'text/plain');
  assert.equal(grace.received.length, 1);
});

test('a request that comes twice is one message', async () => {
  const heidi = await registered('heidi');
  const core = await aPhone('zoe', { domain: 'core.example', address: CORE });
  const request = {
    method: 'MESSAGE',
    uri: heidi.aor,
    callId: 'twice',
    cseq: 1,
    headers: [['Content-Type', 'text/plain']] as const,
    body: 'once',
  };
  const bytes = core.bytesOf(request);
  const [first, copy] = [await core.exchange(bytes), await core.exchange(bytes)];
  // A new branch: a second transaction with the same request.
  const again = await core.exchange(core.bytesOf(request));
  assert.deepEqual([first.status, copy.status, again.status], [200, 200, 200]);
  assert.equal((await core.write(heidi.aor, 'next')).status, 200);
  assert.deepEqual(heidi.texts, ['once', 'next']);
});

test('deflated content arrives unfolded', async () => {
  const ivan = await registered('ivan');
  const headers = [
    ['Content-Type', 'message/imdn+xml'],
    ['Content-Encoding', 'deflate'],
  ] as const;
  assert.equal((await (await aPhone('alice')).write(ivan.aor, deflateSync('<imdn/>'), headers)).status, 200);
  await ivan.count(1);
  assert.deepEqual(ivan.texts, ['<imdn/>']);
  assert.equal(ivan.received[0]?.headers.get('Content-Encoding'), undefined);
});

const REFUSED: ReadonlyArray<readonly [name: string, uri: string, status: number]> = [
  ['an unknown user', 'sip:nobody@sip.example', 404],
  ['a domain in no peer entry', 'sip:eve@stranger.example', 403],
  ['a telephone number', 'sip:+15551234@sip.example;user=phone', 416],
  ['NUL in the address', 'sip:bob%00@sip.example', 400],
];
for (const [name, uri, status] of REFUSED) {
  test(`a message to ${name} is refused: ${status}`, async () => {
    const response = await (await aPhone('alice')).write(uri, 'hello');
    assert.equal(response.status, status);
    assert.match(response.headers.get('Warning') ?? '', /^399 sip\.example ".+"$/);
  });
}

test('a message reaches a peer and comes back from it', async () => {
  const judy = await registered('judy');
  assert.equal((await judy.write('sip:paul@partner.example', 'to the partner')).status, 202);
  await partner.count(1);
  assert.deepEqual(partner.texts, ['to the partner']);
  assert.equal(partner.received[0]?.uri, 'sip:paul@partner.example');
  assert.equal((await partner.write('sip:judy@sip.example', 'and back')).status, 200);
  assert.deepEqual(judy.texts, ['and back']);
});

test('a refusal of a peer after 202 comes to the sender in words', async () => {
  const kim = await registered('kim');
  const before = partner.answer;
  partner.answer = () => ({ status: 404 });
  try {
    assert.equal((await kim.write('sip:pual@partner.example', 'a typing slip')).status, 202);
    const [report] = await kim.count(1);
    assert.equal(report?.from.uri, 'sip:postmaster@sip.example');
    assert.match(
      kim.texts[0] ?? '',
      /^Your message to pual@partner\.example could not be delivered\. There is no such/,
    );
    assert.match(kim.texts[0] ?? '', /The message began: a typing slip$/);
  } finally {
    partner.answer = before;
  }
});

test('nobody but the peer speaks for its users, and the peer for nobody else', async () => {
  const stranger = await aPhone('paul', { domain: 'partner.example' });
  assert.equal((await stranger.write('sip:leo@sip.example', 'x')).status, 403);
  const liar = await aPhone('alice', { address: PARTNER, password: 'guess' });
  assert.equal((await liar.write('sip:leo@sip.example', 'x')).status, 401);
  const relay = await aPhone('paul', { domain: 'partner.example', address: PARTNER });
  assert.equal((await relay.write('sip:eve@stranger.example', 'x')).status, 403);
});

test('a trusted core needs no password and may assert who it is', async () => {
  const leo = await registered('leo');
  const core = await aPhone('zoe', { domain: 'core.example', address: CORE });
  const asserted = [['P-Asserted-Identity', '<sip:yan@core.example>']] as const;
  assert.equal((await core.write(leo.aor, 'x', asserted)).status, 200);
  assert.equal(leo.received[0]?.from.uri, 'sip:yan@core.example');
  assert.equal(leo.received[0].headers.get('P-Asserted-Identity'), undefined);
});

test('MESSAGE inside a dialog, unknown options and methods are refused as RFC 3261 says', async () => {
  const alice = await aPhone('alice');
  const uri = 'sip:mia@sip.example';
  const rows = [
    { request: { method: 'MESSAGE', uri, to: `<${uri}>;tag=x`, body: 'x' }, status: 481 },
    { request: { method: 'MESSAGE', uri, headers: [['Require', 'rocket']] as const, body: 'x' }, status: 420 },
    { request: { method: 'SUBSCRIBE', uri, headers: [['Event', 'dialog']] as const }, status: 489 },
    { request: { method: 'INFO', uri }, status: 405 },
    { request: { method: 'NOTIFY', uri, headers: [['Event', 'presence']] as const }, status: 481 },
    { request: { method: 'DANCE', uri }, status: 501 },
    { request: { method: 'OPTIONS', uri: 'sip:sip.example' }, status: 200 },
  ];
  for (const { request, status } of rows) {
    assert.equal((await alice.request(request)).status, status, request.method);
  }
});
