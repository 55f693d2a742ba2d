import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ErrorCode, GatewayError } from '../../../../src/core/errors.ts';
import { parseFlowId } from '../../../../src/sip/drachtio/flow-id.ts';
import { mapOutgoing, type OutgoingContext } from '../../../../src/sip/drachtio/outgoing.ts';
import { tooLarge } from '../../../../src/sip/drachtio/refusal.ts';
import type { HeaderField, SipOutgoing } from '../../../../src/sip/message.ts';

const BASE: readonly HeaderField[] = [
  ['From', '<sip:alice@sip.example>;tag=f1'],
  ['To', '<sip:bob@peer.example>'],
  ['Call-ID', 'c1'],
  ['CSeq', '7 MESSAGE'],
];
const TEXT: HeaderField = ['Content-Type', 'text/plain'];
const CONTEXT: OutgoingContext = { serverName: undefined, isKnownDialog: false };

function mapped(more: Partial<SipOutgoing> = {}, context: Partial<OutgoingContext> = {}) {
  const outgoing = { method: 'MESSAGE', uri: 'sip:bob@peer.example', headers: BASE, ...more };
  return mapOutgoing(outgoing, { ...CONTEXT, ...context });
}

const routed = (...routes: string[]): readonly HeaderField[] => [
  ...BASE,
  ...routes.map((route) => ['Route', route] as const),
];
const sized = (bytes: number): Partial<SipOutgoing> => ({ headers: [...BASE, TEXT], body: Buffer.alloc(bytes, 'x') });

const REFUSED: ReadonlyArray<readonly [what: string, more: Partial<SipOutgoing>, code: ErrorCode]> = [
  ['two routes', { headers: routed('<sip:a.example;lr>', '<sip:b.example;lr>') }, 'feature-unsupported'],
  ['two routes in one field', { headers: routed('<sip:a.example;lr>, <sip:b.example;lr>') }, 'feature-unsupported'],
  ['a strict router', { headers: routed('<sip:a.example>') }, 'feature-unsupported'],
  ['a route with a flow token', { headers: routed('<sip:token@a.example;lr>') }, 'feature-unsupported'],
  ['a route with a parameter of its own', { headers: routed('<sip:a.example;lr;id=7>') }, 'feature-unsupported'],
  ['a route that is none', { headers: routed('<<>>') }, 'feature-unsupported'],
  ['a next hop that is not the router', { headers: routed('<sip:a.example;lr>'), nextHop: { uri: 'sip:b.example' } }, 'feature-unsupported'],
  ['INVITE', { method: 'INVITE' }, 'internal'],
  ['a method without a specification', { method: 'FOO' }, 'internal'],
  ['a Via', { headers: [...BASE, ['Via', 'SIP/2.0/UDP a.example']] }, 'internal'],
  ['no Call-ID', { headers: BASE.filter(([name]) => name !== 'Call-ID') }, 'internal'],
  ['a NUL that is quoted', { headers: [...BASE, ['Subject', '"\\\0"']] }, 'internal'],
  ['a body without Content-Type', { body: Buffer.from('x') }, 'internal'],
  ['a body with a NUL', { headers: [...BASE, TEXT], body: Buffer.from('a\0') }, 'content-unsupported'],
  ['a body that is no UTF-8', { headers: [...BASE, TEXT], body: Buffer.from([0xc3]) }, 'content-unsupported'],
  ['a body above what the control connection takes', sized(11_800), 'content-too-large'],
  ['a header above it', { headers: [...BASE, ['Subject', 'x'.repeat(12_000)]] }, 'content-too-large'],
]; // prettier-ignore
for (const [what, more, code] of REFUSED) {
  test(`drachtio request: ${what} is refused: ${code}`, () => {
    assert.throws(
      () => mapped(more),
      (error: GatewayError) => error.code === code,
    );
  });
}

test('drachtio request: 11 kB of body pass', () => {
  assert.equal(mapped(sized(11_000)).request.body?.length, 11_000);
  assert.equal(tooLarge().details.sizeMax, 10_000);
});

test('drachtio request: a route set of one loose router is where it goes, without the header', () => {
  const { request } = mapped({ headers: routed('<sip:a.example:5070;transport=TCP;lr>') });
  assert.equal(request.proxy, 'sip:a.example:5070;transport=tcp');
  assert.equal(request.uri, 'sip:bob@peer.example');
  assert.ok(!('Route' in request.headers));
});

test('drachtio request: the routes of a dialog that the server knows are its own to write', () => {
  const headers = routed('<sip:a.example;lr>', '<sip:token@b.example;lr>');
  const { request, overTcp } = mapped({ ...sized(2_000), headers: [...headers, TEXT] }, { isKnownDialog: true });
  assert.equal(request.proxy, undefined);
  assert.ok(!('Route' in request.headers));
  assert.equal(overTcp, undefined, 'and the way as well');
});

test('drachtio request: over a flow it goes where that leads, one loose router or none', () => {
  const flow = parseFlowId('drachtio,edge%3A9022,tls,2001:db8::7,5071')!;
  const expected = 'sip:[2001:db8::7]:5071;transport=tls';
  assert.equal(mapped({}, { flow }).request.proxy, expected);
  assert.equal(mapped({ headers: routed('<sip:a.example;lr>') }, { flow }).request.proxy, expected);
});

const LARGE: ReadonlyArray<readonly [uri: string, nextHop: string | undefined, overTcp: string | undefined]> = [
  ['sip:bob@peer.example', undefined, 'sip:peer.example;transport=tcp'],
  ['sip:bob@192.0.2.7:5070;transport=udp', undefined, 'sip:192.0.2.7:5070;transport=tcp'],
  ['sip:bob@peer.example', 'sip:gw.example:5070', 'sip:gw.example:5070;transport=tcp'],
  ['sip:bob@peer.example;transport=tcp', undefined, undefined],
  ['sips:bob@peer.example', undefined, undefined],
  ['im:bob@peer.example', 'sip:gw.example;transport=tls', undefined],
];
for (const [uri, nextHop, expected] of LARGE) {
  test(`drachtio request: 2 kB to ${nextHop ?? uri} go ${expected === undefined ? 'as they are' : `to ${expected} first`}`, () => {
    const more = { ...sized(2_000), uri, ...(nextHop === undefined ? {} : { nextHop: { uri: nextHop } }) };
    assert.equal(mapped(more).overTcp?.proxy, expected);
    assert.equal(mapped({ ...more, ...sized(100) }).overTcp, undefined);
  });
}

test('drachtio request: fields of one name stay fields of their own, in bytes', () => {
  const { request } = mapped(
    { headers: [...BASE, ['Accept', 'text/plain'], ['accept', 'text/html'], ['Subject', 'grüße']] },
    { serverName: 'Interpres/1' },
  );
  assert.equal(request.headers['Accept'], 'text/plain\r\nAccept: text/html');
  assert.equal(request.headers['Subject'], Buffer.from('grüße').toString('latin1'));
  assert.equal(request.headers['Max-Forwards'], '70');
  assert.equal(request.headers['User-Agent'], 'Interpres/1');
});
