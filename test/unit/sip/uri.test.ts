import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseHost, sameHost } from '../../../src/sip/host.ts';
import { decodedUser, formatSipUri, parseSipUri, sameSipUri, schemeOf, uriParam } from '../../../src/sip/uri.ts';
import type { SipUri } from '../../../src/sip/uri.ts';

/** URIs and their parts; written back they are the text again, unless `again` says otherwise. */
const WELL_FORMED: ReadonlyArray<readonly [text: string, parts: Partial<SipUri>, again?: string]> = [
  // RFC 3261, section 19.1.3
  ['sip:alice@atlanta.com', { scheme: 'sip', user: 'alice', host: 'atlanta.com', params: [] }],
  [
    'sip:alice:secretword@atlanta.com;transport=tcp',
    { user: 'alice', password: 'secretword', params: [['transport', 'tcp']] },
  ],
  [
    'sips:alice@atlanta.com?subject=project%20x&priority=urgent',
    { scheme: 'sips', headers: 'subject=project%20x&priority=urgent' },
  ],
  ['sip:+1-212-555-1212:1234@gateway.com;user=phone', { user: '+1-212-555-1212', password: '1234' }],
  ['sips:1212@gateway.com', { scheme: 'sips', user: '1212' }],
  ['sip:alice@192.0.2.4', { host: '192.0.2.4' }],
  [
    'sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com',
    { host: 'atlanta.com', params: [['method', 'REGISTER']], headers: 'to=alice%40atlanta.com' },
  ],
  ['sip:alice;day=tuesday@atlanta.com', { user: 'alice;day=tuesday' }],
  // the rest of the grammar
  [
    'SIP:alice@AtLanTa.CoM;Transport=TCP',
    { host: 'atlanta.com', params: [['Transport', 'TCP']] },
    'sip:alice@atlanta.com;Transport=TCP',
  ],
  ['sip:a@b:5060', { host: 'b', port: 5060 }],
  [
    'sip:a@[2001:DB8::1]:5061;lr',
    { host: '[2001:db8::1]', port: 5061, params: [['lr', undefined]] },
    'sip:a@[2001:db8::1]:5061;lr',
  ],
  ['sip:a:@b', { user: 'a', password: '' }],
  ['sip:a@b;x=[::1]/:&+$', { params: [['x', '[::1]/:&+$']] }],
  ['sip:a@b?h=', { headers: 'h=' }],
  ['sip:%00@b', { user: '%00' }],
  ['sip:example.com.', { host: 'example.com.' }],
  ['sip:sip_proxy.docker', { host: 'sip_proxy.docker' }],
];

for (const [text, parts, again] of WELL_FORMED) {
  test(`SIP URI: ${text}`, () => {
    const uri = parseSipUri(text);
    assert.ok(uri !== undefined);
    assert.deepEqual({ ...uri, ...parts }, uri);
    if (!('port' in parts)) assert.equal(uri.port, undefined);
    assert.equal(formatSipUri(uri), again ?? text);
    assert.deepEqual(parseSipUri(formatSipUri(uri)), uri);
  });
}

const MALFORMED = [
  '',
  'sip',
  'sip:',
  'sips:',
  'sipx:a@b',
  'tel:+123',
  ' sip:a@b',
  'sip:a@b ',
  'sip: a@b',
  'sip:@b',
  'sip::x@b',
  'sip:a@',
  'sip:a@b@c',
  'sip:a b@c',
  'sip:a"b@c',
  'sip:a<b@c',
  'sip:a\0@c',
  'sip:a\r\n@c',
  'sip:ä@c',
  'sip:a@ö.example',
  'sip:a%@b',
  'sip:a%4@b',
  'sip:a%zz@b',
  'sip:a#b@c',
  'sip:a@b:',
  'sip:a@b:0',
  'sip:a@b:65536',
  'sip:a@b:5060x',
  'sip:a@b:-1',
  'sip:a@b;',
  'sip:a@b;;lr',
  'sip:a@b;=x',
  'sip:a@b;x=',
  'sip:a@b;lr;LR',
  'sip:a@b;lr;%6cr',
  'sip:a@b;x=y@z',
  'sip:a@b;x="y"',
  'sip:a@b?',
  'sip:a@b?x',
  'sip:a@b?=x',
  'sip:a@b?x=1&',
  'sip:a@b?x=1&y',
  'sip:a@b?x=<y>',
  'sip:2001:db8::10',
  'sip:a@[2001:db8::10',
  'sip:a@2001:db8::10]',
  'sip:a@[]',
  'sip:a@[::1]x',
  'sip:a@[1::2::3]',
  'sip:a@1.2.3',
  'sip:a@1.2.3.256',
  'sip:a@b..c',
  'sip:a@.b',
  'sip:a@-b',
  `sip:a@b${';p'.repeat(200)}`,
  `sip:${'a.'.repeat(130)}b`,
];

