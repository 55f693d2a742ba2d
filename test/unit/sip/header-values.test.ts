import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  formatNameAddr,
  formatParams,
  formatSipDate,
  formatVia,
  parseAuthParams,
  parseCSeq,
  parseExpires,
  parseNameAddr,
  parseNameAddrList,
  parseParams,
  parseQvalue,
  parseRetryAfter,
  parseSipDate,
  parseVia,
  quoteString,
  splitList,
} from '../../../src/sip/header-values.ts';

type Address = { display?: string; uri: string; params?: Record<string, string | true> };

const ADDRESSES: ReadonlyArray<readonly [value: string, address: Address | undefined, why?: string]> = [
  ['sip:a@b', { uri: 'sip:a@b' }],
  ['<sip:a@b>', { uri: 'sip:a@b' }],
  ['  <sip:a@b>\t', { uri: 'sip:a@b' }],
  ['Alice <sip:a@b>', { display: 'Alice', uri: 'sip:a@b' }],
  ['A. B  C <sip:a@b>', { display: 'A. B  C', uri: 'sip:a@b' }],
  ['Alice<sip:a@b>', { display: 'Alice', uri: 'sip:a@b' }, 'RFC 4475, section 3.1.1.6'],
  ['"Alice B." <sip:a@b>;tag=1', { display: 'Alice B.', uri: 'sip:a@b', params: { tag: '1' } }],
  ['""<sip:a@b>', { display: '', uri: 'sip:a@b' }],
  ['"Мария 💬" <sip:a@b>', { display: 'Мария 💬', uri: 'sip:a@b' }],
  ['"a\\"b\\\\c\\d" <sip:a@b>', { display: 'a"b\\cd', uri: 'sip:a@b' }],
  ['<sip:a@b;lr>;q=0.5;x', { uri: 'sip:a@b;lr', params: { q: '0.5', x: true } }],
  [
    'sip:a@b;tag=1',
    { uri: 'sip:a@b', params: { tag: '1' } },
    'RFC 3261, section 20.10: without brackets not of the URI',
  ],
  ['sip:a@b ; TAG = 1', { uri: 'sip:a@b', params: { tag: '1' } }],
  ['<sip:a@b>;x="a;b,c\\""', { uri: 'sip:a@b', params: { x: 'a;b,c"' } }],
  ['<tel:+123;phone-context=x>', { uri: 'tel:+123;phone-context=x' }],
  ['<sip:a@b?Route=%3Csip:c%3E>', { uri: 'sip:a@b?Route=%3Csip:c%3E' }],
  ['<sip:a@b>;gr=urn:uuid:1', { uri: 'sip:a@b', params: { gr: 'urn:uuid:1' } }],
  // Nothing in a display name becomes the URI (CVE-2025-47779).
  ['"x;<sip:evil@c>" <sip:a@b>', { display: 'x;<sip:evil@c>', uri: 'sip:a@b' }],
  ['"<sip:evil@c>;tag=2,\\" <sip:evil@d>" <sip:a@b>', { display: '<sip:evil@c>;tag=2," <sip:evil@d>', uri: 'sip:a@b' }],
  ['"x\\\0<sip:evil@c>" <sip:a@b>', { display: 'x\0<sip:evil@c>', uri: 'sip:a@b' }],
  ['x;y <sip:a@b>', undefined, 'a semicolon in an unquoted name'],
  ['x\0<sip:a@b>', undefined, 'NUL in an unquoted name'],
  ['sip:evil@c <sip:a@b>', undefined, 'a URI for a name'],
  ['<sip:evil@c> <sip:a@b>', undefined, 'two of them'],
  ['<sip:evil@c><sip:a@b>', undefined, 'two of them'],
  ['<sip:evil@c>, <sip:a@b>', undefined, 'a list'],
  ['sip:evil@c, sip:a@b', undefined, 'a list'],
  ['<<sip:a@b>>', undefined, 'brackets in brackets'],
  ['"open <sip:a@b>', undefined, 'RFC 4475, section 3.1.2.6'],
  ['"a" "b" <sip:a@b>', undefined, 'two quoted names'],
  ['a "b" <sip:a@b>', undefined, 'a word and a quoted name'],
  ['"a"', undefined, 'a name alone'],
  ['"a\\"<sip:a@b>', undefined, 'the closing quote is escaped'],
  ['Bell, Alexander <sip:a@b>', undefined, 'RFC 4475, section 3.1.2.15'],
  ['"W" < sip:a@b >', undefined, 'RFC 4475, section 3.1.2.14'],
  ['<sip:a b@c>', undefined, 'a blank in the URI'],
  ['<sip:a@b', undefined, 'an open bracket'],
  ['sip:a@b>', undefined, 'a closing bracket alone'],
  ['<>', undefined],
  ['<a@b>', undefined, 'no scheme'],
  ['', undefined],
  ['*', undefined],
  ['%', undefined, 'a crash of drachtio-server (issue 243)'],
  [';tag=1', undefined],
  ['sip:a@b?x=1', undefined, 'RFC 4475, section 3.1.2.13'],
  ['<sip:a@b>;;;', undefined, 'RFC 4475, section 3.1.2.1'],
  ['<sip:a@b>;', undefined],
  ['<sip:a@b> x', undefined],
  ['<sip:a@b>;tag=1;tag=', undefined, 'a second, empty tag (CVE-2018-14767)'],
  ['<sip:a@b>;tag=1;tag=2', undefined, 'a second tag'],
  ['<sip:a@b>;tag=1;TAG=2', undefined, 'a second tag in other capitals'],
  ['<sip:a@b>;tag=', undefined],
  ['<sip:a@b>;tag="1', undefined],
  ['<sip:a@b>;tag=1 2', undefined],
  [`<sip:a@b>${';p'.repeat(65)}`.replace(/;p/g, (p, at: number) => p + String(at)), undefined, 'too many parameters'],
];

