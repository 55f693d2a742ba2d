import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ScriptedPhone } from '../support/scripted-phone.ts';
import { tlsPair, type TlsDomain } from '../support/tls-domain.ts';
import { until } from '../support/until.ts';

const closing: TlsDomain[] = [];
after(async () => {
  for (const domain of closing.reverse()) await domain.stop();
});

async function pair(namesOfB: readonly string[]): Promise<{ a: TlsDomain; b: TlsDomain }> {
  const { a, b } = await tlsPair(namesOfB);
  closing.push(a, b);
  return { a, b };
}

const texts = (phone: ScriptedPhone): string[] =>
  phone.received.filter(({ method }) => method === 'MESSAGE').map(({ body }) => Buffer.from(body).toString('utf8'));

test('TLS peers: two domains know each other by certificate alone, and messages cross both ways', async () => {
  const { a, b } = await pair(['DNS:b.example', 'URI:sip:b.example']);
  assert.equal((await a.phone.write('sip:bob@b.example', 'over TLS')).status, 202);
  await until(() => texts(b.phone).includes('over TLS'), { what: 'the message at b' });
  assert.equal((await b.phone.write('sip:alice@a.example', 'and back')).status, 202);
  await until(() => texts(a.phone).includes('and back'), { what: 'the message at a' });
  await until(() => a.app.health().queue.live === 0 && b.app.health().queue.live === 0, { what: 'empty queues' });
});

test('TLS peers: a certificate for another name gets nothing and may send nothing', async () => {
  const { a, b } = await pair(['DNS:mallory.example']);
  // Outwards: the message is kept, not given to whoever answers there.
  assert.equal((await a.phone.write('sip:bob@b.example', 'for bob alone')).status, 202);
  await until(() => a.app.health().peers['b.example']?.reachable === false, { what: 'the peer to count as down' });
  assert.equal(a.app.health().queue.live, 1);
  assert.deepEqual(texts(b.phone), []);
  // Inwards: its From is of a peer domain, its certificate is not, so the sender at b is told that it was refused.
  assert.equal((await b.phone.write('sip:alice@a.example', 'I am bob, really')).status, 202);
  await until(() => texts(b.phone).some((text) => text.includes('could not be delivered')), {
    what: 'the report at b',
  });
  assert.deepEqual(texts(a.phone), []);
});
