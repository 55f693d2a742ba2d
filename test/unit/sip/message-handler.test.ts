import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import type { Origin } from '../../../src/core/admission.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import type { SipReply } from '../../../src/sip/message.ts';
import { messageHandler } from '../../../src/sip/message-handler.ts';
import type { SenderProof } from '../../../src/sip/sender-proof.ts';
import { anAddress } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { aRequest, type RequestParts } from '../../support/sip-request.ts';

const ROMEO = anAddress('romeo@sip.example');
const PROVED: SenderProof = { kind: 'proved', sender: { address: ROMEO }, origin: { kind: 'local', user: ROMEO } };

type Accepted = { readonly message: InstantMessage; readonly origin: Origin };

async function answer(
  parts: RequestParts,
  outcome: 'delivered' | 'queued' | GatewayError = 'queued',
  proof: SenderProof = PROVED,
): Promise<{ reply: SipReply; accepted: Accepted[] }> {
  const accepted: Accepted[] = [];
  const handler = messageHandler({
    addressed: (uri) => uri,
    prove: () => proof,
    accept: async (message, origin) => {
      accepted.push({ message, origin });
      if (outcome instanceof GatewayError) throw outcome;
      return outcome;
    },
    clock: new FakeClock(),
    bodyBytesMax: 1_000,
  });
  return { reply: await handler(aRequest(parts)), accepted };
}

for (const [outcome, status] of [
  ['delivered', 200],
  ['queued', 202],
] as const) {
  test(`MESSAGE that is ${outcome}: ${status}, no body, no Contact`, async () => {
    const { reply, accepted } = await answer({ body: 'hello' }, outcome);
    assert.deepEqual(reply, { status });
    assert.equal(accepted.length, 1);
    assert.deepEqual(accepted[0]?.origin, { kind: 'local', user: ROMEO });
  });
}

test('MESSAGE is from whom the proof says, not from whom From says', async () => {
  const { accepted } = await answer({ from: '<sip:mallory@sip.example>;tag=1', body: 'hello' });
  assert.equal(accepted[0]?.message.source.address, ROMEO);
});

test('MESSAGE without a body is answered and dropped', async () => {
  const { reply, accepted } = await answer({});
  assert.deepEqual(reply, { status: 200 });
  assert.deepEqual(accepted, []);
});

test('MESSAGE without proof is challenged before its body is looked at', async () => {
  const proof: SenderProof = { kind: 'challenge', headers: [['WWW-Authenticate', 'Digest a=b']] };
  const { reply, accepted } = await answer({ body: 'x', headers: [['Content-Type', 'broken']] }, 'queued', proof);
  assert.deepEqual(reply, { status: 401, headers: proof.headers });
  assert.deepEqual(accepted, []);
});

test('MESSAGE that the core refuses is refused', async () => {
  await assert.rejects(answer({ body: 'hello' }, new GatewayError('peer-unknown', 'test')), { code: 'peer-unknown' });
});