for (const [value, address, why] of ADDRESSES) {
  const name = JSON.stringify(value.slice(0, 60));
  test(`name-addr: ${name} ${address === undefined ? 'is refused' : 'is read'}${why ? ` (${why})` : ''}`, () => {
    const read = parseNameAddr(value);
    if (address === undefined) assert.equal(read, undefined);
    else {
      assert.deepEqual(
        { display: read?.display, uri: read?.uri, params: Object.fromEntries(read?.params ?? []) },
        { display: address.display, uri: address.uri, params: address.params ?? {} },
      );
    }
  });
}

for (const display of ['Alice', 'a"b\\c', '<sip:evil@c>', 'x;y,z', 'Мария 💬', '', '\\', '"', '","']) {
  test(`name-addr: written with the name ${JSON.stringify(display)} it is read as it was`, () => {
    const value = formatNameAddr({ display, uri: 'sip:a@b', params: new Map([['tag', '1']]) });
    const read = parseNameAddr(value);
    assert.deepEqual([read?.display, read?.uri, read?.params.get('tag')], [display, 'sip:a@b', '1']);
    assert.equal(splitList(value)?.length, 1);
  });
}

test('quoted string: line ends and controls become blanks', () => {
  assert.equal(quoteString('a\r\nVia: x\0\x7f\tb'), '"a  Via: x  \tb"');
});

test('name-addr list: commas in quotes and brackets do not divide', () => {
  const list = parseNameAddrList('"a, b" <sip:a,b@c>;x="1,2" , sip:d@e');
  assert.deepEqual(
    list?.map(({ uri }) => uri),
    ['sip:a,b@c', 'sip:d@e'],
  );
  for (const value of ['', ',', 'sip:a@b,', ',sip:a@b', 'sip:a@b,,sip:c@d', '*', 'sip:a@b, *', '"a, <sip:a@b>']) {
    assert.equal(parseNameAddrList(value), undefined, value);
  }
});

