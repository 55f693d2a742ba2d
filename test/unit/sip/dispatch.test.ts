import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError, type ErrorCode, type ErrorDetails } from '../../../src/core/errors.ts';
import { failureText } from '../../../src/core/failure-text.ts';
import { dispatcher } from '../../../src/sip/dispatch.ts';
import { serializeResponse } from '../../../src/sip/engine/serializer.ts';
import type { HeaderField, SipReply } from '../../../src/sip/message.ts';
import type { SipHandler } from '../../../src/sip/stack.ts';
import { LogRecorder } from '../../support/log-recorder.ts';
import { aRequest, type RequestParts } from '../../support/sip-request.ts';

function aDispatcher(message: SipHandler, log = new LogRecorder()): SipHandler {
  return dispatcher({
    handlers: {
      REGISTER: async () => ({ status: 200 }),
      OPTIONS: async () => ({ status: 200 }),
      MESSAGE: message,
    },
    accept: ['text/plain', 'text/html'],
    acceptEncoding: ['deflate', 'identity'],
    allowEvents: ['presence', 'presence.winfo'],
    textOf: failureText,
    warnAgent: 'sip.example',
    log,
  });
}

const unreached: SipHandler = async () => assert.fail('the handler was asked');

function valuesOf(reply: SipReply, name: string): string[] {
  return (reply.headers ?? []).filter(([field]) => field === name).map(([, value]) => value);
}

test('a handler answers what it is asked', async () => {
  const reply = await aDispatcher(async () => ({ status: 202 }))(aRequest());
  assert.deepEqual(reply, { status: 202 });
});

type Refused = readonly [name: string, parts: RequestParts, status: number, headers?: Readonly<Record<string, string>>];
const ALLOW = { Allow: 'MESSAGE, OPTIONS, REGISTER' };
const REFUSED: readonly Refused[] = [
  ['INVITE is known and not served', { method: 'INVITE' }, 405, ALLOW],
  ['SUBSCRIBE is known and not served', { method: 'SUBSCRIBE' }, 405, ALLOW],
  ['PUBLISH is known and not served', { method: 'PUBLISH' }, 405, ALLOW],
  ['SUBSCRIBE in a dialog', { method: 'SUBSCRIBE', to: '<sip:juliet@xmpp.example>;tag=x' }, 481],
  ['NOTIFY matches no subscription', { method: 'NOTIFY' }, 481],
  ['BYE matches no dialog', { method: 'BYE', to: '<sip:juliet@xmpp.example>;tag=x' }, 481],
  ['a method that nobody knows', { method: 'NEWMETHOD' }, 501],
  ['methods are case-sensitive', { method: 'message' }, 501],
  ['a method with the name of an object member', { method: 'constructor' }, 501],
  ['a Request-URI of another scheme', { uri: 'tel:+15551234', to: '<sip:x@y.example>' }, 416],
  [
    'a Request-URI of a scheme of presence for what is none',
    { uri: 'pres:juliet@xmpp.example', to: '<sip:x@y.example>' },
    416,
  ],
  ['a Request-URI of a scheme of IM', { uri: 'im:juliet@xmpp.example', to: '<sip:x@y.example>' }, 416],
  ['sips that came without TLS', { uri: 'sips:juliet@xmpp.example', flow: { transport: 'tcp' } }, 400],
  ['no hop left', { headers: [['Max-Forwards', '0']] }, 483],
  ['a hop count that is none', { headers: [['Max-Forwards', '-1']] }, 400],
  ['a hop count over 255', { headers: [['Max-Forwards', '256']] }, 400],
  [
    'an option that nobody has',
    { headers: [['Require', 'nothingSupportsThis, nothingSupportsThisEither']] },
    420,
    { Unsupported: 'nothingSupportsThis, nothingSupportsThisEither' },
  ],
  [
    'an option for proxies',
    { headers: [['Proxy-Require', 'noProxiesSupportThis']] },
    420,
    { Unsupported: 'noProxiesSupportThis' },
  ],
  ['what only a REGISTER may ask for', { headers: [['Require', 'path']] }, 420, { Unsupported: 'path' }],
  ['MESSAGE in a dialog', { to: '<sip:juliet@xmpp.example>;tag=as1' }, 481],
];
for (const [name, parts, status, headers] of REFUSED) {
  test(`refused: ${name} -> ${status}`, async () => {
    const reply = await aDispatcher(unreached)(aRequest(parts));
    assert.equal(reply.status, status);
    for (const [field, value] of Object.entries(headers ?? {})) assert.deepEqual(valuesOf(reply, field), [value]);
  });
}

