import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reconnectPauseMs } from '../../../src/xmpp/reconnect-pause.ts';

const rows: Array<{ failures: number; refused: boolean; least: number; most: number }> = [
  { failures: 0, refused: false, least: 500, most: 1_000 },
  { failures: 1, refused: false, least: 1_000, most: 2_000 },
  { failures: 2, refused: false, least: 2_000, most: 4_000 },
  { failures: 4, refused: false, least: 2_500, most: 5_000 },
  { failures: 1_000_000, refused: false, least: 2_500, most: 5_000 },
  { failures: 0, refused: true, least: 15_000, most: 25_000 },
];

for (const { failures, refused, least, most } of rows) {
  test(`reconnect: after ${failures} failures${refused ? ' and a refusal' : ''}: ${least} to ${most} ms`, () => {
    assert.equal(
      reconnectPauseMs(failures, refused, () => 0),
      least,
    );
    assert.equal(
      reconnectPauseMs(failures, refused, () => 1),
      most,
    );
  });
}
