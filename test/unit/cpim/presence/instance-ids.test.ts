import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instanceFromTupleId, tupleIdFromInstance } from '../../../../src/cpim/presence/instance-ids.ts';
import { isNcName } from '../../../../src/cpim/xml.ts';

const ROWS: ReadonlyArray<readonly [instance: string, id: string]> = [
  ['yn0cl4bnw0yr3vym', 'ID-yn0cl4bnw0yr3vym'],
  ['1', 'ID-1'],
  ['', 'ID-'],
  ['ID-x', 'ID-ID-x'],
  ['a_b', 'ID-a__b'],
  ['my phone', 'ID-my_x20phone'],
  ['_x20', 'ID-__x20'],
  ['a:b/c@d', 'ID-a_x3Ab_x2Fc_x40d'],
  ['Büro', 'ID-Büro'],
  ['телефон', 'ID-телефон'],
  ['電話', 'ID-電話'],
  ['\u00D7', 'ID-_xC3_x97'],
  ['\u{1F4F1}', 'ID-_xF0_x9F_x93_xB1'],
  ['\u0301', 'ID-_xCC_x81'],
  ['\u0000\u{10FFFF}', 'ID-_x00_xF4_x8F_xBF_xBF'],
];
for (const [instance, id] of ROWS) {
  test(`tuple id of ${JSON.stringify(instance)} and back (RFC 8048, section 6.2, note 2)`, () => {
    assert.equal(tupleIdFromInstance(instance), id);
    assert.ok(isNcName(id));
    assert.equal(instanceFromTupleId(id), instance);
  });
}

const FOREIGN: ReadonlyArray<readonly [name: string, id: string, instance: string]> = [
  ['without prefix (RFC 3922, section 5.1.1)', 'balcony', 'balcony'],
  ['without prefix, with what looks like an escape', 'a__b_x20', 'a__b_x20'],
  ['an underscore that begins nothing', 'ID-a_b', 'a_b'],
  ['a byte that needs no escape', 'ID-_x41', '_x41'],
  ['digits in lower case', 'ID-_xc3_x97', '_xc3_x97'],
  ['bytes that are no UTF-8', 'ID-_xFF', '_xFF'],
  ['an escape that is cut', 'ID-_x2', '_x2'],
  ['another prefix', 'id-x', 'id-x'],
];
for (const [name, id, instance] of FOREIGN) {
  test(`instance of a tuple id: ${name}`, () => {
    assert.equal(instanceFromTupleId(id), instance);
  });
}

test('tuple id: a lone surrogate has one too', () => {
  assert.equal(tupleIdFromInstance('a\uD800'), 'ID-a_xEF_xBF_xBD');
});

test('tuple id: every character up to U+3200 comes back, and no two share one', () => {
  const ids = new Set<string>();
  for (let code = 0; code < 0x3200; code += 1) {
    const instance = String.fromCharCode(code);
    const id = tupleIdFromInstance(instance);
    assert.equal(instanceFromTupleId(id), instance);
    assert.ok(isNcName(id), id);
    ids.add(id);
  }
  assert.equal(ids.size, 0x3200);
});
