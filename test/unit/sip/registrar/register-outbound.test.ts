import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '../../../../src/core/cidr.ts';
import type { ErrorCode } from '../../../../src/core/errors.ts';
import type { Binding } from '../../../../src/core/ports.ts';
import type { RegisterRequest } from '../../../../src/core/registration-service.ts';
import type { HeaderField, SipFlow, SipReply } from '../../../../src/sip/message.ts';
import { registerHandler, type RegisterSettings } from '../../../../src/sip/registrar/register-handler.ts';
import type { SipStack } from '../../../../src/sip/stack.ts';
import { aBinding } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aRequest } from '../../../support/sip-request.ts';

/** REGISTER with flows, paths and GRUUs: RFC 5626, RFC 3327, RFC 5627, RFC 3608. */
const INSTANCE = '<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>';
const DEVICE = INSTANCE.slice(1, -1);
const NOW_MS = 1_700_000_000_000;

type Options = {
  readonly bindings?: readonly Binding[];
  readonly settings?: Partial<RegisterSettings>;
  readonly flow?: Partial<SipFlow>;
  readonly isCore?: boolean;
  /** An engine that lacks something. */
  readonly stack?: Pick<SipStack, 'takesRoutes' | 'answersKeepAlives'>;
};

async function register(
  headers: readonly HeaderField[],
  { bindings = [], settings = {}, flow = {}, isCore = false, stack }: Options = {},
): Promise<{ reply: SipReply; asked: RegisterRequest | undefined }> {
  let asked: RegisterRequest | undefined;
  const handler = registerHandler({
    isOwn: (domain) => domain === 'sip.example',
    mayActFor: () => isCore,
    checkDigest: () => ({ kind: 'proved', userKey: 'bob@sip.example' }),
    register: async (_user, request) => {
      asked = request;
      return bindings;
    },
    listeners: () => [],
    gruus: {
      publicOf: (user, device) => `sip:${user};gr=${device}`,
      temporaryOf: (_user, _device, sinceMs) => `sip:tgruu.${sinceMs}@sip.example;gr`,
    },
    settings: { serviceRoute: [], edges: [], ...settings },
    ...(stack === undefined ? {} : { stack }),
    clock: new FakeClock(NOW_MS),
  });
  const to = '<sip:bob@sip.example>';
  const request = aRequest({ method: 'REGISTER', uri: 'sip:sip.example', from: `${to};tag=1`, to, headers, flow });
  return { reply: await handler(request), asked };
}

function valuesOf({ headers = [] }: SipReply, name: string): readonly string[] {
  return headers.filter(([field]) => field === name).map(([, value]) => value);
}

const SUPPORTED: HeaderField = ['Supported', 'path, outbound'];
/** RFC 5626, section 3.2: what Bob's phone sends over its TCP connection. */
const CONTACT: HeaderField = [
  'Contact',
  `<sip:line1@192.0.2.2;transport=tcp>; reg-id=1;;+sip.instance="${INSTANCE}"`.replace(';;', ';'),
];
const TWO_VIAS: readonly HeaderField[] = [
  ['Via', 'SIP/2.0/TCP 192.0.2.99:5060;branch=z9hG4bKproxy'],
  ['Via', 'SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK-bad0ce-11-1036'],
];
const PATH = '<sip:GopIKSsn0oGLPXRdV9BAXpT3coNuiGKV@192.0.2.99;lr;ob>';

test('outbound: a flow straight to the registrar is kept, and the phone is told so (RFC 5626, section 3.2)', async () => {
  const { reply, asked } = await register([SUPPORTED, CONTACT]);
  assert.deepEqual(asked?.contacts, [{ uri: 'sip:line1@192.0.2.2;transport=tcp', instance: INSTANCE, regId: 1 }]);
  assert.equal(asked.flow, 'tcp-1');
  assert.equal(asked.isFlowOnly, true);
  assert.deepEqual(valuesOf(reply, 'Require'), ['outbound']);
  assert.deepEqual(valuesOf(reply, 'Flow-Timer'), []);
});

test('outbound: a phone that does not say that it knows of it gets its flow, and no Require (RFC 5626, section 6)', async () => {
  const { reply, asked } = await register([CONTACT]);
  assert.deepEqual(asked?.contacts, [{ uri: 'sip:line1@192.0.2.2;transport=tcp', instance: INSTANCE, regId: 1 }]);
  assert.deepEqual(valuesOf(reply, 'Require'), []);
});

test('outbound: Flow-Timer is told where it is configured, for flows that end here', async () => {
  const settings = { flowTimerSeconds: 120 };
  const { reply } = await register([SUPPORTED, CONTACT], { settings });
  assert.deepEqual(valuesOf(reply, 'Flow-Timer'), ['120']);
  assert.equal(reply.flowTimerSeconds, 120);
  const { reply: other } = await register([SUPPORTED, ['Contact', '<sip:line1@192.0.2.2>']], { settings });
  assert.deepEqual(valuesOf(other, 'Flow-Timer'), []);
  const { reply: far } = await register([SUPPORTED, CONTACT, ...TWO_VIAS, ['Path', PATH]], { settings });
  assert.deepEqual([valuesOf(far, 'Require'), valuesOf(far, 'Flow-Timer')], [['outbound'], []]);
  assert.equal(far.flowTimerSeconds, undefined);
});

