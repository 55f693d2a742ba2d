import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { grantedSeconds } from '../../../src/core/granted-seconds.ts';

const USUAL = { min: 60, default: 600, max: 7_200 };
/** A minimum of more than an hour refuses only what is below an hour (RFC 6665, section 4.2.1.1). */
const LONG = { min: 5_000, default: 6_000, max: 7_200 };
const BRIEF = 'too brief';

const ROWS: ReadonlyArray<readonly [asked: number | undefined, limits: typeof USUAL, granted: number | typeof BRIEF]> =
  [
    [undefined, USUAL, 600],
    [0, USUAL, 0],
    [1, USUAL, BRIEF],
    [59, USUAL, BRIEF],
    [60, USUAL, 60],
    [3_600, USUAL, 3_600],
    [7_200, USUAL, 7_200],
    [7_201, USUAL, 7_200],
    [4_294_967_295, USUAL, 7_200],
    [undefined, LONG, 6_000],
    [0, LONG, 0],
    [3_599, LONG, BRIEF],
    [3_600, LONG, 3_600],
  ];
for (const [asked, limits, granted] of ROWS) {
  test(`granted seconds: ${asked ?? 'nothing'} asked, from ${limits.min} to ${limits.max}: ${granted}`, () => {
    if (granted !== BRIEF) {
      assert.equal(grantedSeconds(asked, limits), granted);
      return;
    }
    assert.throws(
      () => grantedSeconds(asked, limits),
      (error) =>
        error instanceof GatewayError &&
        error.code === 'interval-too-brief' &&
        error.details.minExpiresSeconds === limits.min,
    );
  });
}
