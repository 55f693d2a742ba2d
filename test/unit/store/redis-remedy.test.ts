import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withRemedy } from '../../../src/store/redis-remedy.ts';

const ROWS: ReadonlyArray<readonly [said: string, remedy: RegExp | undefined]> = [
  ['NOAUTH HELLO must be called with the client already authenticated', /`store\.password` or `store\.passwordFile`$/],
  ['WRONGPASS invalid username-password pair or user is disabled.', /does not know this user with this password/],
  ["NOPERM this user has no permissions to run the 'subscribe' command", /docs\/redis\.md$/],
  ['ERR DB index is out of range', /the end of `store\.url`, or `store\.database`$/],
  ['ERR This instance has cluster support disabled', /`store\.url` instead of `store\.cluster`$/],
  ['MOVED 866 127.0.0.1:7001', /`store\.cluster` instead of `store\.url`$/],
  ['connect ECONNREFUSED 127.0.0.1:6379', /is Redis running/],
  ['getaddrinfo ENOTFOUND redis.invalid', /the name has no address/],
  ['self-signed certificate in certificate chain', /see `store\.ca`$/],
  ['OOM command not allowed when used memory', undefined],
];
for (const [said, remedy] of ROWS) {
  test(`what can be done: ${said}`, () => {
    const told = withRemedy(said);
    assert.ok(told.startsWith(said));
    if (remedy === undefined) assert.equal(told, said);
    else assert.match(told, remedy);
  });
}
