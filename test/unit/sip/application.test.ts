import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import { PeerTable } from '../../../src/core/peers.ts';
import { sipApplication } from '../../../src/sip/application.ts';
import { credentialOf } from '../../../src/sip/digest.ts';
import { parseSipMessage } from '../../../src/sip/engine/parser.ts';
import { serializeResponse } from '../../../src/sip/engine/serializer.ts';
import type { SipRequest } from '../../../src/sip/message.ts';
import type { SipHandler } from '../../../src/sip/stack.ts';
import { aConfig, anAddress } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeStack } from '../../support/fake-stack.ts';
import { LogRecorder } from '../../support/log-recorder.ts';
import { A_FLOW, aRequest } from '../../support/sip-request.ts';
import { loadVectors } from '../../support/vectors.ts';
import { tortureMessage } from '../../vectors/rfc4475/markup.ts';

type World = { readonly handler: SipHandler; readonly accepted: InstantMessage[]; readonly log: LogRecorder };

/** The SIP side with everything real but the core behind it; `core.example` is trusted from 192.0.2.50. */
function aWorld(): World {
  const accepted: InstantMessage[] = [];
  const log = new LogRecorder();
  const alice = credentialOf(anAddress('alice@sip.example'), 'pw');
  const { handler } = sipApplication({
    stack: new FakeStack(() => 200),
    peers: new PeerTable(aConfig()),
    credentials: { find: (user) => (user === alice.user ? alice : undefined) },
    registrations: { register: async () => [], contactsOf: () => [] },
    accept: async (message) => {
      accepted.push(message);
      return 'queued';
    },
    listeners: () => [],
    clock: new FakeClock(),
    log,
  });
  return { handler, accepted, log };
}

for (const { id, in: from } of loadVectors<{ file: string }, unknown>('rfc4475/messages')) {
  const message = parseSipMessage(tortureMessage('rfc4475', from.file));
  if (message.kind !== 'request') continue;
  test(`torture message ${id} is answered, never with 500`, async () => {
    const { method, uri, headers, body } = message;
    const { handler, log } = aWorld();
    for (const remoteAddress of ['192.0.2.99', '192.0.2.50']) {
      const request: SipRequest = { method, uri, headers, body, flow: { ...A_FLOW, remoteAddress }, receivedAtMs: 0 };
      const reply = await handler(request);
      assert.notEqual(reply.status, 500);
      serializeResponse({ status: reply.status, reason: 'x', headers: reply.headers ?? [] });
    }
    assert.deepEqual(log.at('error'), []);
  });
}

test('OPTIONS says what a 405 and a 415 say', async () => {
  const { handler } = aWorld();
  const options = await handler(aRequest({ method: 'OPTIONS', uri: 'sip:sip.example' }));
  const refused = await handler(aRequest({ method: 'INVITE', uri: 'sip:alice@sip.example' }));
  assert.deepEqual(
    options.headers?.filter(([name]) => name === 'Allow'),
    refused.headers?.filter(([name]) => name === 'Allow'),
  );
  assert.deepEqual(
    options.headers
      ?.find(([name]) => name === 'Accept')?.[1]
      .split(', ')
      .slice(0, 2),
    ['text/plain', 'text/html'],
  );
});

/** CVE-2025-47779, CVE-2020-28361, CVE-2016-9938 and their kin: nobody gets another's name past the check. */
const FORGERIES: ReadonlyArray<readonly [name: string, from: string]> = [
  ['a semicolon in the display name', '"alice;x" <sip:mallory@stranger.example>'],
  ['NUL in the display name', '"alice\\\0" <sip:mallory@stranger.example>'],
  ['an address in the display name', '"<sip:carol@core.example>" <sip:mallory@stranger.example>'],
  ['NUL in the user part', '<sip:carol%00@core.example>'],
  ['our domain in the user part', '<sip:carol%40core.example@stranger.example>'],
  ['our domain as parameter', '<sip:mallory@stranger.example;maddr=core.example>'],
  ['our domain as password', '<sip:mallory:carol@stranger.example>'],
  ['our domain as start of another', '<sip:carol@core.example.stranger.example>'],
];
for (const [name, from] of FORGERIES) {
  test(`a forged sender is refused: ${name}`, async () => {
    const { handler, accepted } = aWorld();
    const reply = await handler(aRequest({ from: `${from};tag=1`, body: 'x' }));
    assert.ok([400, 401, 403].includes(reply.status), String(reply.status));
    assert.deepEqual(accepted, []);
  });
}

test('what a message says about its sender changes nothing', async () => {
  const { handler, accepted } = aWorld();
  const reply = await handler(
    aRequest({
      from: '<sip:zoe@core.example>;tag=1',
      flow: { remoteAddress: '192.0.2.50' },
      headers: [
        ['Content-Type', 'message/cpim'],
        ['Reply-To', '<sip:mallory@stranger.example>'],
        ['Remote-Party-ID', '<sip:mallory@core.example>'],
        ['P-Preferred-Identity', '<sip:mallory@core.example>'],
      ],
      body: 'From: <im:mallory@core.example>\r\nTo: <im:juliet@xmpp.example>\r\n\r\nContent-type: text/plain\r\n\r\nhi',
    }),
  );
  assert.equal(reply.status, 202);
  assert.equal(accepted[0]?.source.address, 'zoe@core.example');
  assert.equal(accepted[0].extras, undefined);
});
