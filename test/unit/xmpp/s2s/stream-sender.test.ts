import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runOfPing, StreamSender } from '../../../../src/xmpp/s2s/stream-sender.ts';

/** The id of the first ping of a stream. */
async function pingOf(run?: string): Promise<string> {
  const limits = { window: 10, windowBytes: 1_000 };
  let asked = '';
  const pingText = (id: string): string => (asked = id);
  const sender = new StreamSender(limits, { answers: false, isMute: false }, pingText, () => undefined, run);
  sender.attach({ bytesWaiting: 0, write: (_text, flushed) => flushed() });
  sender.send({ text: 'x', bytes: 1, taken: () => undefined, lost: () => undefined });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(sender.isPing(asked), true);
  return asked;
}

test('s2s sender: a ping says which node has sent it, wherever its answer comes', async () => {
  assert.equal(runOfPing(await pingOf('aB3_-x9Yz01q')), 'aB3_-x9Yz01q');
  assert.equal(runOfPing(await pingOf()), '');
  for (const id of ['', 'ping', 'm1', 'ping-', 'ping-.x-1', 'ping-a.b.c', 'xping-a.b', `ping-${'a'.repeat(33)}.b-1`]) {
    assert.equal(runOfPing(id), undefined, id);
  }
});

test('s2s sender: answers that wait are counted in bytes of UTF-8', () => {
  const limits = { window: 10, windowBytes: 1_000 };
  const sender = new StreamSender(
    limits,
    { answers: false, isMute: false },
    (id) => id,
    () => undefined,
  );
  sender.post('日本語');
  assert.equal(sender.answerBytes, 9);
});