const LISTS: ReadonlyArray<readonly [value: string, items: readonly string[] | undefined]> = [
  ['a', ['a']],
  ['a,b , c', ['a', 'b', 'c']],
  ['"a,b",c', ['"a,b"', 'c']],
  ['"a\\",b",c', ['"a\\",b"', 'c']],
  ['<a,b>,c', ['<a,b>', 'c']],
  ['<a"b>,c', ['<a"b>', 'c']],
  ['\ufeffa\u00a0,b', ['\ufeffa\u00a0', 'b']],
  ['', undefined],
  [' ', undefined],
  ['a,', undefined],
  [',a', undefined],
  ['a,,b', undefined],
  ['"a,b', undefined],
  ['<a,b', undefined],
];

for (const [value, items] of LISTS) {
  test(`list: ${JSON.stringify(value)} is ${items === undefined ? 'refused' : JSON.stringify(items)}`, () => {
    assert.deepEqual(splitList(value), items);
  });
}

test('parameters: read and written back', () => {
  const params = parseParams(' ; a ; B=1; c = "x\\"y" ;d=[::1]');
  assert.deepEqual(
    [...(params ?? [])],
    [
      ['a', true],
      ['b', '1'],
      ['c', 'x"y'],
      ['d', '[::1]'],
    ],
  );
  assert.equal(formatParams(params!), ';a;b=1;c="x\\"y";d=[::1]');
  assert.deepEqual(parseParams(formatParams(params!)), params);
  assert.deepEqual(parseParams(''), new Map());
  for (const text of ['a', ';', ';=', ';a=', ';a b', ';a=b c', ';a=",', ';a;a', ';ä', ';a=ä', ';a=b,c', ';a\0']) {
    assert.equal(parseParams(text), undefined, text);
  }
});

type Via = [protocol: string, transport: string, host: string, port: number | undefined, Record<string, string | true>];

const VIAS: ReadonlyArray<readonly [value: string, via: Via | undefined]> = [
  ['SIP/2.0/UDP h;branch=z9hG4bK1;rport', ['SIP/2.0', 'UDP', 'h', undefined, { branch: 'z9hG4bK1', rport: true }]],
  [
    'SIP/2.0/tcp H:5060;rport=1;received=192.0.2.1',
    ['SIP/2.0', 'TCP', 'h', 5060, { rport: '1', received: '192.0.2.1' }],
  ],
  ['SIP / 2.0 / TLS [2001:DB8::9:1] : 5061 ; branch = x', ['SIP/2.0', 'TLS', '[2001:db8::9:1]', 5061, { branch: 'x' }]],
  ['SIP/2.0/WS 1.2.3.4', ['SIP/2.0', 'WS', '1.2.3.4', undefined, {}]],
  ['SIP/7.0/UDP h', ['SIP/7.0', 'UDP', 'h', undefined, {}]],
  ['sip/2.0/udp h', ['sip/2.0', 'UDP', 'h', undefined, {}]],
  ['SIP/2.0/UDP h;received=[::1];x="a;b"', ['SIP/2.0', 'UDP', 'h', undefined, { received: '[::1]', x: 'a;b' }]],
  ['SIP/2.0/UDP h;branch=a=b/c@d', ['SIP/2.0', 'UDP', 'h', undefined, { branch: 'a=b/c@d' }]],
  ['', undefined],
  ['SIP/2.0/UDP', undefined],
  ['SIP/2.0/UDP ', undefined],
  ['SIP/2.0/UDPh', undefined],
  ['SIP/2.0 UDP h', undefined],
  ['SIP/UDP h', undefined],
  ['/2.0/UDP h', undefined],
  ['SIP//UDP h', undefined],
  ['SIP/2.0/ h', undefined],
  ['SIP/2.0/UDP h:', undefined],
  ['SIP/2.0/UDP h:0', undefined],
  ['SIP/2.0/UDP h:65536', undefined],
  ['SIP/2.0/UDP h:x', undefined],
  ['SIP/2.0/UDP 2001:db8::1', undefined],
  ['SIP/2.0/UDP [2001:db8::1', undefined],
  ['SIP/2.0/UDP h;', undefined],
  ['SIP/2.0/UDP h;branch=', undefined],
  ['SIP/2.0/UDP h;branch=1;branch=2', undefined],
  ['SIP/2.0/UDP h, SIP/2.0/UDP i', undefined],
  ['SIP/2.0/UDP h x', undefined],
  ['SIP/2.0/UDP h\0', undefined],
];