test('outbound: behind a proxy that holds the flow the path counts, and no flow of ours (RFC 5626, section 9.2)', async () => {
  const { reply, asked } = await register([SUPPORTED, CONTACT, ...TWO_VIAS, ['Path', PATH]]);
  assert.deepEqual(asked?.path, [PATH]);
  assert.equal(asked.flow, undefined);
  assert.deepEqual(valuesOf(reply, 'Path'), [PATH]);
  assert.deepEqual(valuesOf(reply, 'Require'), ['outbound']);
});

for (const [what, headers] of [
  ['has no Path', []],
  ['has a Path without ob', [['Path', '<sip:192.0.2.99;lr>']]],
] as ReadonlyArray<readonly [string, readonly HeaderField[]]>) {
  test(`outbound: a request by way of a proxy that ${what} is answered 439, or its reg-id is ignored`, async () => {
    const refused = await register([SUPPORTED, CONTACT, ...TWO_VIAS, ...headers]);
    assert.deepEqual([refused.reply.status, refused.asked], [439, undefined]);
    const { reply, asked } = await register([CONTACT, ...TWO_VIAS, ...headers]);
    assert.equal(reply.status, 200);
    assert.deepEqual(asked?.contacts, [{ uri: 'sip:line1@192.0.2.2;transport=tcp', instance: INSTANCE }]);
    assert.deepEqual(valuesOf(reply, 'Require'), []);
  });
}

for (const regId of ['0', 'x', '2147483648', '""']) {
  test(`outbound: reg-id ${regId} is none`, async () => {
    const { asked } = await register([['Contact', `<sip:b@p.example>;reg-id=${regId};+sip.instance="${INSTANCE}"`]]);
    assert.deepEqual(asked?.contacts, [{ uri: 'sip:b@p.example', instance: INSTANCE }]);
  });
}

test('outbound: a reg-id without an instance is ignored, a second contact beside a flow refused (RFC 5626, section 6)', async () => {
  const { asked } = await register([['Contact', '<sip:b@p.example>;reg-id=1']]);
  assert.deepEqual(asked?.contacts, [{ uri: 'sip:b@p.example' }]);
  await assert.rejects(register([CONTACT, ['Contact', '<sip:b@p.example>']]), { code: 'request-malformed' });
  const { reply } = await register([CONTACT, ['Contact', '<sip:b@p.example>;expires=0']]);
  assert.equal(reply.status, 200);
});

const FLOWS: ReadonlyArray<readonly [string, Partial<SipFlow>, string, boolean | undefined]> = [
  ['a browser, whatever its Contact says', { transport: 'ws' }, '<sip:b@198.51.100.7>', true],
  ['a browser without an address', { transport: 'wss' }, '<sip:b@df7jal23ls0d.invalid;transport=ws>', true],
  ['a phone behind a NAT over TCP', { transport: 'tcp' }, '<sip:b@192.168.1.5;transport=tcp>', true],
  ['a phone at the address it says', { transport: 'tcp' }, '<sip:b@192.0.2.99;transport=tcp>', false],
  ['a phone with a name of its own', { transport: 'tcp' }, '<sip:b@phone.example;transport=tcp>', false],
  ['a device elsewhere', { transport: 'tcp' }, '<sip:b@198.51.100.7;transport=tcp>', undefined],
  ['UDP without an address', { transport: 'udp' }, '<sip:b@x.invalid>', true],
];
for (const [who, flow, contact, isFlowOnly] of FLOWS) {
  test(`flow: ${who} is reached ${isFlowOnly === true ? 'over it alone' : isFlowOnly === false ? 'over it first' : 'elsewhere'}`, async () => {
    const { asked } = await register([['Contact', contact]], { flow });
    assert.equal(asked?.isFlowOnly, isFlowOnly);
  });
}

test('path: it is kept for a phone that does not know of it, and shown to one that does (RFC 3327, section 5.3)', async () => {
  const contact: HeaderField = ['Contact', '<sip:b@192.0.2.4>'];
  const routes = ['<sip:192.0.2.99;lr>', '<sip:p1.example;lr>'];
  const paths = routes.map((route): HeaderField => ['Path', route]);
  const unaware = await register([contact, ...TWO_VIAS, ...paths]);
  assert.deepEqual(unaware.asked?.path, routes);
  assert.deepEqual(valuesOf(unaware.reply, 'Path'), []);
  const aware = await register([contact, ['Supported', 'path'], ...TWO_VIAS, ...paths]);
  assert.deepEqual(valuesOf(aware.reply, 'Path'), routes);
});

