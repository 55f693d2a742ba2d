import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  alternativeNames,
  canonicalAddress,
  certificateIsFor,
  sipIdentities,
  type CertificateSubject,
} from '../../../../src/sip/engine/certificate-names.ts';

const identities: ReadonlyArray<readonly [string, string | undefined, readonly string[]]> = [
  ['none at all', undefined, []],
  ['DNS names, lower case', 'DNS:A.Example, DNS:b.example', ['a.example', 'b.example']],
  ['a sip URI goes before DNS names', 'DNS:host.a.example, URI:sip:a.example', ['a.example']],
  ['the scheme in any capitals', 'URI:SIP:a.example', ['a.example']],
  ['a sip URI with a user names a person', 'URI:sip:alice@a.example', []],
  ['a person beside a DNS name', 'URI:sip:alice@a.example, DNS:a.example', ['a.example']],
  ['sips and https URIs count for nothing', 'URI:sips:a.example, URI:https://a.example', []],
  ['port and parameters of the URI are left out', 'URI:sip:a.example:5061;transport=tls', ['a.example']],
  ['a wildcard is not a name', 'DNS:*.example, DNS:.example', []],
  ['a quoted value cannot add a second', 'DNS:"evil.example\\", DNS:bank.example"', []],
  ['a quoted comma stays inside its value', 'URI:"sip:evil.example, DNS:bank.example"', []],
  ['a quoted ordinary name is that name', 'DNS:"a.example"', ['a.example']],
  ['an unquoted quote ends the trust', 'DNS:a.example, DNS:b".example', []],
  ['an open quote ends the trust', 'DNS:a.example, DNS:"b.example', []],
  ['junk after a quoted value ends the trust', 'DNS:"a.example"DNS:b.example', []],
  ['NUL inside a name', 'DNS:"bank.example\\u0000.evil.example"', []],
  ['addresses are not SIP domains', 'IP Address:127.0.0.1', []],
];
for (const [what, text, want] of identities) {
  test(`certificate names: ${what}`, () => {
    assert.deepEqual(sipIdentities({ subjectaltname: text }), want);
  });
}

const commonNames: ReadonlyArray<readonly [string, CertificateSubject, readonly string[]]> = [
  ['counts where there is nothing else', { subject: { CN: 'A.example' } }, ['a.example']],
  ['counts for nothing beside other names', { subjectaltname: 'DNS:b.example', subject: { CN: 'a.example' } }, ['b.example']],
  ['counts for nothing beside names of other kinds', { subjectaltname: 'email:x@a.example', subject: { CN: 'a.example' } }, []],
  ['counts for nothing beside an empty list', { subjectaltname: '', subject: { CN: 'a.example' } }, []],
  ['of which there are two is none', { subject: { CN: ['a.example', 'b.example'] } }, []],
  ['that is a word is no domain', { subject: { CN: 'gateway' } }, []],
  ['that is an address is no domain', { subject: { CN: '192.0.2.1' } }, []],
  ['that is a wildcard is no domain', { subject: { CN: '*.example' } }, []],
]; // prettier-ignore
for (const [what, certificate, want] of commonNames) {
  test(`certificate names: a common name ${what}`, () => {
    assert.deepEqual(sipIdentities(certificate), want);
  });
}

const matches: ReadonlyArray<readonly [string, string, readonly string[], boolean]> = [
  ['the very name', 'DNS:a.example', ['a.example'], true],
  ['capitals do not matter', 'DNS:a.example', ['A.Example'], true],
  ['one of several', 'DNS:a.example, DNS:b.example', ['x.example', 'b.example'], true],
  ['a subdomain is another name', 'DNS:a.example', ['sip.a.example'], false],
  ['a suffix is another name', 'DNS:sip.a.example', ['a.example'], false],
  ['a wildcard matches nothing', 'DNS:*.a.example', ['sip.a.example'], false],
  ['an address among the addresses', 'IP Address:127.0.0.1', ['127.0.0.1'], true],
  ['an address as DNS name is accepted as a name', 'DNS:127.0.0.1', ['127.0.0.1'], true],
  ['IPv6 in another spelling', 'IP Address:0:0:0:0:0:0:0:1', ['[::1]'], true],
  ['another address', 'IP Address:127.0.0.2', ['127.0.0.1'], false],
  ['nothing expected', 'DNS:a.example', [], false],
];
for (const [what, text, expected, want] of matches) {
  test(`certificate is for: ${what}`, () => {
    assert.equal(certificateIsFor({ subjectaltname: text }, expected), want);
  });
}

test('alternative names: types and values apart', () => {
  assert.deepEqual(alternativeNames('DNS:a, IP Address:127.0.0.1, othername:<unsupported>'), [
    { type: 'DNS', value: 'a' },
    { type: 'IP Address', value: '127.0.0.1' },
    { type: 'othername', value: '<unsupported>' },
  ]);
});

test('canonical address: IPv6 in one spelling, others untouched', () => {
  assert.deepEqual(['[::1]', '2001:DB8:0:0::1', '127.0.0.1', 'fe80::1%eth0'].map(canonicalAddress), [
    '::1',
    '2001:db8::1',
    '127.0.0.1',
    'fe80::1%eth0',
  ]);
});
