import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { App } from '../../src/app.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { freePort } from '../support/ports.ts';
import { ScriptedPhone, type PhoneOptions } from '../support/scripted-phone.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';
import { configOf, startApp, storeAccounts } from '../support/whole-app.ts';

/** Whole server, real sockets: core.example is behind a core at 127.0.0.3, which has the users that are not here. */
const PASSWORD = 'correct horse';
const CORE = '127.0.0.3';

let app: App;
let core: ScriptedPhone;
let alice: ScriptedPhone;
let port = 0;
const log = new LogRecorder();
const phones: ScriptedPhone[] = [];

async function aPhone(user: string, parts: Partial<Omit<PhoneOptions, 'server'>>): Promise<ScriptedPhone> {
  const server = { transport: 'tcp', port } as const;
  const phone = await ScriptedPhone.open({ user, domain: 'sip.example', password: PASSWORD, server, ...parts });
  phones.push(phone);
  return phone;
}

before(async () => {
  const folder = temporaryFolder('core-next-hop');
  const corePort = await freePort();
  const config = configOf(
    `domains: [sip.example, { name: core.example, trust: ['${CORE}'], nextHop: 'sip:${CORE}:${corePort};transport=tcp' }]
data: ${join(folder, 'data')}
sip: { listen: ['tcp://127.0.0.1:0'] }
`,
    folder,
  );
  await storeAccounts(config.data, ['alice@sip.example', 'carol@core.example'], PASSWORD);
  app = await startApp(config, folder, log);
  port = app.listeners[0]?.port ?? 0;
  core = await aPhone('core', { domain: 'core.example', address: CORE, port: corePort });
  alice = await aPhone('alice', {});
  assert.equal((await alice.register()).status, 200);
});

after(async () => {
  await Promise.all(phones.map((phone) => phone.close()));
  await app.stop();
  assert.deepEqual(log.at('error'), []);
});

test('a message for a user whom the core has goes to the core, under his own address', async () => {
  assert.equal((await alice.write('sip:zoe@core.example', 'to the core')).status, 202);
  await until(() => core.texts.length === 1, { what: 'the message at the core' });
  assert.deepEqual(core.texts, ['to the core']);
  assert.equal(core.received[0]?.uri, 'sip:zoe@core.example');
  assert.match(core.received[0].headers.get('From') ?? '', /sip:alice@sip\.example/);
});

test('a message for a user of that domain who has a password here waits here for him', async () => {
  assert.equal((await alice.write('sip:carol@core.example', 'for carol')).status, 202);
  const carol = await aPhone('carol', { domain: 'core.example' });
  assert.equal((await carol.register()).status, 200);
  await until(() => carol.texts.length === 1, { what: 'the message at the phone' });
  assert.deepEqual(carol.texts, ['for carol']);
  assert.equal(core.texts.includes('for carol'), false);
});

test('the core may write to our users as its own, and gets nothing back that neither knows', async () => {
  const from = '<sip:yan@core.example>';
  const message = (uri: string) =>
    core.request({ method: 'MESSAGE', uri, from, headers: [['Content-Type', 'text/plain']], body: 'from the core' });
  assert.equal((await message('sip:alice@sip.example')).status, 200);
  assert.deepEqual(alice.texts, ['from the core']);
  assert.equal((await message('sip:zoe@core.example')).status, 482);
  assert.equal(core.texts.length, 1);
});

test('an unknown user of a domain without a core is unknown still', async () => {
  assert.equal((await alice.write('sip:zoe@sip.example', 'x')).status, 404);
});

test('health says of a domain behind a core whether the core is reached, and what waits for it', () => {
  assert.deepEqual(app.health().peers['core.example'], { reachable: true, waiting: 0 });
  assert.equal(app.health().peers['sip.example'], undefined);
});
