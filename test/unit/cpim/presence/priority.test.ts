import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  pidfPriorityFromXmpp,
  priorityText,
  thousandthsOf,
  xmppPriorityFromPidf,
} from '../../../../src/cpim/presence/priority.ts';

/** Every figure that the RFCs print. */
const PRINTED: ReadonlyArray<readonly [xmpp: number, pidf: string, source: string]> = [
  [0, '0', 'RFC 8048, section 6.2, note 6'],
  [1, '0.007', 'RFC 8048, section 6.2, note 6'],
  [2, '0.015', 'RFC 8048, section 6.2, note 6'],
  [13, '0.102', 'RFC 3922, section 5.1.7'],
  [126, '0.992', 'RFC 8048, section 6.2, note 6'],
  [127, '1', 'RFC 8048, section 6.2, note 6'],
];
for (const [xmpp, pidf, source] of PRINTED) {
  test(`priority: ${xmpp} in XMPP is ${pidf} in PIDF and back (${source})`, () => {
    const thousandths = pidfPriorityFromXmpp(xmpp);
    assert.ok(thousandths !== undefined);
    assert.equal(priorityText(thousandths), pidf);
    assert.equal(xmppPriorityFromPidf(thousandthsOf(pidf) ?? -1), xmpp);
  });
}

/** RFC 3922, section 5.2.13 and RFC 8048: ranges of PIDF and the priority of all in them. */
const RANGES: ReadonlyArray<readonly [from: number, to: number, xmpp: number]> = [
  [0, 0, 0],
  [1, 7, 1],
  [8, 15, 2],
  [992, 999, 126],
  [1000, 1000, 127],
];
for (const [from, to, xmpp] of RANGES) {
  test(`priority: ${from} to ${to} thousandths are ${xmpp} in XMPP`, () => {
    for (let thousandths = from; thousandths <= to; thousandths += 1) {
      assert.equal(xmppPriorityFromPidf(thousandths), xmpp);
    }
  });
}

test('priority: each of XMPP has one of PIDF for itself, comes back, and keeps its rank', () => {
  let before = -1;
  for (let xmpp = 0; xmpp <= 127; xmpp += 1) {
    const thousandths = pidfPriorityFromXmpp(xmpp) ?? -1;
    assert.ok(thousandths > before);
    assert.equal(xmppPriorityFromPidf(thousandths), xmpp);
    before = thousandths;
  }
});

test('priority: no priority of PIDF becomes a negative one, and more never becomes less', () => {
  let before = 0;
  for (let thousandths = 0; thousandths <= 1000; thousandths += 1) {
    const xmpp = xmppPriorityFromPidf(thousandths);
    assert.ok(xmpp >= before && xmpp <= 127);
    before = xmpp;
  }
});

for (const xmpp of [-128, -1, 128, 0.5, NaN]) {
  test(`priority: ${xmpp} of XMPP is not mapped`, () => {
    assert.equal(pidfPriorityFromXmpp(xmpp), undefined);
  });
}

const TEXTS: ReadonlyArray<readonly [text: string | undefined, thousandths: number | undefined]> = [
  ['0', 0],
  ['0.021', 21],
  ['0.5', 500],
  ['1.00', 1000],
  [' 0.8 ', 800],
  ['0.800000', 800],
  ['0,8', 800],
  ['.5', 500],
  ['1.', 1000],
  ['1.001', undefined],
  ['-0.1', undefined],
  ['2', undefined],
  ['1e-1', undefined],
  ['high', undefined],
  ['', undefined],
  [undefined, undefined],
];
for (const [text, thousandths] of TEXTS) {
  test(`priority of a contact: ${JSON.stringify(text)} (RFC 3863, section 4.1.5)`, () => {
    assert.equal(thousandthsOf(text), thousandths);
  });
}

test('priority of a contact: written with at most three digits, as it is read', () => {
  for (let thousandths = 0; thousandths <= 1000; thousandths += 1) {
    const text = priorityText(thousandths) ?? '';
    assert.match(text, /^(0(\.[0-9]{1,3})?|1)$/);
    assert.equal(thousandthsOf(text), thousandths);
  }
  for (const none of [-1, 1001, 0.5, NaN]) assert.equal(priorityText(none), undefined);
});
