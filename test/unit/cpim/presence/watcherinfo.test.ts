import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../../src/cpim/content-error.ts';
import {
  readWatcherInfo,
  type WatcherInfo,
  type WatcherList,
  writeWatcherInfo,
} from '../../../../src/cpim/presence/watcherinfo.ts';
import { loadVectors } from '../../../support/vectors.ts';
import { aWatcherList } from '../../../support/watcher-lists.ts';

for (const vector of loadVectors<string[], WatcherInfo>('rfc3858/documents')) {
  test(`watcher information: ${vector.id} (${vector.source})`, () => {
    const read = readWatcherInfo(vector.in.join('\n'));
    assert.deepEqual(read, vector.out);
    for (const list of read.lists)
      assert.deepEqual(readWatcherInfo(writeWatcherInfo(list, 7)), { ...read, version: 7 });
  });
}

for (const [name, list] of Object.entries<WatcherList>(aWatcherList)) {
  test(`watcher information written and read again: ${name}`, () => {
    assert.deepEqual(readWatcherInfo(writeWatcherInfo(list, 0)), { version: 0, state: list.state, lists: [list] });
  });
}

test('watcher information written: attributes in the order of the schema, addresses as sip URIs', () => {
  const watchers = aWatcherList['every attribute'].watchers.map((entry) => ({ ...entry, id: 'w1', displayName: 'R' }));
  assert.equal(
    writeWatcherInfo({ ...aWatcherList['every attribute'], watchers }, 3),
    '<?xml version="1.0" encoding="UTF-8"?>\n<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo" version="3" state="partial">' +
      '<watcher-list resource="sip:juliet@example.com" package="presence"><watcher display-name="R" status="active" ' +
      'event="approved" expiration="0" id="w1" duration-subscribed="509">sip:f%C3%BC%26@example.net</watcher>' +
      '</watcher-list></watcherinfo>',
  );
});

const around = (list: string, attrs = `version='0' state='full'`): string =>
  `<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' ${attrs}>${list}</watcherinfo>`;
const listOf = (watchers: string): string =>
  around(`<watcher-list resource='sip:a@b.example' package='presence'>${watchers}</watcher-list>`);

const URIS: ReadonlyArray<readonly [uri: string, address: string | undefined]> = [
  ['sip:romeo@example.net', 'romeo@example.net'],
  [' SIPS:romeo@Example.NET:5061;transport=tls?subject=x ', 'romeo@example.net'],
  ['sip:a;b?c@example.net;x=@y', 'a%3Bb%3Fc@example.net'],
  ['pres:romeo@example.net', 'romeo@example.net'],
  ['sip:example.net:5060', 'example.net'],
  ['tel:+123', undefined],
  ['sip:', undefined],
  ['sip:a:b@example.net', undefined],
];
for (const [uri, address] of URIS) {
  test(`watcher information: ${uri} is ${address ?? 'no watcher that has an address'}`, () => {
    const { lists } = readWatcherInfo(listOf(`<watcher id='a' status='active' event='approved'>${uri}</watcher>`));
    assert.deepEqual(
      lists[0]?.watchers.map(({ watcher }) => watcher),
      address === undefined ? [] : [address],
    );
  });
}

test('watcher information: other packages, other namespaces and unknown attributes are ignored', () => {
  const text = around(
    `<watcher-list resource='sip:a@b.example' package='presence.winfo'/><x xmlns='urn:x'/>` +
      `<watcher-list resource='tel:1' package='presence'/>` +
      `<watcher-list resource='sip:a@b.example' package='presence'><y xmlns='urn:x'/></watcher-list>`,
    `version='4' state='partial' z='1'`,
  );
  const list = { presentity: 'a@b.example', package: 'presence', state: 'partial', watchers: [] };
  assert.deepEqual(readWatcherInfo(text), { version: 4, state: 'partial', lists: [list] });
});

const MALFORMED: ReadonlyArray<readonly [name: string, text: string]> = [
  ['no XML', 'watcherinfo'],
  ['no namespace', `<watcherinfo version='0' state='full'/>`],
  ['another root', `<watcher-list xmlns='urn:ietf:params:xml:ns:watcherinfo'/>`],
  ['no version', around('', `state='full'`)],
  ['a version below zero', around('', `version='-1' state='full'`)],
  ['a version over 32 bits', around('', `version='2147483648' state='full'`)],
  ['no state', around('', `version='0'`)],
  ['another state', around('', `version='0' state='most'`)],
  ['a list without resource', around(`<watcher-list package='presence'/>`)],
  ['a list without package', around(`<watcher-list resource='sip:a@b'/>`)],
  ['a watcher without id', listOf(`<watcher status='active' event='approved'>sip:a@b</watcher>`)],
  ['an id that is no token', listOf(`<watcher id='a b' status='active' event='approved'>sip:a@b</watcher>`)],
  ['an id twice', listOf(`<watcher id='a' status='active' event='approved'>sip:a@b</watcher>`.repeat(2))],
  ['another status', listOf(`<watcher id='a' status='asleep' event='approved'>sip:a@b</watcher>`)],
  ['another event', listOf(`<watcher id='a' status='active' event='wedding'>sip:a@b</watcher>`)],
];
for (const [name, text] of MALFORMED) {
  test(`watcher information refused: ${name}`, () => {
    assert.throws(() => readWatcherInfo(text), ContentError);
  });
}

test('watcher information bounds: 10,000 watchers are read, one more is not', () => {
  const watchers = (count: number): string =>
    listOf(
      Array.from(
        { length: count },
        (_, at) => `<watcher id='${at}' status='active' event='approved'>sip:a@b</watcher>`,
      ).join(''),
    );
  assert.equal(readWatcherInfo(watchers(10_000)).lists[0]?.watchers.length, 10_000);
  assert.throws(() => readWatcherInfo(watchers(10_001)), ContentError);
});

const NOT_WRITTEN: ReadonlyArray<
  readonly [name: string, parts: Partial<WatcherList['watchers'][number]>, version: number]
> = [
  ['an id that is no token', { id: 'a b' }, 0],
  ['seconds below zero', { expirationSeconds: -1 }, 0],
  ['half a second', { subscribedForSeconds: 0.5 }, 0],
  ['a version below zero', {}, -1],
  ['a version that wraps', {}, 2_147_483_648],
];
for (const [name, parts, version] of NOT_WRITTEN) {
  test(`watcher information not written: ${name}`, () => {
    const list = aWatcherList['every attribute'];
    const watchers = list.watchers.map((entry) => ({ ...entry, ...parts }));
    assert.throws(() => writeWatcherInfo({ ...list, watchers }, version), ContentError);
  });
}
