/** PASSporT and Identity: the vectors of RFC 8225, the forms of RFC 8224, and every way in which one is refused. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { formatSipDate } from '../../../../src/sip/header-values.ts';
import { Credentials } from '../../../../src/sip/identity/credentials.ts';
import { parseIdentity } from '../../../../src/sip/identity/identity-header.ts';
import { IdentitySigner } from '../../../../src/sip/identity/identity-signer.ts';
import { IdentityVerifier, type IdentityPolicy } from '../../../../src/sip/identity/identity-verifier.ts';
import { isSignedBy, readFullForm, signatureOver, signingInput } from '../../../../src/sip/identity/passport.ts';
import { partyFrom } from '../../../../src/sip/identity/party.ts';
import type { HeaderField, SipOutgoing, SipRequest } from '../../../../src/sip/message.ts';
import { anAddress } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';
import { needs } from '../../../support/peers.ts';
import { testCertificate } from '../../../support/self-signed.ts';
import { aRequest } from '../../../support/sip-request.ts';

const openssl = needs('openssl');
const INFO = 'https://cert.example.org/passport.cer';
/** RFC 8225, appendix A.2. */
const PUBLIC = createPublicKey(`-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8HNbQd/TmvCKwPKHkMF9fScavGeH
78YTU8qLS8I5HLHSSmlATLcslQMhNC/OhlWBYC626nIlo7XeebYS7Sb37g==
-----END PUBLIC KEY-----`);
const HEADER =
  'eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9';
const PAYLOAD =
  'eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19';

test('PASSporT: header and payload as they are signed (RFC 8225, appendix A, steps 1 to 4)', () => {
  const claims = { dest: { uri: 'sip:alice@example.com' }, iat: 1_471_375_418, orig: { tn: '12155551212' } };
  assert.equal(signingInput(claims, INFO), `${HEADER}.${PAYLOAD}`);
  assert.deepEqual(readFullForm(HEADER, PAYLOAD), { ...claims, info: INFO });
});

test('PASSporT: the signature of the example token, by the key of appendix A.2 (RFC 8225, section 7.1)', () => {
  const payload =
    'eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6IjE0NDMyMDgzNDUiLCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0';
  const signature = 'rq3pjT1hoRwakEGjHCnWSwUnshd0-zJ6F1VOgFWSjHBr8Qjpjlk-cpFYpFYsojNCpTzO3QfPOlckGaS6hEck7w';
  assert.ok(isSignedBy(`${HEADER}.${payload}`, signature, PUBLIC));
  assert.ok(!isSignedBy(`${HEADER}.${PAYLOAD}`, signature, PUBLIC));
  assert.ok(!isSignedBy(`${HEADER}.${payload}`, signature.slice(2), PUBLIC));
  // Its time is a text, which is no time.
  assert.equal(readFullForm(HEADER, payload), undefined);
});

const PARTIES: ReadonlyArray<readonly [value: string, party: object | undefined]> = [
  ['Bob <sip:12155551212@example.com;user=phone>;tag=1', { tn: '12155551212' }],
  ['<tel:+1-215-555-1212;ext=5>', { tn: '12155551212' }],
  ['<sip:+12155551212@example.com>', { uri: 'sip:+12155551212@example.com' }],
  ['<sips:Alice:secret@Example.COM:5061;transport=tls?Subject=x>', { uri: 'sips:alice@example.com' }],
  ['<sip:%61lice%2f@example.com>', { uri: 'sip:alice%2F@example.com' }],
  ['<sip:example.com>', undefined],
  ['<mailto:a@b.example>', undefined],
];
for (const [value, party] of PARTIES) {
  test(`PASSporT: ${value} is ${JSON.stringify(party)}`, () => {
    assert.deepEqual(partyFrom(value), party);
  });
}

const HEADERS: ReadonlyArray<readonly [value: string, read: object | undefined]> = [
  [`..abc;info=<${INFO}>`, { signature: 'abc', info: INFO, alg: 'ES256' }],
  [`h.p.s ; info=<${INFO}> ;alg=ES256;ppt="shaken"`, { full: { header: 'h', payload: 'p' }, signature: 's', info: INFO, alg: 'ES256', ppt: 'shaken' }],
  [`..abc;alg=RS256;info=<${INFO}?a;b>`, { signature: 'abc', info: `${INFO}?a;b`, alg: 'RS256' }],
  ['..abc', undefined],
  [`abc;info=<${INFO}>`, undefined],
  [`h..s;info=<${INFO}>`, undefined],
  [`..;info=<${INFO}>`, undefined],
  [`..a b;info=<${INFO}>`, undefined],
]; // prettier-ignore
for (const [value, read] of HEADERS) {
  test(`Identity: ${value.slice(0, 60)} is ${read === undefined ? 'none' : 'read'}`, () => {
    assert.deepEqual(parseIdentity(value), read);
  });
}

