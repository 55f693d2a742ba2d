import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { GatewayError, type ErrorCode } from '../../../../src/core/errors.ts';
import type { PublishRequest } from '../../../../src/core/presence/publication.ts';
import { publishHandler } from '../../../../src/sip/events/publish-handler.ts';
import type { HeaderField, SipReply } from '../../../../src/sip/message.ts';
import type { SenderProof } from '../../../../src/sip/sender-proof.ts';
import { JULIET, ROMEO } from '../../../support/sip-leases.ts';
import { aRequest, type RequestParts } from '../../../support/sip-request.ts';

const PIDF = `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:juliet@sip.example">
  <tuple id="t1"><status><basic>open</basic></status></tuple></presence>`;
const XPIDF = `<?xml version="1.0"?><presence><presentity uri="sip:juliet@sip.example;method=SUBSCRIBE"/>
  <atom id="a1"><address uri="sip:juliet@192.0.2.99;user=ip" priority="0.8"><status status="open"/></address></atom></presence>`;

const PROVED: SenderProof = { kind: 'proved', sender: { address: JULIET }, origin: { kind: 'local', user: JULIET } };

/** A PUBLISH by juliet for herself; `headers` come beside Event and Content-Type, and instead of them. */
async function publish(
  { headers = [], ...parts }: RequestParts = {},
  { proof = PROVED, refusal }: { proof?: SenderProof; refusal?: GatewayError } = {},
): Promise<{ reply: SipReply; asked: PublishRequest[] }> {
  const asked: PublishRequest[] = [];
  const handler = publishHandler({
    prove: () => proof,
    isUser: (address) => address === JULIET || address === 'Juliet@sip.example',
    publish: async (request) => {
      asked.push(request);
      if (refusal !== undefined) throw refusal;
      return { etag: 'etag2', expiresSeconds: request.expiresSeconds ?? 3_600 };
    },
    bodyBytesMax: 4_096,
  });
  const usual: readonly HeaderField[] = [
    ['Event', 'presence'],
    ['Content-Type', 'application/pidf+xml'],
  ];
  const given = new Set(headers.map(([name]) => name));
  const all = [...usual.filter(([name]) => !given.has(name)), ...headers];
  const uri = `sip:${JULIET}`;
  const from = `<${uri}>;tag=j1`;
  return {
    reply: await handler(aRequest({ method: 'PUBLISH', uri, from, body: PIDF, ...parts, headers: all })),
    asked,
  };
}

test('a first PUBLISH is answered with its entity-tag and time', async () => {
  const { reply, asked } = await publish({ headers: [['Expires', '600']] });
  assert.deepEqual(reply, {
    status: 200,
    headers: [
      ['SIP-ETag', 'etag2'],
      ['Expires', '600'],
    ],
  });
  const [{ document, ...rest } = { document: undefined }] = asked;
  assert.deepEqual(rest, { presentity: JULIET, expiresSeconds: 600 });
  assert.equal(document?.tuples[0]?.basic, 'open');
});

type Taken = readonly [name: string, parts: RequestParts, asked: Partial<PublishRequest>, hasDocument: boolean];
const TAG: HeaderField = ['SIP-If-Match', 'etag1'];
const TAKEN: readonly Taken[] = [
  ['without Expires', {}, {}, true],
  ['an Expires that is none', { headers: [['Expires', 'soon']] }, {}, true],
  ['a refresh', { headers: [TAG, ['Expires', '60']], body: '' }, { ifMatch: 'etag1', expiresSeconds: 60 }, false],
  ['a change', { headers: [TAG] }, { ifMatch: 'etag1' }, true],
  ['the end', { headers: [TAG, ['Expires', '0']], body: '' }, { ifMatch: 'etag1', expiresSeconds: 0 }, false],
  ['an Event with parameters', { headers: [['Event', 'presence;x=y']] }, {}, true],
  ['XPIDF', { headers: [['Content-Type', 'application/xpidf+xml']], body: XPIDF }, {}, true],
  ['a charset', { headers: [['Content-Type', 'Application/PIDF+XML ; charset="UTF-8"']] }, {}, true],
  ['deflated', { headers: [['Content-Encoding', 'deflate']], body: deflateSync(PIDF) }, {}, true],
  ['zipped', { headers: [['Content-Encoding', 'gzip']], body: gzipSync(PIDF) }, {}, true],
  ['an id that is none of XML', { body: PIDF.replace('"t1"', '"1 b"') }, {}, true],
  [
    'Contact and Record-Route mean nothing',
    {
      headers: [
        ['Contact', '*'],
        ['Record-Route', '<x:y>'],
      ],
    },
    {},
    true,
  ],
];
for (const [name, parts, expected, hasDocument] of TAKEN) {
  test(`PUBLISH: ${name}`, async () => {
    const { reply, asked } = await publish(parts);
    assert.equal(reply.status, 200);
    const [{ document, ...rest } = { document: undefined }] = asked;
    assert.deepEqual(rest, { presentity: JULIET, ...expected });
    assert.equal(document !== undefined, hasDocument);
  });
}

