import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastify } from 'fastify';
import { bearerGuard } from '../../../src/http/bearer.ts';
import { RecordingLog } from '../../support/recording-log.ts';

test('bearer: however often somebody guesses, one line each ten seconds says how often', async () => {
  const log = new RecordingLog();
  let nowMs = 1_000;
  const app = fastify();
  app.addHook('onRequest', bearerGuard({ token: 'a-token-of-this-test', log, nowMs: () => nowMs }));
  app.get('/', () => ({ done: true }));
  const guess = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1) {
      const answer = await app.inject({ url: '/', headers: { authorization: `Bearer guess-${n}` } });
      assert.equal(answer.statusCode, 401);
    }
  };
  await guess(50);
  nowMs += 9_999;
  await guess(1);
  nowMs += 1;
  await guess(1);
  assert.deepEqual(
    log.lines.map(({ fields }) => fields['failures']),
    [1, 51],
  );
  assert.doesNotMatch(JSON.stringify(log.lines), /guess|a-token/);
  const { statusCode } = await app.inject({ url: '/', headers: { authorization: 'Bearer a-token-of-this-test' } });
  assert.equal(statusCode, 200);
  await app.close();
});
