import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import { certificateNames, certifies } from '../../../../src/xmpp/s2s/certificate-names.ts';
import { needs } from '../../../support/peers.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { testCertificate } from '../../../support/self-signed.ts';

const namesOf = (alternatives: readonly string[], commonName?: string) =>
  certificateNames(derOf(alternatives, commonName));

function derOf(alternatives: readonly string[], commonName?: string): Uint8Array {
  const { certificate } = testCertificate(alternatives, commonName === undefined ? {} : { commonName });
  return new X509Certificate(certificate).raw;
}

const XMPP_ADDR = 'otherName:1.3.6.1.5.5.7.8.5;UTF8:';
const SRV_NAME = 'otherName:1.3.6.1.5.5.7.8.7;IA5STRING:';

const ROWS: ReadonlyArray<{
  readonly what: string;
  readonly names: readonly string[];
  readonly domain: string;
  readonly is: boolean;
  readonly commonName?: string;
}> = [
  { what: 'a DNS name', names: ['DNS:im.example'], domain: 'im.example', is: true },
  { what: 'a DNS name in capitals', names: ['DNS:IM.Example'], domain: 'im.example', is: true },
  { what: 'another DNS name', names: ['DNS:im.example'], domain: 'chat.im.example', is: false },
  { what: 'one of several', names: ['DNS:a.example', 'DNS:b.example'], domain: 'b.example', is: true },
  { what: 'a wildcard', names: ['DNS:*.corp.example'], domain: 'im.corp.example', is: true },
  { what: 'a wildcard for two labels', names: ['DNS:*.corp.example'], domain: 'a.im.corp.example', is: false },
  { what: 'a wildcard for no label', names: ['DNS:*.corp.example'], domain: 'corp.example', is: false },
  { what: 'a wildcard in a label', names: ['DNS:i*.corp.example'], domain: 'im.corp.example', is: false },
  { what: 'a wildcard further right', names: ['DNS:im.*.example'], domain: 'im.corp.example', is: false },
  { what: 'a wildcard over a top-level domain', names: ['DNS:*.example'], domain: 'im.example', is: false },
  { what: 'an xmppAddr', names: [`${XMPP_ADDR}im.example`], domain: 'im.example', is: true },
  { what: 'an A-label', names: ['DNS:xn--bcher-kva.example'], domain: 'xn--bcher-kva.example', is: true },
  { what: 'an xmppAddr with a wildcard', names: [`${XMPP_ADDR}*.corp.example`], domain: 'im.corp.example', is: false },
  { what: "an xmppAddr of a user's", names: [`${XMPP_ADDR}romeo@im.example`], domain: 'im.example', is: false },
  { what: 'an SRVName', names: [`${SRV_NAME}_xmpp-server.im.example`], domain: 'im.example', is: true },
  {
    what: 'an SRVName of another service',
    names: [`${SRV_NAME}_xmpp-client.im.example`],
    domain: 'im.example',
    is: false,
  },
  { what: 'an SRVName without a service', names: [`${SRV_NAME}im.example`], domain: 'im.example', is: false },
  { what: 'a URI', names: ['URI:sip:im.example'], domain: 'im.example', is: false },
  {
    what: 'an otherName of another kind',
    names: ['otherName:1.2.3.4;UTF8:im.example'],
    domain: 'im.example',
    is: false,
  },
  { what: 'a common name', names: [], domain: 'im.example', commonName: 'im.example', is: false },
  {
    what: 'a common name beside others',
    names: ['DNS:a.example'],
    domain: 'im.example',
    commonName: 'im.example',
    is: false,
  },
];

describe('certificate names', needs('openssl'), () => {
  for (const { what, names, domain, is, commonName } of ROWS) {
    test(`certificate names: ${what} ${is ? 'is' : 'is not'} ${domain}`, () => {
      assert.equal(certifies(namesOf(names, commonName), domain), is);
    });
  }

  test('certificate names: cut or changed bytes never throw, and make no new names of many', () => {
    const der = derOf(['DNS:im.example', `${XMPP_ADDR}im.example`, `${SRV_NAME}_xmpp-server.im.example`]);
    const random = seededRandom(7);
    for (let length = 0; length < der.length; length += 1) {
      assert.deepEqual(certificateNames(der.subarray(0, length)), { dns: [], srv: [], xmpp: [] });
    }
    for (let run = 0; run < 3_000; run += 1) {
      const changed = Uint8Array.from(der);
      for (let n = 0; n < 3; n += 1) changed[Math.floor(random() * der.length)] = Math.floor(random() * 256);
      const { dns, srv, xmpp } = certificateNames(changed);
      assert.ok(dns.length + srv.length + xmpp.length <= 3);
    }
  });

  test('certificate names: what is larger than any certificate has none', () => {
    const der = derOf(['DNS:im.example']);
    const padded = new Uint8Array(200_000);
    padded.set(der);
    assert.deepEqual(certificateNames(padded), { dns: [], srv: [], xmpp: [] });
  });

  // CVE-2009-2408.
  test('certificate names: a name with a NUL in it is none', () => {
    const der = Buffer.from(derOf(['DNS:im.exampleX.evil.example']));
    const at = der.indexOf('exampleX') + 'example'.length;
    der[at] = 0;
    assert.deepEqual(certificateNames(der).dns, []);
  });
});