for (const text of MALFORMED) {
  test(`SIP URI refused: ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(parseSipUri(text), undefined));
}

const HOSTS: ReadonlyArray<readonly [text: string, host: string | undefined]> = [
  ['Example.COM', 'example.com'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['1and1.example', '1and1.example'],
  ['a-b.c', 'a-b.c'],
  ['192.0.2.1', '192.0.2.1'],
  ['[::]', '[::]'],
  ['[::1]', '[::1]'],
  ['[1:2:3:4:5:6:7:8]', '[1:2:3:4:5:6:7:8]'],
  ['[1:2:3:4:5:6:192.0.2.1]', '[1:2:3:4:5:6:192.0.2.1]'],
  ['[::FFFF:192.0.2.1]', '[::ffff:192.0.2.1]'],
  ['[2001:db8:::192.0.2.1]', '[2001:db8::192.0.2.1]'],
  ['[1:2:3:4:5:6:7]', undefined],
  ['[1:2:3:4:5:6:7::8]', undefined],
  ['[1:2:3:4:5:6:7:8:9]', undefined],
  ['[12345::]', undefined],
  ['[g::]', undefined],
  ['[::1%eth0]', undefined],
  ['[192.0.2.1]', undefined],
  ['[192.0.2.1::]', undefined],
  ['a..', undefined],
  ['.', undefined],
  ['a b', undefined],
  ['a\0', undefined],
  ['a-.b', undefined],
  ['1234', undefined],
  ['192.0.2.1.', undefined],
  ['0000.0.0.0', undefined],
  [`${'a'.repeat(64)}.example`, undefined],
];

for (const [text, host] of HOSTS) {
  test(`host: ${JSON.stringify(text.slice(0, 40))} is ${host ?? 'refused'}`, () => assert.equal(parseHost(text), host));
}

test('host: two spellings of one IPv6 address are the same', () => {
  assert.equal(sameHost('[2001:db8::1]', '[2001:0db8:0:0:0:0:0:1]'), true);
  assert.equal(sameHost('[::ffff:192.0.2.1]', '[::ffff:c000:201]'), true);
  assert.equal(sameHost('[2001:db8::1]', '[2001:db8::2]'), false);
  assert.equal(sameHost('[::1]', 'localhost'), false);
});

/** RFC 3261, section 19.1.4: the printed examples, then its rules one by one. */
const COMPARED: ReadonlyArray<readonly [a: string, b: string, same: boolean, why?: string]> = [
  ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp', true],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5', true],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com;security=on', true],
  ['sip:carol@chicago.com;newparam=5', 'sip:carol@chicago.com;security=on', true],
  [
    'sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com',
    'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com',
    true,
  ],
  [
    'sip:alice@atlanta.com?subject=project%20x&priority=urgent',
    'sip:alice@atlanta.com?priority=urgent&subject=project%20x',
    true,
  ],
  ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP', false, 'different usernames'],
  ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060', false, 'can resolve to different ports'],
  ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp', false, 'can resolve to different transports'],
  ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:6000;transport=tcp', false],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting', false, 'different header component'],
  ['sip:bob@phone21.boxesbybob.com', 'sip:bob@192.0.2.4', false],
  ['sip:carol@chicago.com', 'sip:carol@chicago.com;security=off', true],
  ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;security=off', false],
  ['sip:a@b', 'sips:a@b', false, 'the schemes differ'],
  ['sip:a@b', 'sip:b', false, 'one has no user'],
  ['sip:a:x@b', 'sip:a@b', false, 'one has no password'],
  ['sip:a:x@b', 'sip:a:X@b', false, 'passwords are case-sensitive'],
  ['sip:a:%78@b', 'sip:a:x@b', true],
  ['sip:a@b;user=phone', 'sip:a@b', false, 'user is never ignored'],
  ['sip:a@b;ttl=1', 'sip:a@b', false, 'ttl is never ignored'],
  ['sip:a@b;method=INVITE', 'sip:a@b', false, 'method is never ignored'],
  ['sip:a@b;maddr=192.0.2.1', 'sip:a@b', false, 'maddr is never ignored'],
  ['sip:a@b;x', 'sip:a@b;x=1', false, 'a value on one side only'],
  ['sip:a@b;X=ABC', 'sip:a@b;x=abc', true],
  ['sip:a@b;%78=1', 'sip:a@b;x=2', false, 'an escaped name is the same name'],
  ['sip:a%40x@b', 'sip:a%40X@b', false],
  ['sip:a%2Fx@b', 'sip:a/x@b', false, 'a reserved character is not its escape'],
  ['sip:a%2fx@b', 'sip:a%2Fx@b', true],
  ['sip:a%2541@b', 'sip:aA@b', false, 'escapes are undone once (RFC 4475, section 3.1.1.3)'],
  ['sip:a%2541@b', 'sip:a%41@b', false],
  ['sip:a@[2001:db8::1]', 'sip:a@[2001:DB8:0::1]', true],
  ['sip:a@b?Subject=x', 'sip:a@b?subject=x', true],
  ['sip:a@b?Subject=x', 'sip:a@b?subject=X', false],
];

for (const [a, b, same, why] of COMPARED) {
  test(`SIP URI: ${a} ${same ? 'equals' : 'differs from'} ${b}${why === undefined ? '' : ` (${why})`}`, () => {
    const [left, right] = [parseSipUri(a), parseSipUri(b)];
    assert.ok(left !== undefined && right !== undefined);
    assert.equal(sameSipUri(left, right), same);
    assert.equal(sameSipUri(right, left), same);
    assert.ok(sameSipUri(left, left) && sameSipUri(right, right));
  });
}

const SCHEMES: ReadonlyArray<readonly [text: string, scheme: string | undefined]> = [
  ['sip:a@b', 'sip'],
  ['SIPS:a@b', 'sips'],
  ['tel:+358-555-1234567;postd=pp22', 'tel'],
  ['im:juliet@example.com', 'im'],
  ['pres:juliet@example.com', 'pres'],
  ['soap.beep://192.0.2.103:3002', 'soap.beep'],
  ['nobodyKnowsThisScheme:totallyopaquecontent', 'nobodyknowsthisscheme'],
  ['a+b-1.c:', 'a+b-1.c'],
  ['', undefined],
  [':x', undefined],
  ['1a:x', undefined],
  ['a b:x', undefined],
  ['a*:x', undefined],
  ['*', undefined],
  ['%', undefined],
  ['alice@example.com', undefined],
  ['[::1]:5060', undefined],
];

for (const [text, scheme] of SCHEMES) {
  test(`scheme of ${JSON.stringify(text)}: ${scheme ?? 'none'}`, () => assert.equal(schemeOf(text), scheme));
}

const USERS: ReadonlyArray<readonly [uri: string, user: string | undefined]> = [
  ['sip:b', undefined],
  ['sip:alice@b', 'alice'],
  ['sip:%E2%98%83@b', '☃'],
  ['sip:a%40b@c', 'a@b'],
  ['sip:%2541@b', '%41'],
  ['sip:%00@b', undefined],
  ['sip:admin%00.evil@b', undefined],
  ['sip:a%0D%0Ab@c', undefined],
  ['sip:%7f@b', undefined],
  ['sip:%ff@b', undefined],
  ['sip:%C0%80@b', undefined],
  ['sip:%ED%A0%80@b', undefined],
];

for (const [uri, user] of USERS) {
  test(`decoded user of ${uri}: ${user ?? 'none'}`, () => assert.equal(decodedUser(parseSipUri(uri)!), user));
}

test('URI parameter: by name in any capitals, escapes in the name undone', () => {
  const uri = parseSipUri('sip:a@b;Transport=TCP;%6C%72')!;
  assert.equal(uriParam(uri, 'transport'), 'TCP');
  assert.equal(uriParam(uri, 'LR'), true);
  assert.equal(uriParam(uri, 'ttl'), undefined);
});

test('SIP URI: two hundred thousand characters of any one kind are judged at once', () => {
  const started = process.cpuUsage();
  for (const part of ['a', '%41', ';', ';a', ';a=b', ':', '@', '[', '[::', '.', '?a=b&', '&', '=', '%', '1.', '::']) {
    for (const start of ['sip:', 'sip:a@', 'sip:a@b;', 'sip:a@b?', 'sip:[']) parseSipUri(start + part.repeat(200_000));
  }
  // Together less than a second; a single one that is quadratic takes longer than this.
  assert.ok(process.cpuUsage(started).user < 10_000_000, 'ten seconds of CPU time');
});
