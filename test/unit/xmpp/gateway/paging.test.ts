import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { readXml, writeXml } from '../../../../src/cpim/xml.ts';
import { page } from '../../../../src/xmpp/gateway/paging.ts';

const list = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ key: `k${at}`, element: { name: `e${at}`, attrs: {}, children: [] } }));
const query = (wish: string) =>
  readXml(`<query xmlns='x'>${wish === '' ? '' : `<set xmlns='http://jabber.org/protocol/rsm'>${wish}</set>`}</query>`);

const ROWS: ReadonlyArray<readonly [wish: string, result: string]> = [
  ['', '<e0/><e1/><e2/><e3/>'],
  ['<max>2</max>', '<e0/><e1/> 0 k0 k1 4'],
  ['<max>2</max><after>k1</after>', '<e2/><e3/> 2 k2 k3 4'],
  ['<max>2</max><before/>', '<e2/><e3/> 2 k2 k3 4'],
  ['<max>1</max><before>k2</before>', '<e1/> 1 k1 k1 4'],
  ['<max>1</max><index>3</index>', '<e3/> 3 k3 k3 4'],
  ['<max>0</max>', ' - 4'],
  ['<max>2</max><after>k3</after>', ' - 4'],
  ['<after>gone</after>', 'recipient-unknown'],
  ['<max>many</max>', 'request-malformed'],
];
for (const [wish, result] of ROWS) {
  test(`page: ${wish || 'no wish'} (XEP-0059)`, () => {
    let read: string;
    try {
      const elements = page(query(wish), list(4)).map(writeXml);
      const set = elements.at(-1)?.startsWith('<set') === true ? elements.pop()! : undefined;
      const index = /index="(\d+)">(\w+)<\/first><last>(\w+)</.exec(set ?? '');
      const range = index === null ? '-' : index.slice(1).join(' ');
      read = elements.join('') + (set === undefined ? '' : ` ${range} ${/<count>(\d+)</.exec(set)![1]!}`);
    } catch (thrown) {
      read = GatewayError.of(thrown).code;
    }
    assert.equal(read, result);
  });
}

test('page: a long list is cut without being asked for (XEP-0059)', () => {
  const elements = page(query(''), list(150));
  assert.equal(elements.length, 101);
  assert.match(writeXml(elements.at(-1)!), /<count>150</);
});
