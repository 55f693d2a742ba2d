import assert from 'node:assert/strict';
import { test } from 'node:test';
import { optionsHandler } from '../../../src/sip/options-handler.ts';
import { aRequest } from '../../support/sip-request.ts';

const handler = optionsHandler({
  isServed: (domain) => ['sip.example', 'xmpp.example'].includes(domain),
  allow: ['MESSAGE', 'OPTIONS'],
  accept: ['text/plain', 'multipart/*'],
  acceptEncoding: ['deflate', 'identity'],
  allowEvents: [],
});

for (const uri of [
  'sip:sip.example',
  'sip:nobody@sip.example',
  'sip:xmpp.example',
  'sip:127.0.0.1:5060',
  'sip:[::1]',
]) {
  test(`OPTIONS ${uri}: what is served`, async () => {
    assert.deepEqual(await handler(aRequest({ method: 'OPTIONS', uri })), {
      status: 200,
      headers: [
        ['Allow', 'MESSAGE, OPTIONS'],
        ['Accept', 'text/plain, multipart/*'],
        ['Accept-Encoding', 'deflate, identity'],
      ],
    });
  });
}

test('OPTIONS for a domain that is not served is refused', async () => {
  await assert.rejects(handler(aRequest({ method: 'OPTIONS', uri: 'sip:stranger.example' })), { code: 'peer-unknown' });
});

test('OPTIONS says which event packages there are', async () => {
  const withEvents = optionsHandler({
    isServed: () => true,
    allow: ['OPTIONS', 'SUBSCRIBE'],
    accept: [],
    acceptEncoding: [],
    allowEvents: ['presence', 'presence.winfo'],
  });
  const { headers = [] } = await withEvents(aRequest({ method: 'OPTIONS', uri: 'sip:sip.example' }));
  assert.deepEqual(headers.at(-1), ['Allow-Events', 'presence, presence.winfo']);
});