// Certificates begin when they are made.
const NOW = Date.now() + 3_600_000;
const WHERE = 'https://a.example/identity.pem';

function signedBy(names: readonly string[], form: 'compact' | 'full', parts: Partial<SipOutgoing> = {}): SipOutgoing {
  const leaf = testCertificate(names);
  const signer = new IdentitySigner({ ...leaf, info: WHERE }, new FakeClock(NOW));
  return signer.signed(
    {
      method: 'MESSAGE',
      uri: 'sip:bob@b.example',
      headers: [
        ['From', '<sip:alice@a.example>;tag=1'],
        ['To', '<sip:bob@b.example>'],
        ['Call-ID', 'c1'],
        ['CSeq', '1 MESSAGE'],
      ],
      ...parts,
    },
    anAddress('alice@a.example'),
    form,
  );
}

function requestFrom({ headers }: SipOutgoing, change: Readonly<Record<string, string | undefined>> = {}): SipRequest {
  const changed = headers
    .map(([name, value]): HeaderField => [name, name in change ? (change[name] ?? '') : value])
    .filter(([, value]) => value !== '');
  const field = (name: string): string => changed.find(([other]) => other === name)?.[1] ?? '';
  const ends = { from: field('From'), to: field('To'), callId: field('Call-ID') };
  const others = changed.filter(([name]) => !['From', 'To', 'Call-ID', 'CSeq'].includes(name));
  return aRequest({ ...ends, headers: others, body: 'x' });
}

function verifierFor(names: readonly string[], atMs = NOW): IdentityVerifier {
  const clock = new FakeClock(atMs);
  const { certificate } = testCertificate(names);
  const credentials = new Credentials(
    { certificates: [{ info: WHERE, certificate }], fetchFrom: [] },
    clock,
    new LogRecorder(),
  );
  return new IdentityVerifier({ credentials, freshnessSeconds: 60, clock });
}

async function statusOf(
  verifier: IdentityVerifier,
  request: SipRequest,
  policy: IdentityPolicy = 'require',
): Promise<number> {
  try {
    await verifier.verify(request, 'a.example', policy);
    return 200;
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return thrown.details.status ?? 0;
  }
}

const OURS = ['DNS:a.example'];
const stale = formatSipDate(NOW - 120_000);
type Row = readonly [
  what: string,
  status: number,
  names: readonly string[],
  change: Readonly<Record<string, string | undefined>>,
  laterMs?: number,
];
for (const form of ['compact', 'full'] as const) {
  const ROWS: readonly Row[] = [
    ['as it was signed', 200, OURS, {}],
    ['with a sip URI in the certificate', 200, ['URI:sip:a.example'], {}],
    ['with another From', 438, OURS, { From: '<sip:mallory@a.example>;tag=1' }],
    ['with another To', 438, OURS, { To: '<sip:carol@b.example>' }],
    ['with From in capitals and a port', 200, OURS, { From: '"x" <sip:Alice@A.example:5060;x=y>;tag=2' }],
    ['without Identity', 428, OURS, { Identity: undefined }],
    ['with an extension that nobody here knows', 428, OURS, { Identity: `..abc;info=<${WHERE}>;ppt=shaken` }],
    ['with what is no Identity', 438, OURS, { Identity: 'hello' }],
    ['with another algorithm', 437, OURS, { Identity: `..abc;info=<${WHERE}>;alg=RS256` }],
    ['with a certificate that is elsewhere', 436, OURS, { Identity: `..abc;info=<https://elsewhere.example/c.pem>` }],
    ['with a certificate on this machine', 436, OURS, { Identity: `..abc;info=<https://127.0.0.1/c.pem>` }],
    ['with a certificate in a file', 436, OURS, { Identity: `..abc;info=<file:///etc/passwd>` }],
    ['two minutes later', 403, OURS, {}, 120_000],
    ['two minutes before its time', 403, OURS, {}, -120_000],
    ['with a certificate for another domain', 437, ['DNS:x.example'], {}],
    ['with a wildcard', 437, ['DNS:*.example'], {}],
  ]; // prettier-ignore
  for (const [what, status, names, change, laterMs = 0] of ROWS) {
    test(`Identity, ${form} form: ${what} is ${status}`, openssl, async () => {
      const leaf = testCertificate(names);
      // Signed with the key of that certificate whatever its names are.
      const input = signedBy(OURS, form);
      const signed = names === OURS ? input : resigned(input, leaf.key, form);
      assert.equal(await statusOf(verifierFor(names, NOW + laterMs), requestFrom(signed, change)), status);
    });
  }
}

