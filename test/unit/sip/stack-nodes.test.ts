import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { NodeGone } from '../../../src/core/nodes/node-bus.ts';
import { advertisedStack } from '../../../src/sip/advertised-stack.ts';
import { SipHeaderList } from '../../../src/sip/headers.ts';
import type { SipOutgoing } from '../../../src/sip/message.ts';
import { plainReply, plainRequest, replyFrom, requestFrom } from '../../../src/sip/plain-messages.ts';
import { NodeStack } from '../../../src/sip/stack-nodes.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { FakeStack, type Answer } from '../../support/fake-stack.ts';
import { NodeStage } from '../../support/node-stage.ts';
import { aRequest } from '../../support/sip-request.ts';

const BODY = Uint8Array.from([0, 255, 13, 10, 128]);

function outgoing(flow?: string): SipOutgoing {
  return {
    method: 'MESSAGE',
    uri: 'sip:alice@192.0.2.7',
    headers: [
      ['From', '<sip:bob@sip.example>;tag=b'],
      ['To', '<sip:alice@sip.example>'],
      ['Call-ID', 'c1'],
      ['CSeq', '1 MESSAGE'],
      ['Content-Type', 'application/octet-stream'],
    ],
    body: BODY,
    ...(flow === undefined ? {} : { nextHop: { flow } }),
  };
}

async function twoNodes(t: TestContext, script: (name: string) => Answer = () => 200) {
  const stage = new NodeStage(new FakeClock(), t);
  const engines = { a: new FakeStack(() => script('a')), b: new FakeStack(() => script('b')) };
  const [a, b] = [await stage.join('a'), await stage.join('b')];
  // Each has to hear of the other.
  await a.members.look();
  const stackOf = (name: 'a' | 'b', { members, bus }: typeof a) =>
    new NodeStack({ stack: engines[name], node: name, bus, isThere: (other) => members.node(other) !== undefined });
  return { stage, engines, a, b, atA: stackOf('a', a), atB: stackOf('b', b) };
}

test('nodes: a request for a flow goes out where the flow is, with every byte', async (t) => {
  const { engines, atA } = await twoNodes(t);
  const answer = await atA.request(outgoing('b!tcp,x,7'));
  assert.equal(answer.status, 200);
  assert.deepEqual(engines.a.sent, []);
  const sent = engines.b.sent[0]!;
  assert.deepEqual(sent.nextHop, { flow: 'tcp,x,7' });
  assert.deepEqual(Uint8Array.from(sent.body ?? []), BODY);
  assert.deepEqual(sent.headers, outgoing().headers);
});

test('nodes: an own flow, one from before there were several, and no flow at all stay here', async (t) => {
  const { engines, atA } = await twoNodes(t);
  await atA.request(outgoing('a!udp,1'));
  await atA.request(outgoing('udp,2'));
  await atA.request(outgoing());
  assert.deepEqual(
    engines.a.sent.map(({ nextHop }) => nextHop),
    [{ flow: 'udp,1' }, { flow: 'udp,2' }, undefined],
  );
  assert.deepEqual(engines.b.sent, []);
});

test('nodes: a flow of a node that is gone is one that is gone', async (t) => {
  const { atA } = await twoNodes(t);
  await assert.rejects(
    atA.request(outgoing('c!tcp,1')),
    (thrown: unknown) => thrown instanceof NodeGone && thrown.code === 'peer-unreachable',
  );
  assert.deepEqual(
    [atA.isFlowOpen('c!tcp,1'), atA.isFlowOpen('b!tcp,1'), atA.isFlowOpen('a!tcp,1')],
    [false, true, true],
  );
});

test('nodes: what the other engine says comes back as its own error', async (t) => {
  const { atA } = await twoNodes(t, () => 'peer-timeout');
  await assert.rejects(
    atA.request(outgoing('b!tcp,1')),
    (thrown: unknown) => !(thrown instanceof NodeGone) && GatewayError.of(thrown).code === 'peer-timeout',
  );
});

test('nodes: a node that dies with a request leaves open whether it was sent', async (t) => {
  const { a, atA } = await twoNodes(t, () => 'silence');
  const request = assert.rejects(atA.request(outgoing('b!tcp,1')), (thrown: unknown) => {
    assert.ok(thrown instanceof NodeGone);
    return thrown.code === 'peer-timeout';
  });
  await settled();
  a.bus.nodesChanged(new Set(['run-of-a']));
  await request;
});

test('nodes: requests and answers are the same on the other node', () => {
  const request = aRequest({ method: 'PUBLISH', body: 'x' });
  const there = requestFrom(JSON.parse(JSON.stringify(plainRequest(request))) as ReturnType<typeof plainRequest>);
  assert.deepEqual(there.headers.fields, request.headers.fields);
  assert.deepEqual(Uint8Array.from(there.body), Uint8Array.from(request.body));
  assert.deepEqual([there.method, there.uri, there.flow], [request.method, request.uri, request.flow]);
  const reply = { status: 200, toTag: 't', headers: new SipHeaderList([['Expires', '60']]).fields, body: BODY };
  const back = replyFrom(JSON.parse(JSON.stringify(plainReply(reply))) as ReturnType<typeof plainReply>);
  assert.deepEqual({ ...back, body: Uint8Array.from(back.body ?? []) }, reply);
});

test('advertised places stand for listeners, and no others', async () => {
  const places = [{ transport: 'tcp', address: '2001:db8::1', port: 5070 }] as const;
  const stack = advertisedStack(new FakeStack(() => 200), places);
  assert.equal(await stack.reachableAt('tcp', '192.0.2.9'), '[2001:db8::1]:5070');
  assert.equal(await stack.reachableAt('udp', '192.0.2.9'), undefined);
});
