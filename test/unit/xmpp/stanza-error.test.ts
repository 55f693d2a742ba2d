import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERROR_CODES, type ErrorCode } from '../../../src/core/errors.ts';
import { parseJid } from '../../../src/xmpp/jid.ts';
import {
  type Condition,
  elementFromStanzaError,
  failureFrom,
  readStanzaError,
  STANZA_ERRORS,
  stanzaErrorFrom,
} from '../../../src/xmpp/stanza-error.ts';

type FromXmpp = {
  readonly id: string;
  readonly source: string;
  readonly in: { readonly condition: Condition; readonly from: string; readonly address?: string };
  readonly code: ErrorCode;
  readonly wholeUser?: boolean;
};
type FromSip = {
  readonly id: string;
  readonly source: string;
  readonly in: { readonly status: number; readonly contact?: string };
  readonly code: ErrorCode;
  readonly wholeUser?: boolean;
  readonly out: { readonly condition: Condition; readonly address?: string };
};

const vectors = JSON.parse(readFileSync(new URL('../../vectors/rfc7247/errors.json', import.meta.url), 'utf8')) as {
  readonly fromXmpp: readonly FromXmpp[];
  readonly fromSip: readonly FromSip[];
};

for (const vector of vectors.fromXmpp) {
  test(`error from XMPP: ${vector.id} -> ${vector.code} (${vector.source})`, () => {
    const from = parseJid(vector.in.from);
    assert.ok(from !== undefined);
    const { condition, address } = vector.in;
    const error = failureFrom({ condition, type: 'cancel', ...(address === undefined ? {} : { address }) }, from);
    assert.equal(error.code, vector.code);
    assert.equal(error.details.wholeUser, vector.wholeUser);
    assert.equal(error.details.alternative, address);
    const onTheWire = elementFromStanzaError({ condition, type: 'cancel' });
    assert.deepEqual(readStanzaError(onTheWire), { condition, type: 'cancel' });
  });
}

for (const vector of vectors.fromSip) {
  test(`error to XMPP: ${vector.code} of ${vector.id} -> ${vector.out.condition} (${vector.source})`, () => {
    const details = vector.in.contact === undefined ? {} : { alternative: vector.in.contact };
    const error = stanzaErrorFrom(vector.code, details);
    assert.equal(error.condition, vector.out.condition);
    assert.equal(error.address, vector.out.address);
  });
}

/** RFC 6120, section 8.3.3: the types that may go with a condition. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  'feature-not-implemented': ['cancel', 'modify'],
  forbidden: ['auth'],
  'not-authorized': ['auth'],
  'policy-violation': ['modify', 'wait'],
  'recipient-unavailable': ['wait'],
  'registration-required': ['auth'],
  'remote-server-timeout': ['wait'],
  'resource-constraint': ['wait'],
  'subscription-required': ['auth'],
  'unexpected-request': ['wait', 'modify'],
  'bad-request': ['modify'],
  'jid-malformed': ['modify'],
  'not-acceptable': ['modify'],
  redirect: ['modify'],
};

for (const code of ERROR_CODES) {
  test(`error to XMPP: the type of ${code} fits its condition (RFC 6120, section 8.3.3)`, () => {
    const { condition, type } = STANZA_ERRORS[code];
    assert.ok((TYPES[condition] ?? ['cancel']).includes(type), `${condition} ${type}`);
  });
}

test('error to XMPP: an address goes with a move, never with gone for good', () => {
  const details = { alternative: 'sip:b@c.example' };
  assert.equal(stanzaErrorFrom('recipient-moved', details).address, 'sip:b@c.example');
  assert.equal(stanzaErrorFrom('recipient-gone', details).address, undefined);
});

test('error: an element and back', () => {
  const errors = [
    stanzaErrorFrom('recipient-unknown', { text: 'No such user <here>' }),
    stanzaErrorFrom('recipient-moved', { alternative: 'sip:b@c.example' }),
    stanzaErrorFrom('internal'),
  ];
  for (const error of errors) assert.deepEqual(readStanzaError(elementFromStanzaError(error)), error);
});

const odd: Array<[string, Parameters<typeof readStanzaError>[0]]> = [
  ['no error element', undefined],
  ['no condition', { name: 'error', attrs: { type: 'cancel' }, children: [] }],
  [
    'a condition of another namespace',
    { name: 'error', attrs: { type: 'cancel' }, children: [{ name: 'gone', attrs: { xmlns: 'x' }, children: [] }] },
  ],
  [
    'an unknown condition',
    {
      name: 'error',
      attrs: { type: 'nonsense' },
      children: [{ name: '__proto__', attrs: { xmlns: 'urn:ietf:params:xml:ns:xmpp-stanzas' }, children: [] }],
    },
  ],
];
for (const [what, element] of odd) {
  test(`error from XMPP: ${what} is an undefined condition`, () => {
    assert.deepEqual(readStanzaError(element), { condition: 'undefined-condition', type: 'cancel' });
  });
}