function resigned({ headers, ...rest }: SipOutgoing, key: string, form: 'compact' | 'full'): SipOutgoing {
  const date = headers.find(([name]) => name === 'Date')?.[1] ?? '';
  const iat = Math.floor(Date.parse(date) / 1_000);
  const input = signingInput({ orig: { uri: 'sip:alice@a.example' }, dest: { uri: 'sip:bob@b.example' }, iat }, WHERE);
  const signature = signatureOver(input, createPrivateKey(key));
  const value = `${form === 'full' ? input : '.'}.${signature};info=<${WHERE}>`;
  return { ...rest, headers: [...headers.filter(([name]) => name !== 'Identity'), ['Identity', value]] };
}

test('Identity: the compact form without its Date is nothing, the full form has its own time', openssl, async () => {
  assert.equal(await statusOf(verifierFor(OURS), requestFrom(signedBy(OURS, 'compact'), { Date: undefined })), 438);
  assert.equal(await statusOf(verifierFor(OURS), requestFrom(signedBy(OURS, 'full'), { Date: undefined })), 200);
  // A Date that was changed on the way breaks the compact form, and not the full one (RFC 8224, section 6.1.1).
  const later = formatSipDate(NOW + 5_000);
  assert.equal(await statusOf(verifierFor(OURS), requestFrom(signedBy(OURS, 'compact'), { Date: later })), 438);
  assert.equal(await statusOf(verifierFor(OURS), requestFrom(signedBy(OURS, 'full'), { Date: later })), 200);
  // The time that was signed counts (section 6.2, step 4).
  assert.equal(await statusOf(verifierFor(OURS), requestFrom(signedBy(OURS, 'full'), { Date: stale })), 200);
});

test('Identity: a signature is good for one request, and for its repetition', openssl, async () => {
  const verifier = verifierFor(OURS);
  const signed = signedBy(OURS, 'compact');
  assert.equal(await statusOf(verifier, requestFrom(signed)), 200);
  assert.equal(await statusOf(verifier, requestFrom(signed)), 200);
  assert.equal(await statusOf(verifier, requestFrom(signed, { 'Call-ID': 'another' })), 438);
});

test(
  'Identity: one good signature beside bad ones is enough, and none is needed where that is the policy',
  openssl,
  async () => {
    const signed = signedBy(OURS, 'compact');
    const beside = {
      ...signed,
      headers: [['Identity', '..abc;info=<https://x.example/>'] as const, ...signed.headers],
    };
    assert.equal(await statusOf(verifierFor(OURS), requestFrom(beside)), 200);
    const none = requestFrom(signed, { Identity: undefined });
    assert.equal(await statusOf(verifierFor(OURS), none, 'check'), 200);
    assert.equal(await statusOf(verifierFor(OURS), requestFrom(signed, { To: '<sip:c@b.example>' }), 'check'), 438);
  },
);

test('Identity: nothing is signed for whom there is no certificate, nor for one who is not named', openssl, () => {
  const has = ({ headers }: SipOutgoing): boolean => headers.some(([name]) => name === 'Identity');
  assert.ok(has(signedBy(OURS, 'compact')));
  assert.ok(!has(signedBy(['DNS:x.example'], 'compact')));
  const nameless = signedBy(OURS, 'compact', {
    headers: [
      ['From', '<sip:anonymous@anonymous.invalid>;tag=1'],
      ['To', '<sip:bob@b.example>'],
    ],
  });
  assert.ok(!has(nameless));
});

test('Identity: a message that was written long ago is signed with the time at which it leaves', openssl, async () => {
  const signed = signedBy(OURS, 'compact', {
    headers: [
      ['From', '<sip:alice@a.example>;tag=1'],
      ['To', '<sip:bob@b.example>'],
      ['Call-ID', 'c1'],
      ['CSeq', '1 MESSAGE'],
      ['Date', formatSipDate(NOW - 3_600_000)],
    ],
  });
  assert.equal(signed.headers.filter(([name]) => name === 'Date').length, 1);
  assert.equal(await statusOf(verifierFor(OURS), requestFrom(signed)), 200);
});

test('Identity: a certificate is what it is by its file', openssl, () => {
  const { certificate } = testCertificate(OURS);
  assert.equal(new X509Certificate(certificate).subjectAltName, 'DNS:a.example');
});