test('a method of presence is served by its handler', async () => {
  const served: string[] = [];
  const handler: SipHandler = async ({ method }) => {
    served.push(method);
    return { status: 200 };
  };
  const dispatch = dispatcher({
    handlers: { SUBSCRIBE: handler, PUBLISH: handler, NOTIFY: handler },
    accept: [],
    acceptEncoding: [],
    allowEvents: ['presence'],
    textOf: failureText,
    warnAgent: 'sip.example',
    log: new LogRecorder(),
  });
  const inDialog = { to: '<sip:juliet@xmpp.example>;tag=x', headers: [['Max-Forwards', '0']] } as const;
  assert.equal((await dispatch(aRequest({ method: 'SUBSCRIBE', ...inDialog }))).status, 200);
  assert.equal((await dispatch(aRequest({ method: 'NOTIFY', ...inDialog }))).status, 200);
  assert.equal((await dispatch(aRequest({ method: 'PUBLISH', headers: [['Max-Forwards', '0']] }))).status, 200);
  assert.deepEqual(served, ['SUBSCRIBE', 'NOTIFY', 'PUBLISH']);
  const initial = await dispatch(aRequest({ method: 'SUBSCRIBE', headers: [['Max-Forwards', '0']] }));
  assert.equal(initial.status, 483);
  const list = await dispatch(aRequest({ method: 'SUBSCRIBE', headers: [['Require', 'eventlist']] }));
  assert.equal(list.status, 420);
  assert.deepEqual(valuesOf(list, 'Unsupported'), ['eventlist']);
});

for (const method of ['OPTIONS', 'REGISTER']) {
  test(`${method} ends here, whatever its Max-Forwards`, async () => {
    const request = aRequest({ method, uri: 'sip:sip.example', headers: [['Max-Forwards', '0']] });
    assert.equal((await aDispatcher(unreached)(request)).status, 200);
  });
}

test('sips that came over TLS is served', async () => {
  const request = aRequest({ uri: 'sips:juliet@xmpp.example', flow: { transport: 'tls' } });
  assert.equal((await aDispatcher(async () => ({ status: 200 }))(request)).status, 200);
});

test('a request without Max-Forwards is served', async () => {
  const reply = await aDispatcher(async () => ({ status: 200 }))(aRequest({ headers: [['Max-Forwards', '']] }));
  assert.equal(reply.status, 200);
});

type Thrown = readonly [code: ErrorCode, details: ErrorDetails, status: number, headers: readonly HeaderField[]];
const THROWN: readonly Thrown[] = [
  ['event-unsupported', {}, 489, [['Allow-Events', 'presence, presence.winfo']]],
  ['precondition-failed', {}, 412, []],
  ['sender-forbidden', { status: 433 }, 433, []],
  [
    'content-unsupported',
    {},
    415,
    [
      ['Accept', 'text/plain, text/html'],
      ['Accept-Encoding', 'deflate, identity'],
    ],
  ],
  [
    'content-unsupported',
    { status: 415, accept: 'text/plain' },
    415,
    [
      ['Accept', 'text/plain'],
      ['Accept-Encoding', 'deflate, identity'],
    ],
  ],
  ['feature-unsupported', {}, 405, [['Allow', 'MESSAGE, OPTIONS, REGISTER']]],
  ['interval-too-brief', { minExpiresSeconds: 60 }, 423, [['Min-Expires', '60']]],
  ['queue-full', {}, 503, [['Retry-After', '10']]],
  ['store-unavailable', { retryAfterSeconds: 30 }, 503, [['Retry-After', '30']]],
  ['rate-exceeded', { retryAfterSeconds: 2.4 }, 503, [['Retry-After', '3']]],
  ['recipient-unavailable', { status: 486, retryAfterSeconds: 60 }, 486, [['Retry-After', '60']]],
  ['recipient-moved', { alternative: 'sip:new@other.example' }, 301, [['Contact', '<sip:new@other.example>']]],
  ['recipient-redirected', { alternative: 'xmpp:new@other.example/x' }, 302, [['Contact', '<sip:new@other.example>']]],
  ['sender-forbidden', {}, 403, []],
  ['recipient-refused', { status: 603 }, 603, []],
];
for (const [code, details, status, headers] of THROWN) {
  test(`thrown: ${code} ${JSON.stringify(details)} -> ${status}`, async () => {
    const log = new LogRecorder();
    const reply = await aDispatcher(async () => {
      throw new GatewayError(code, 'secret: /var/lib/interpres', { details });
    }, log)(aRequest());
    assert.equal(reply.status, status);
    assert.deepEqual(reply.headers?.slice(0, -1), headers);
    assert.deepEqual(valuesOf(reply, 'Warning'), [`399 sip.example "${failureText(code)}"`]);
    assert.deepEqual(log.at('info'), ['request refused']);
  });
}

test('thrown: what is no GatewayError is 500, an error in the log, and says nothing of its cause', async () => {
  const log = new LogRecorder();
  const reply = await aDispatcher(async () => {
    throw new TypeError('cannot read /etc/secret');
  }, log)(aRequest());
  assert.equal(reply.status, 500);
  assert.ok(!JSON.stringify(reply).includes('secret'));
  assert.deepEqual(log.at('error'), ['request failed']);
});

test('thrown: words of the far side become a warning that adds no header field', async () => {
  const reply = await aDispatcher(async () => {
    throw new GatewayError('recipient-unknown', 'x', { details: { text: 'no "user"\r\nX-Evil: 1' } });
  })(aRequest());
  assert.deepEqual(valuesOf(reply, 'Warning'), ['399 sip.example "no \\"user\\"  X-Evil: 1"']);
  serializeResponse({ status: reply.status, reason: 'x', headers: reply.headers ?? [] });
});

test('thrown: moved to what is no address is gone, without Contact', async () => {
  const reply = await aDispatcher(async () => {
    throw new GatewayError('recipient-moved', 'x', { details: { alternative: 'https://other.example/' } });
  })(aRequest());
  assert.equal(reply.status, 410);
  assert.deepEqual(valuesOf(reply, 'Contact'), []);
});
