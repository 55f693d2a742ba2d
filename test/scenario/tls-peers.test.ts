import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { join, resolve } from 'node:path';
import { App } from '../../src/app.ts';
import { readConfig } from '../../src/core/config.ts';
import { credentialOf } from '../../src/sip/digest.ts';
import { openCredentials } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { anAddress } from '../support/builders.ts';
import { freePort } from '../support/ports.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { ScriptedPhone } from '../support/scripted-phone.ts';
import { testAuthority, testCertificate } from '../support/self-signed.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const PASSWORD = 'two roads diverged';
const authority = testAuthority();

type Domain = { readonly app: App; readonly log: RecordingLog; readonly phone: ScriptedPhone };
type Plan = {
  readonly domain: string;
  readonly user: string;
  /** Names in its certificate. */
  readonly names: readonly string[];
  readonly tlsPort: number;
  readonly peer: string;
  readonly peerPort: number;
};

const closing: Array<() => Promise<unknown>> = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

/** A whole server for one domain with one user, whose only peer is reached over TLS. */
async function serve(plan: Plan): Promise<Domain> {
  const folder = temporaryFolder('tls-peers');
  const leaf = testCertificate(plan.names);
  const files: Record<string, string> = { cert: leaf.certificate, key: leaf.key, ca: authority.certificate };
  const config = readConfig(
    `domains: [${plan.domain}]
data: ${JSON.stringify(join(folder, 'data'))}
sip:
  listen: ['udp://127.0.0.1:0', 'tls://127.0.0.1:${plan.tlsPort}']
  tls: { certificate: cert, key: key, ca: ca }
peers:
  - { domain: ${plan.peer}, link: sip, nextHop: 'sip:127.0.0.1:${plan.peerPort};transport=tls' }
dns: { servers: ['127.0.0.1:9'] }`,
    {
      baseFolder: folder,
      env: {},
      readFile: (file) => files[file.slice(folder.length + 1)] ?? '',
      resolvePath: (base, path) => resolve(base, path),
    },
  );
  const accounts = await openCredentials(config.data);
  await accounts.credentials.put([credentialOf(anAddress(`${plan.user}@${plan.domain}`), PASSWORD)]);
  await accounts.close();
  const log = new RecordingLog();
  const app = await App.create({
    config,
    version: 'test',
    controlSocket: join(folder, 'control.sock'),
    clock: systemClock,
    random: Math.random,
    log,
  });
  await app.start();
  closing.push(() => app.stop());
  const port = app.listeners.find(({ transport }) => transport === 'udp')?.port ?? 0;
  const phone = await ScriptedPhone.open({
    user: plan.user,
    domain: plan.domain,
    password: PASSWORD,
    server: { transport: 'udp', port },
  });
  closing.push(async () => phone.close());
  assert.equal((await phone.register()).status, 200);
  return { app, log, phone };
}

async function pair(namesOfB: readonly string[]): Promise<{ a: Domain; b: Domain }> {
  const [portA, portB] = [await freePort(), await freePort()];
  const a = await serve({
    domain: 'a.example',
    user: 'alice',
    names: ['DNS:a.example'],
    tlsPort: portA,
    peer: 'b.example',
    peerPort: portB,
  });
  const b = await serve({
    domain: 'b.example',
    user: 'bob',
    names: namesOfB,
    tlsPort: portB,
    peer: 'a.example',
    peerPort: portA,
  });
  return { a, b };
}

const texts = (phone: ScriptedPhone): string[] =>
  phone.received.filter(({ method }) => method === 'MESSAGE').map(({ body }) => Buffer.from(body).toString('utf8'));

test('TLS peers: two domains know each other by certificate alone, and messages cross both ways', async () => {
  const { a, b } = await pair(['DNS:b.example', 'URI:sip:b.example']);
  assert.equal((await a.phone.write('sip:bob@b.example', 'over TLS')).status, 202);
  await until(() => texts(b.phone).includes('over TLS'), { what: 'the message at b' });
  assert.equal((await b.phone.write('sip:alice@a.example', 'and back')).status, 202);
  await until(() => texts(a.phone).includes('and back'), { what: 'the message at a' });
  await until(() => a.app.health().queue.live === 0 && b.app.health().queue.live === 0, { what: 'empty queues' });
});

test('TLS peers: a certificate for another name gets nothing and may send nothing', async () => {
  const { a, b } = await pair(['DNS:mallory.example']);
  // Outwards: the message is kept, not given to whoever answers there.
  assert.equal((await a.phone.write('sip:bob@b.example', 'for bob alone')).status, 202);
  await until(() => a.app.health().peers['b.example']?.reachable === false, { what: 'the peer to count as down' });
  assert.equal(a.app.health().queue.live, 1);
  assert.deepEqual(texts(b.phone), []);
  // Inwards: its From is of a peer domain, its certificate is not, so the sender at b is told that it was refused.
  assert.equal((await b.phone.write('sip:alice@a.example', 'I am bob, really')).status, 202);
  await until(() => texts(b.phone).some((text) => text.includes('could not be delivered')), {
    what: 'the report at b',
  });
  assert.deepEqual(texts(a.phone), []);
});
