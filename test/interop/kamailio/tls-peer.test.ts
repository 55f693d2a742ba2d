/** A real proxy as the peer over TLS, each side known by its certificate (RFC 5922), on one connection (RFC 5923). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startKamailioTls, type KamailioTlsOptions } from '../../support/kamailio.ts';
import { needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import type { TestProcess } from '../../support/process.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { testAuthority, testCertificate } from '../../support/self-signed.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { TlsDomain } from '../../support/tls-domain.ts';
import { until } from '../../support/until.ts';

const PARTNER = 'partner.example';

describe('kamailio as a SIP peer over TLS', needs('kamailio', 'kamailio-tls', 'openssl'), () => {
  let domain: TlsDomain;
  let kamailio: TestProcess;
  let options: KamailioTlsOptions;
  let bob: ScriptedPhone;

  const texts = (phone: ScriptedPhone): string[] =>
    phone.received.filter(({ method }) => method === 'MESSAGE').map(({ body }) => Buffer.from(body).toString('utf8'));

  async function startPartner(names: readonly string[]): Promise<void> {
    const { certificateFile, keyFile } = testCertificate(names);
    kamailio = await startKamailioTls({ ...options, certificateFile, keyFile });
    bob = await ScriptedPhone.open({
      user: 'bob',
      domain: PARTNER,
      password: 'none',
      server: { transport: 'udp', port: options.port },
    });
    assert.equal((await bob.register()).status, 200);
  }

  async function stopPartner(): Promise<void> {
    await bob.close();
    await kamailio.stop();
  }

  before(async () => {
    const [port, tlsPort, ourPort] = [await freePort(), await freePort(), await freePort()];
    options = {
      folder: temporaryFolder('kamailio-tls'),
      domain: PARTNER,
      port,
      tlsPort,
      neighbourPort: ourPort,
      certificateFile: '',
      keyFile: '',
      caFile: testAuthority().certificateFile,
    };
    domain = await TlsDomain.start({
      domain: 'a.example',
      user: 'alice',
      names: ['DNS:a.example'],
      tlsPort: ourPort,
      peer: PARTNER,
      peerPort: tlsPort,
    });
    await startPartner([`DNS:${PARTNER}`]);
  });
  after(async () => {
    await stopPartner();
    await domain.stop();
  });

  test('kamailio over TLS: messages cross both ways, over the connection that is there', async () => {
    assert.equal((await domain.phone.write(`sip:bob@${PARTNER}`, 'over TLS 🌍')).status, 202);
    await until(() => texts(bob).includes('over TLS 🌍'), {
      what: 'the message at the peer',
      detail: () => kamailio.output(),
    });
    assert.match(kamailio.output(), /peer: MESSAGE of leaf a\.example, verified 1/);
    assert.equal((await bob.write('sip:alice@a.example', 'and back')).status, 200);
    await until(() => texts(domain.phone).includes('and back'), { what: 'the message from the peer' });
    assert.equal(connectionsAt(options.neighbourPort), 0, 'it came by the connection that we had opened');
  });

  test('kamailio over TLS: while the peer is down messages wait, in order', async () => {
    await stopPartner();
    for (const text of ['one', 'two', 'three']) {
      assert.equal((await domain.phone.write(`sip:bob@${PARTNER}`, text)).status, 202);
    }
    await startPartner([`DNS:${PARTNER}`]);
    await until(() => texts(bob).length >= 3, { what: 'what had waited', withinMs: 40_000 });
    assert.deepEqual(texts(bob), ['one', 'two', 'three']);
    // It dials us by itself, as long as we have not dialled it.
    assert.equal((await bob.write('sip:alice@a.example', 'here again')).status, 200);
    await until(() => texts(domain.phone).includes('here again'), { what: 'the message from the peer' });
  });

  test('kamailio over TLS: with a certificate for another name it gets nothing and may send nothing', async () => {
    await stopPartner();
    await startPartner(['DNS:mallory.example']);
    assert.equal((await domain.phone.write(`sip:bob@${PARTNER}`, 'for bob alone')).status, 202);
    await until(() => domain.app.health().peers[PARTNER]?.reachable === false, { what: 'the peer to count as down' });
    assert.ok((await bob.write('sip:alice@a.example', 'I am bob, really')).status >= 400);
    assert.deepEqual(texts(bob), []);
    assert.ok(!texts(domain.phone).includes('I am bob, really'));
  });
});

/** Established TCP connections whose near end is this loopback port, by the kernel's own table. */
function connectionsAt(port: number): number {
  const near = new RegExp(`^ *[0-9]+: [0-9A-F]+:${port.toString(16).toUpperCase().padStart(4, '0')} [0-9A-F:]+ 01 `);
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .filter((line) => near.test(line)).length;
}