type Refused = readonly [name: string, parts: RequestParts, code: ErrorCode];
const REFUSED: readonly Refused[] = [
  ['for another', { uri: 'sip:nobody@sip.example' }, 'recipient-unknown'],
  ['for a domain', { uri: 'sip:sip.example' }, 'recipient-unknown'],
  ['for a telephone number', { uri: 'sip:juliet@sip.example;user=phone' }, 'scheme-unsupported'],
  ['without Event', { headers: [['Event', '']] }, 'event-unsupported'],
  ['of another package', { headers: [['Event', 'dialog']] }, 'event-unsupported'],
  ['of watcher lists', { headers: [['Event', 'presence.winfo']] }, 'event-unsupported'],
  ['two tags', { headers: [TAG, TAG] }, 'request-malformed'],
  ['two tags in one field', { headers: [['SIP-If-Match', 'a, b']] }, 'request-malformed'],
  ['a star as tag of nothing', { headers: [['SIP-If-Match', '"x"']] }, 'request-malformed'],
  ['a long tag', { headers: [['SIP-If-Match', 'x'.repeat(129)]] }, 'request-malformed'],
  ['nothing at all', { body: '' }, 'request-malformed'],
  ['a body without a type', { headers: [['Content-Type', '']] }, 'content-malformed'],
  ['a type that is none', { headers: [['Content-Type', 'presence']] }, 'content-malformed'],
  ['another type', { headers: [['Content-Type', 'text/plain']] }, 'content-unsupported'],
  ['another coding', { headers: [['Content-Encoding', 'br']] }, 'content-unsupported'],
  ['an unknown charset', { headers: [['Content-Type', 'application/pidf+xml;charset=x-y']] }, 'content-unsupported'],
  ['too much', { body: PIDF + ' '.repeat(5_000) }, 'content-too-large'],
  [
    'what unfolds to too much',
    { headers: [['Content-Encoding', 'gzip']], body: gzipSync(PIDF + ' '.repeat(1_000_000)) },
    'content-too-large',
  ],
  ['no XML', { body: 'open' }, 'content-malformed'],
  ['XML of something else', { body: '<x/>' }, 'content-malformed'],
  ['a DTD', { body: `<!DOCTYPE x [<!ENTITY a "b">]>${PIDF}` }, 'content-malformed'],
  ['no UTF-8', { body: Buffer.from([0xff, 0xfe, 0xfd]) }, 'content-malformed'],
  ['an empty document', { body: ' ' }, 'content-malformed'],
];
for (const [name, parts, code] of REFUSED) {
  test(`PUBLISH refused: ${name} -> ${code}`, async () => {
    await assert.rejects(publish(parts), { name: 'GatewayError', code });
  });
}

test('PUBLISH of another type is told what is read instead', async () => {
  await assert.rejects(publish({ headers: [['Content-Type', 'text/plain']] }), (error: GatewayError) => {
    assert.equal(error.details.accept, 'application/pidf+xml, application/cpim-pidf+xml, application/xpidf+xml');
    return true;
  });
});

test('nobody publishes for another', async () => {
  const proof: SenderProof = { ...PROVED, sender: { address: ROMEO } };
  await assert.rejects(publish({}, { proof }), { code: 'sender-forbidden' });
});

test('capitals make no other presentity', async () => {
  assert.equal((await publish({ uri: 'sip:Juliet@sip.example' })).reply.status, 200);
});

test('without proof nothing happens but a challenge', async () => {
  const proof: SenderProof = { kind: 'challenge', headers: [['WWW-Authenticate', 'Digest a=b']] };
  const { reply, asked } = await publish({ uri: 'sip:nobody@sip.example', body: 'broken' }, { proof });
  assert.deepEqual(reply, { status: 401, headers: proof.headers });
  assert.deepEqual(asked, []);
});

for (const code of ['precondition-failed', 'interval-too-brief', 'store-unavailable'] as const) {
  test(`what the core refuses is refused: ${code}`, async () => {
    await assert.rejects(publish({}, { refusal: new GatewayError(code, 'test') }), { code });
  });
}
