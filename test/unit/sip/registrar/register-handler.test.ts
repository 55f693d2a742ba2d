import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../../../src/cpim/address.ts';
import { GatewayError, type ErrorCode } from '../../../../src/core/errors.ts';
import type { Binding } from '../../../../src/core/ports.ts';
import type { RegisterRequest } from '../../../../src/core/registration-service.ts';
import type { DigestOutcome } from '../../../../src/sip/digest-check.ts';
import { serializeResponse } from '../../../../src/sip/engine/serializer.ts';
import type { HeaderField, SipFlow, SipReply } from '../../../../src/sip/message.ts';
import { registerHandler, type RegisterSettings } from '../../../../src/sip/registrar/register-handler.ts';
import { aBinding } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aRequest, type RequestParts } from '../../../support/sip-request.ts';

const AOR = '<sip:alice@sip.example>';
const HERE: Partial<SipFlow> = { localAddress: '192.0.2.10', remoteAddress: '192.0.2.99', id: 'f1' };

type World = {
  readonly digest?: DigestOutcome;
  readonly bindings?: readonly Binding[];
  readonly refusal?: ErrorCode;
  readonly settings?: Partial<RegisterSettings>;
};
type Registered = { readonly user: Address; readonly request: RegisterRequest };

async function register(
  parts: RequestParts,
  world: World = {},
): Promise<{ reply: SipReply; registered: Registered[] }> {
  const registered: Registered[] = [];
  const handler = registerHandler({
    isOwn: (domain) => ['sip.example', 'core.example'].includes(domain),
    mayActFor: (domain, { address }) => domain === 'core.example' && address === '192.0.2.50',
    checkDigest: () => world.digest ?? { kind: 'proved', userKey: 'alice@sip.example' },
    register: async (user, request) => {
      if (world.refusal !== undefined) throw new GatewayError(world.refusal, 'test');
      registered.push({ user, request });
      return world.bindings ?? [];
    },
    listeners: () => [
      { transport: 'udp', address: '192.0.2.10', port: 5060 },
      { transport: 'tcp', address: '0.0.0.0', port: 5062 },
    ],
    gruus: {
      publicOf: (user, device) => `sip:${user};gr=${device}`,
      temporaryOf: (_user, _device, sinceMs) => `sip:tgruu.${sinceMs}@sip.example;gr`,
    },
    settings: { serviceRoute: [], edges: [], ...world.settings },
    clock: new FakeClock(),
  });
  const request = aRequest({
    method: 'REGISTER',
    uri: 'sip:sip.example',
    from: `${parts.to ?? AOR};tag=r1`,
    to: AOR,
    cseq: 3,
    ...parts,
    flow: { ...HERE, ...parts.flow },
  });
  const reply = await handler(request);
  serializeResponse({ status: reply.status, reason: 'x', headers: reply.headers ?? [] });
  return { reply, registered };
}

async function asked(headers: readonly HeaderField[], parts: RequestParts = {}): Promise<RegisterRequest> {
  const { reply, registered } = await register({ headers, ...parts });
  assert.equal(reply.status, 200);
  assert.equal(registered.length, 1);
  return registered[0]!.request;
}

const READ: ReadonlyArray<readonly [name: string, headers: readonly HeaderField[], wanted: Partial<RegisterRequest>]> =
  [
    [
      'one contact',
      [['Contact', '<sip:alice@phone.example:5070>']],
      { callId: 'call-1', cseq: 3, contacts: [{ uri: 'sip:alice@phone.example:5070' }] },
    ],
    [
      'expires, q and instance',
      [
        [
          'Contact',
          '"A" <sip:alice@phone.example;transport=tcp>;expires=120;q=0.75;+sip.instance="<urn:uuid:1>";reg-id=1',
        ],
      ],
      {
        contacts: [
          {
            uri: 'sip:alice@phone.example;transport=tcp',
            q: 750,
            expiresSeconds: 120,
            instance: '<urn:uuid:1>',
            regId: 1,
          },
        ],
      },
    ],
    [
      'two in one field',
      [['Contact', '<sip:a@p.example>;expires=1, <sip:b@p.example>;q=0']],
      {
        contacts: [
          { uri: 'sip:a@p.example', expiresSeconds: 1 },
          { uri: 'sip:b@p.example', q: 0 },
        ],
      },
    ],
    [
      'without brackets',
      [['Contact', 'sip:a@p.example;expires=5']],
      { contacts: [{ uri: 'sip:a@p.example', expiresSeconds: 5 }] },
    ],
    [
      'the field Expires',
      [
        ['Contact', '<sip:a@p.example>'],
        ['Expires', '600'],
      ],
      { expiresSeconds: 600 },
    ],
    [
      'a malformed time counts as an hour',
      [
        ['Contact', '<sip:a@p.example>;expires="soon"'],
        ['Expires', 'never'],
      ],
      { expiresSeconds: 3_600, contacts: [{ uri: 'sip:a@p.example', expiresSeconds: 3_600 }] },
    ],
    [
      'an overlarge time',
      [
        ['Contact', '<sip:a@p.example>'],
        ['Expires', '9999999999999'],
      ],
      { expiresSeconds: 4_294_967_295 },
    ],
    ['a q that is none', [['Contact', '<sip:a@p.example>;q=1.5']], { contacts: [{ uri: 'sip:a@p.example' }] }],
    ['only a question', [], { contacts: [] }],
    [
      'all away',
      [
        ['Contact', '*'],
        ['Expires', '0'],
      ],
      { contacts: '*', expiresSeconds: 0 },
    ],
    [
      'who it is',
      [
        ['Contact', '<sip:a@p.example>'],
        ['User-Agent', 'Phone/1'],
      ],
      { userAgent: 'Phone/1' },
    ],
  ];
