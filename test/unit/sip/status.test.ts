import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERROR_CODES, GatewayError, type ErrorCode } from '../../../src/core/errors.ts';
import { SIP_STATUS, errorFromStatus, statusFromError } from '../../../src/sip/status.ts';

type FromXmpp = {
  readonly id: string;
  readonly source: string;
  readonly in: { readonly condition: string; readonly address?: string };
  readonly code: ErrorCode;
  readonly wholeUser?: boolean;
  readonly out: { readonly status: number };
};
type FromSip = {
  readonly id: string;
  readonly source: string;
  readonly in: { readonly status: number };
  readonly code: ErrorCode;
  readonly wholeUser?: boolean;
};

const vectors = JSON.parse(readFileSync(new URL('../../vectors/rfc7247/errors.json', import.meta.url), 'utf8')) as {
  readonly fromXmpp: readonly FromXmpp[];
  readonly fromSip: readonly FromSip[];
};

for (const vector of vectors.fromXmpp) {
  test(`error to SIP: ${vector.id} -> ${vector.out.status} (${vector.source})`, () => {
    const error = new GatewayError(vector.code, 'test', {
      details: {
        ...(vector.wholeUser === true ? { wholeUser: true } : {}),
        ...(vector.in.address === undefined ? {} : { alternative: vector.in.address }),
      },
    });
    assert.equal(statusFromError(error), vector.out.status);
  });
}

for (const vector of vectors.fromSip) {
  test(`error from SIP: ${vector.id} -> ${vector.code} (${vector.source})`, () => {
    const error = errorFromStatus(vector.in.status, 'test');
    assert.equal(error.code, vector.code);
    assert.equal(error.details.wholeUser === true, vector.wholeUser === true);
    assert.equal(error.details.status, vector.in.status);
  });
}

/** The rows that no XMPP condition leads to. */
const OWN: Partial<Record<ErrorCode, number>> = {
  'scheme-unsupported': 416,
  'content-malformed': 400,
  'content-unsupported': 415,
  'content-too-large': 413,
  'extension-unsupported': 420,
  'hops-exhausted': 483,
  'loop-detected': 482,
  'interval-too-brief': 423,
  'event-unsupported': 489,
  'precondition-failed': 412,
  'dialog-unknown': 481,
  'rate-exceeded': 503,
  'recipient-refused': 603,
  'peer-unknown': 403,
  'peer-unreachable': 504,
  'lifetime-over': 403,
  'queue-full': 503,
  'store-unavailable': 503,
  'shutting-down': 503,
  internal: 500,
};

for (const code of ERROR_CODES) {
  const wanted = OWN[code];
  if (wanted === undefined) {
    test(`error to SIP: ${code} is in the vectors`, () => {
      assert.ok(vectors.fromXmpp.some((vector) => vector.code === code));
    });
  } else {
    test(`error to SIP: ${code} -> ${wanted}`, () => {
      assert.equal(statusFromError(new GatewayError(code, 'test')), wanted);
    });
  }
}

test('error to SIP: 408 is never an answer (RFC 4320, section 4.2)', () => {
  for (const row of Object.values(SIP_STATUS)) assert.notEqual(row.status, 408);
});

const HANDED_ON: ReadonlyArray<readonly [status: number, answer: number]> = [
  [404, 404],
  [486, 486],
  [494, 494],
  [502, 502],
  [580, 580],
  [603, 603],
  [401, 403],
  [407, 403],
  [408, 504],
  [503, 500],
  [302, 480],
];
for (const [status, answer] of HANDED_ON) {
  test(`a peer's ${status} reaches a SIP sender as ${answer}`, () => {
    assert.equal(statusFromError(errorFromStatus(status, 'test')), answer);
  });
}

test('moved without an address is gone', () => {
  assert.equal(statusFromError(new GatewayError('recipient-moved', 'test')), 410);
});

const TRANSIENT = [408, 430, 480, 486, 487, 500, 503, 504, 580, 599, 600];
test('statuses after which a later attempt may succeed', () => {
  for (const status of TRANSIENT) assert.ok(errorFromStatus(status, 'test').transient, String(status));
  for (const status of [301, 400, 401, 403, 404, 405, 410, 413, 415, 481, 488, 491, 501, 502, 603, 604, 606]) {
    assert.ok(!errorFromStatus(status, 'test').transient, String(status));
  }
});