const PATHS: ReadonlyArray<readonly [string, string, Options, ErrorCode | undefined]> = [
  ['that leads to where the request came from', '<sip:192.0.2.99;lr>', {}, undefined],
  ['of the name in its certificate', '<sip:P1.Example;lr>', { flow: { peerNames: ['p1.example'] } }, undefined],
  ['to a third party', '<sip:203.0.113.9;lr>', {}, 'policy-violated'],
  ['to a name that may be anybody', '<sip:p1.example;lr>', {}, 'policy-violated'],
  ['of an edge proxy', '<sip:p1.example;lr>', { settings: { edges: [parseCidr('192.0.2.0/24')!] } }, undefined],
  ['of a trusted core', '<sip:p1.example;lr>', { isCore: true }, undefined],
  ['that is no loose route', '<sip:192.0.2.99>', {}, 'request-malformed'],
  ['that is no SIP URI', '<tel:+1555>', {}, 'request-malformed'],
  ['that is too long', `<sip:${'a'.repeat(600)}@192.0.2.99;lr>`, {}, 'request-malformed'],
];
for (const [what, path, options, code] of PATHS) {
  test(`path: one ${what} is ${code === undefined ? 'taken' : `refused: ${code}`}`, async () => {
    const registered = register([['Contact', '<sip:b@192.0.2.4>'], ...TWO_VIAS, ['Path', path]], options);
    if (code === undefined) assert.deepEqual((await registered).asked?.path, [path]);
    else await assert.rejects(registered, { code });
  });
}

test('path: more than eight proxies are refused', async () => {
  const paths = Array.from({ length: 9 }, (): HeaderField => ['Path', '<sip:192.0.2.99;lr>']);
  await assert.rejects(register([['Contact', '<sip:b@192.0.2.4>'], ...paths]), { code: 'request-malformed' });
});

test('gruu: each device is told its addresses when the phone knows of them, and only then (RFC 5627, section 5.2)', async () => {
  const bindings = [
    aBinding({
      contact: 'sip:b@p1.example',
      instance: INSTANCE,
      regId: 2,
      gruusSinceMs: 7,
      expiresAtMs: NOW_MS + 60_000,
    }),
    aBinding({ contact: 'sip:b@p2.example', expiresAtMs: NOW_MS + 60_000 }),
  ];
  const { reply, asked } = await register([['Supported', 'gruu'], CONTACT], { bindings });
  assert.equal(asked?.hasGruu, true);
  assert.deepEqual(valuesOf(reply, 'Contact'), [
    `<sip:b@p1.example>;expires=60;+sip.instance="${INSTANCE}";reg-id=2` +
      `;pub-gruu="sip:bob@sip.example;gr=${DEVICE}";temp-gruu="sip:tgruu.7@sip.example;gr"`,
    '<sip:b@p2.example>;expires=60',
  ]);
  const unaware = await register([CONTACT], { bindings });
  assert.equal(unaware.asked?.hasGruu, undefined);
  assert.ok(!valuesOf(unaware.reply, 'Contact').join().includes('gruu'));
});

test('service-route: what the operator says is told with each registration, asked for or made (RFC 3608, section 6.3)', async () => {
  const settings = { serviceRoute: ['sip:p2.home.example;lr', 'sip:hsp.home.example;lr'] };
  for (const headers of [[], [CONTACT]]) {
    const { reply } = await register(headers, { settings });
    assert.deepEqual(valuesOf(reply, 'Service-Route'), ['<sip:p2.home.example;lr>', '<sip:hsp.home.example;lr>']);
  }
});

test('outbound: where the engine answers no signs of life over a transport, flows over it are not kept', async () => {
  const stack = { answersKeepAlives: (transport: string) => transport === 'tcp' };
  const { reply, asked } = await register([SUPPORTED, CONTACT], { stack, flow: { transport: 'tls' } });
  assert.equal(reply.status, 439);
  assert.equal(asked, undefined);
  assert.deepEqual(valuesOf((await register([SUPPORTED, CONTACT], { stack })).reply, 'Require'), ['outbound']);
});

test('path: one that the engine cannot follow is refused, not kept in vain', async () => {
  const stack = { takesRoutes: (routes: readonly string[]) => !routes.includes(PATH) };
  const { reply, asked } = await register([SUPPORTED, CONTACT, ...TWO_VIAS, ['Path', PATH]], { stack });
  assert.equal(reply.status, 420);
  assert.deepEqual(valuesOf(reply, 'Unsupported'), ['path']);
  assert.equal(asked, undefined);
  const plain = await register([CONTACT, ...TWO_VIAS, ['Path', '<sip:192.0.2.99;lr>']], { stack });
  assert.equal(plain.reply.status, 200);
  assert.deepEqual(plain.asked?.path, ['<sip:192.0.2.99;lr>']);
});