for (const [name, headers, wanted] of READ) {
  test(`REGISTER reads ${name}`, async () => {
    const request = await asked(headers);
    assert.deepEqual({ ...request, ...wanted }, request);
  });
}

test('REGISTER answers every contact with the seconds it has left', async () => {
  const bindings = [
    aBinding({ contact: 'sip:a@p.example', expiresAtMs: 1_700_000_060_000 }),
    aBinding({ contact: 'sip:b@p.example', expiresAtMs: 1_700_000_000_100, q: 500, instance: '<urn:uuid:1>' }),
  ];
  const { reply } = await register({}, { bindings });
  assert.deepEqual(reply, {
    status: 200,
    headers: [
      ['Contact', '<sip:a@p.example>;expires=60'],
      ['Contact', '<sip:b@p.example>;expires=1;q=0.5;+sip.instance="<urn:uuid:1>"'],
      ['Date', 'Tue, 14 Nov 2023 22:13:20 GMT'],
    ],
  });
});

const FLOWS: ReadonlyArray<readonly [name: string, contact: string, flow: Partial<SipFlow>, isKept: boolean]> = [
  ['TCP from the contact itself', '<sip:a@192.0.2.99:5070;transport=tcp>', { transport: 'tcp' }, true],
  ['TCP, contact behind a NAT', '<sip:a@192.168.1.5;transport=tcp>', { transport: 'tcp' }, true],
  ['TLS, contact with a host name', '<sip:a@phone.example;transport=tls>', { transport: 'tls' }, true],
  ['TCP, contact elsewhere', '<sip:a@198.51.100.4;transport=tcp>', { transport: 'tcp' }, false],
  ['UDP from the contact itself', '<sip:a@192.0.2.99:5070>', { transport: 'udp' }, false],
  ['UDP, contact behind a NAT', '<sip:a@10.1.2.3:5070>', { transport: 'udp' }, true],
  ['UDP over IPv6', '<sip:a@[2001:db8::9]>', { transport: 'udp', remoteAddress: '2001:db8::9' }, false],
  ['UDP, contact with a host name', '<sip:a@phone.example>', { transport: 'udp' }, false],
  ['UDP, contact elsewhere', '<sip:a@198.51.100.4>', { transport: 'udp' }, false],
];
for (const [name, contact, flow, isKept] of FLOWS) {
  test(`REGISTER over ${name}: flow ${isKept ? 'kept' : 'not kept'}`, async () => {
    assert.equal((await asked([['Contact', contact]], { flow })).flow, isKept ? 'f1' : undefined);
  });
}

const REFUSED: ReadonlyArray<readonly [name: string, parts: RequestParts, code: ErrorCode, world?: World]> = [
  ['another user than the digest proves', { to: '<sip:bob@sip.example>' }, 'sender-forbidden'],
  ['a domain of somebody else', { to: '<sip:paul@partner.example>' }, 'recipient-unknown'],
  ['a registrar of somebody else', { uri: 'sip:partner.example' }, 'recipient-unknown'],
  ['no user', { to: '<sip:sip.example>' }, 'recipient-unknown'],
  ['a To of another scheme', { to: '<tel:+1555>' }, 'request-malformed'],
  ['NUL in To', { to: '<sip:alice%00@sip.example>' }, 'address-malformed'],
  ['a contact of another scheme', { headers: [['Contact', '<mailto:alice@sip.example>']] }, 'request-malformed'],
  ['a contact that is none', { headers: [['Contact', '%']] }, 'request-malformed'],
  ['an overlong contact', { headers: [['Contact', `<sip:${'a'.repeat(600)}@p.example>`]] }, 'request-malformed'],
  [
    '* beside others',
    {
      headers: [
        ['Contact', '*, <sip:a@p.example>'],
        ['Expires', '0'],
      ],
    },
    'request-malformed',
  ],
  ['a contact at our domain', { headers: [['Contact', '<sip:a@sip.example>']] }, 'policy-violated'],
  ['a contact at our listener', { headers: [['Contact', '<sip:a@192.0.2.10>']] }, 'policy-violated'],
  [
    'a contact at our listener that listens everywhere',
    { headers: [['Contact', '<sip:a@192.0.2.10:5062>']] },
    'policy-violated',
  ],
  [
    'what the core refuses',
    { headers: [['Contact', '<sip:a@p.example>']] },
    'interval-too-brief',
    { refusal: 'interval-too-brief' },
  ],
];
for (const [name, parts, code, world] of REFUSED) {
  test(`REGISTER refuses ${name}`, async () => {
    await assert.rejects(register(parts, world), { code });
  });
}

test('REGISTER without proof is challenged, and nothing is registered', async () => {
  const headers: HeaderField[] = [['WWW-Authenticate', 'Digest a=b']];
  const { reply, registered } = await register(
    { headers: [['Contact', '<sip:a@p.example>']] },
    { digest: { kind: 'challenge', headers } },
  );
  assert.deepEqual(reply, { status: 401, headers });
  assert.deepEqual(registered, []);
});

test('REGISTER from a trusted core needs no digest', async () => {
  const { reply, registered } = await register(
    { uri: 'sip:core.example', to: '<sip:carol@core.example>', flow: { remoteAddress: '192.0.2.50' } },
    { digest: { kind: 'challenge', headers: [] } },
  );
  assert.equal(reply.status, 200);
  assert.equal(registered[0]?.user, 'carol@core.example');
});

test('REGISTER to our address instead of our domain is served', async () => {
  assert.equal((await register({ uri: 'sip:192.0.2.10:5060' })).reply.status, 200);
});
