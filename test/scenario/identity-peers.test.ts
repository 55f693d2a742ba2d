/** SIP Identity between two whole servers over mutual TLS (RFC 8224), and certificates that are fetched. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, describe, test, type TestContext } from 'node:test';
import { needs } from '../support/peers.ts';
import { testAuthority, testCertificate, type Leaf } from '../support/self-signed.ts';
import { tlsPair, type TlsDomain } from '../support/tls-domain.ts';
import { until } from '../support/until.ts';

const INFO = 'https://a.example/identity.pem';

describe('SIP Identity between two servers', needs('openssl'), () => {
  const closing: TlsDomain[] = [];
  after(async () => {
    for (const domain of closing.reverse()) await domain.stop();
  });

  /** a signs; b requires signatures and knows this certificate for the place that a names. */
  async function signing(
    signs: boolean,
    known: Leaf,
    how = `certificates: [{ info: '${INFO}', certificate: known }]`,
    info = INFO,
  ) {
    const leaf = testCertificate(['DNS:a.example']);
    const { a, b } = await tlsPair(['DNS:b.example'], '', {
      a: {
        peerExtra: `security: mutual-tls, identity: { sign: ${signs} }`,
        sipExtra: `  identity: { certificate: sign, key: signkey, info: '${info}' }`,
        files: { sign: leaf.certificate, signkey: leaf.key },
      },
      b: {
        peerExtra: 'security: mutual-tls, identity: { verify: require }',
        sipExtra: `  identity: { ${how} }`,
        files: { known: known.certificate, roots: testAuthority().certificate },
      },
    });
    closing.push(a, b);
    return { a, b };
  }

  const reported = ({ phone }: TlsDomain): boolean =>
    phone.texts.some((text) => text.includes('could not be delivered'));

  test('Identity: what is signed arrives, presence too', async () => {
    const { a, b } = await signing(true, testCertificate(['DNS:a.example']));
    assert.equal((await a.phone.write('sip:bob@b.example', 'signed')).status, 202);
    await until(() => b.phone.texts.includes('signed'), { what: 'the message' });
    assert.ok(!reported(a));
  });

  test('Identity: what is not signed is refused with 428, and its sender is told', async () => {
    const { a, b } = await signing(false, testCertificate(['DNS:a.example']));
    assert.equal((await a.phone.write('sip:bob@b.example', 'unsigned')).status, 202);
    await until(() => reported(a), { what: 'the report' });
    assert.ok(!b.phone.texts.includes('unsigned'));
    assert.ok(b.log.lines.some(({ fields }) => fields.status === 428));
  });

  test('Identity: what another key has signed is refused with 438 after a second try in full', async () => {
    const { a, b } = await signing(true, testCertificate(['DNS:a.example'], { commonName: 'another key' }));
    assert.equal((await a.phone.write('sip:bob@b.example', 'forged')).status, 202);
    await until(() => reported(a), { what: 'the report' });
    assert.equal(b.log.lines.filter(({ fields }) => fields.status === 438).length, 2);
  });

  test('Identity: a certificate is fetched from a host that is named, and from no other', async (t) => {
    const leaf = testCertificate(['DNS:a.example']);
    const place = await certificateServer(t, leaf);
    const how = `fetchFrom: ['localhost:${place.port}'], ca: roots`;
    const good = await signing(true, leaf, how, `https://localhost:${place.port}/identity.pem`);
    assert.equal((await good.a.phone.write('sip:bob@b.example', 'fetched')).status, 202);
    await until(() => good.b.phone.texts.includes('fetched'), { what: 'the message' });
    assert.equal((await good.a.phone.write('sip:bob@b.example', 'remembered')).status, 202);
    await until(() => good.b.phone.texts.includes('remembered'), { what: 'the second message' });
    assert.deepEqual(place.asked, ['/identity.pem']);
    const elsewhere = await signing(true, leaf, how, `https://127.0.0.1:${place.port}/identity.pem`);
    assert.equal((await elsewhere.a.phone.write('sip:bob@b.example', 'from elsewhere')).status, 202);
    await until(() => reported(elsewhere.a), { what: 'the report' });
    assert.ok(elsewhere.b.log.lines.some(({ fields }) => fields.status === 436));
    assert.deepEqual(place.asked, ['/identity.pem']);
  });
});

async function certificateServer(
  t: TestContext,
  leaf: Leaf,
): Promise<{ readonly port: number; readonly asked: string[] }> {
  const asked: string[] = [];
  const own = testCertificate(['DNS:localhost']);
  const server = createServer({ cert: own.certificate, key: own.key }, (request, response) => {
    asked.push(request.url ?? '');
    response.end(leaf.certificate);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, asked };
}