for (const [value, via] of VIAS) {
  test(`Via: ${JSON.stringify(value)} is ${via === undefined ? 'refused' : 'read'}`, () => {
    const read = parseVia(value);
    if (via === undefined) {
      assert.equal(read, undefined);
      return;
    }
    assert.ok(read !== undefined);
    assert.deepEqual([read.protocol, read.transport, read.host, read.port, Object.fromEntries(read.params)], via);
    assert.deepEqual(parseVia(formatVia(read)), read);
  });
}

const SEQUENCES: ReadonlyArray<readonly [value: string, number: number | undefined]> = [
  ['1 INVITE', 1],
  ['0 INVITE', 0],
  ['0009 \t INVITE ', 9],
  [`${'0'.repeat(500)}1 INVITE`, 1],
  ['4294967295 INVITE', 4_294_967_295],
  ['4294967296 INVITE', undefined],
  ['36893488147419103232 REGISTER', undefined],
  ['-1 INVITE', undefined],
  ['+1 INVITE', undefined],
  ['1.0 INVITE', undefined],
  ['1e1 INVITE', undefined],
  ['0x1 INVITE', undefined],
  ['1INVITE', undefined],
  ['1', undefined],
  ['1 ', undefined],
  [' 1 INVITE', undefined],
  ['INVITE 1', undefined],
  ['1 INVITE x', undefined],
  ['1 IN\u00a0VITE', undefined],
  ['', undefined],
];

for (const [value, number] of SEQUENCES) {
  test(`CSeq: ${JSON.stringify(value.slice(-40))} is ${number ?? 'refused'}`, () => {
    assert.equal(parseCSeq(value)?.number, number);
  });
}

const QUALITIES: ReadonlyArray<readonly [text: string, value: number | undefined]> = [
  ['0', 0],
  ['1', 1],
  ['0.', 0],
  ['0.5', 0.5],
  ['0.33', 0.33],
  ['0.001', 0.001],
  ['1.000', 1],
  ['1.001', undefined],
  ['0.1234', undefined],
  ['2', undefined],
  ['-0', undefined],
  ['.5', undefined],
  ['00.5', undefined],
  ['0.a', undefined],
  ['0.5.', undefined],
  ['NaN', undefined],
  ['', undefined],
];

for (const [text, value] of QUALITIES) {
  test(`q value: ${JSON.stringify(text)} is ${value ?? 'refused'}`, () => assert.equal(parseQvalue(text), value));
}

const CREDENTIALS: ReadonlyArray<readonly [value: string, params: Record<string, string> | undefined]> = [
  [
    'Digest username="bob", realm="a \\"b\\"", nonce="", uri="sip:x@y,z", response="00ff", algorithm=MD5 ,qop=auth,nc=00000001',
    {
      username: 'bob',
      realm: 'a "b"',
      nonce: '',
      uri: 'sip:x@y,z',
      response: '00ff',
      algorithm: 'MD5',
      qop: 'auth',
      nc: '00000001',
    },
  ],
  ['Digest Username = "bob"', { username: 'bob' }],
  ['NoOneKnowsThisScheme opaque-data=here', { 'opaque-data': 'here' }],
  ['Digest username="бoб"', { username: 'бoб' }],
  ['', undefined],
  ['Digest', undefined],
  ['Digest ', undefined],
  ['Digest,', undefined],
  ['Digest a', undefined],
  ['Digest a=', undefined],
  ['Digest a="', undefined],
  ['Digest a="\\"', undefined],
  ['Digest a="1",', undefined],
  ['Digest ,a="1"', undefined],
  ['Digest a="1",,b="2"', undefined],
  ['Digest a="1" b="2"', undefined],
  ['Digest a="1",A="2"', undefined],
  ['Digest=a', undefined],
  ['"Digest" a=1', undefined],
];

for (const [value, params] of CREDENTIALS) {
  test(`credentials: ${JSON.stringify(value.slice(0, 50))} ${params === undefined ? 'are refused' : 'are read'}`, () => {
    const read = parseAuthParams(value);
    assert.deepEqual(read && Object.fromEntries(read.params), params);
    if (params !== undefined) assert.equal(read?.scheme, value.split(' ')[0]);
  });
}

const DATES: ReadonlyArray<readonly [value: string, iso: string | undefined]> = [
  ['Sat, 13 Nov 2010 23:29:00 GMT', '2010-11-13T23:29:00.000Z'],
  ['Tue, 29 Feb 2028 00:00:00 GMT', '2028-02-29T00:00:00.000Z'],
  ['Sat, 31 Dec 2016 23:59:60 GMT', '2017-01-01T00:00:00.000Z'],
  ['Fri, 01 Jan 2010 16:00:00 EST', undefined],
  ['Fri, 01 Jan 2010 16:00:00 UTC', undefined],
  ['Fri, 01 Jan 2010 16:00:00', undefined],
  ['Fri, 1 Jan 2010 16:00:00 GMT', undefined],
  ['Fri, 31 Feb 2010 16:00:00 GMT', undefined],
  ['Fri, 00 Jan 2010 16:00:00 GMT', undefined],
  ['Fri, 01 Jan 2010 24:00:00 GMT', undefined],
  ['Fri, 01 Jan 2010 16:60:00 GMT', undefined],
  ['Fri, 01 jan 2010 16:00:00 GMT', undefined],
  ['Fri, 01 anF 2010 16:00:00 GMT', undefined],
  ['Fry, 01 Jan 2010 16:00:00 GMT', undefined],
  ['Fri, 01 Jan 1969 16:00:00 GMT', undefined],
  ['2010-01-01T16:00:00Z', undefined],
  ['', undefined],
];

for (const [value, iso] of DATES) {
  test(`Date: ${value} is ${iso ?? 'refused'}`, () => {
    const ms = parseSipDate(value);
    assert.equal(ms === undefined ? undefined : new Date(ms).toISOString(), iso);
    if (ms !== undefined && !value.includes(':60 ')) assert.equal(formatSipDate(ms), value);
  });
}

test('header values: 80,000 characters of any one kind are judged at once', () => {
  const started = process.cpuUsage();
  const readers = [parseNameAddr, parseNameAddrList, parseVia, parseCSeq, parseParams, parseAuthParams, splitList];
  for (const part of [
    'a',
    ' ',
    '"',
    '\\',
    '\\"',
    '<',
    '>',
    '<>',
    ',',
    ';',
    ';a',
    ';a=',
    '=',
    'a=b,',
    '/',
    '1',
    '"a",',
  ]) {
    for (const start of ['', '"', '<sip:a@b>;', 'Digest a', 'SIP/2.0/UDP h;']) {
      for (const read of readers) read(start + part.repeat(80_000));
    }
  }
  // Together about a second; a single one that is quadratic takes longer than this.
  assert.ok(process.cpuUsage(started).user < 4_000_000, 'four seconds of CPU time');
});

const SECONDS: ReadonlyArray<
  readonly [value: string | undefined, expires: number | undefined, retry?: number | undefined]
> = [
  [undefined, undefined],
  ['', undefined, undefined],
  ['0', 0, 0],
  ['0600', 600, 600],
  ['4294967296', 4_294_967_295, 86_400],
  ['600 (later)', undefined, 600],
  ['600;duration=5', undefined, 600],
  ['-1', undefined, undefined],
  ['1e3', undefined, 1],
];
for (const [value, expires, retry] of SECONDS) {
  test(`seconds: ${value ?? 'none'}`, () => {
    assert.equal(parseExpires(value), expires);
    if (value !== undefined) assert.equal(parseRetryAfter(value), retry);
  });
}
