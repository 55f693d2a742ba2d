import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WatcherEntry, WatcherList } from '../../../../src/cpim/presence/watcherinfo.ts';
import { bytesOfBody, etagOf, formatsOf } from '../../../../src/sip/events/presence-bodies.ts';
import { aDocument, aTuple } from '../../../support/presence-builders.ts';
import { JULIET, ROMEO } from '../../../support/sip-leases.ts';

const WATCHER: WatcherEntry = { id: 'w1', watcher: ROMEO, status: 'active', event: 'subscribe', expirationSeconds: 60 };

function listOf(parts: Partial<WatcherEntry>, state: WatcherList['state'] = 'full') {
  const list: WatcherList = { presentity: JULIET, package: 'presence', state, watchers: [{ ...WATCHER, ...parts }] };
  return { kind: 'watchers', list } as const;
}

test('every format that is offered can be written, the mandatory one first (RFC 3856, section 6.5)', () => {
  assert.deepEqual(formatsOf('presence'), ['application/pidf+xml', 'application/xpidf+xml']);
  assert.equal(formatsOf('presence')[0], 'application/pidf+xml');
  assert.equal(formatsOf('presence.winfo')[0], 'application/watcherinfo+xml');
});

test('a presence document is one piece of bytes for all who are told it', () => {
  const body = { kind: 'presence', document: aDocument() } as const;
  const bytes = bytesOfBody(body, 'application/pidf+xml', 0);
  assert.equal(bytesOfBody({ ...body }, 'application/pidf+xml', 7), bytes);
  assert.notEqual(bytesOfBody(body, 'application/xpidf+xml', 0), bytes);
});

test('the tag of a document is that of its content', () => {
  const tag = (document = aDocument()) => etagOf({ kind: 'presence', document }, 'application/pidf+xml');
  assert.equal(tag(), tag());
  assert.notEqual(tag(), tag(aDocument({ tuples: [aTuple({ basic: 'closed' })] })));
  assert.notEqual(tag(), etagOf(undefined, 'application/pidf+xml'));
});

test('the tag of a list of watchers is that of its rows, whatever time it is', () => {
  const format = 'application/watcherinfo+xml';
  const tag = etagOf(listOf({}), format);
  assert.equal(etagOf(listOf({ expirationSeconds: 59, subscribedForSeconds: 1 }), format), tag);
  assert.notEqual(etagOf(listOf({ status: 'pending' }), format), tag);
  assert.notEqual(etagOf(listOf({ displayName: 'Romeo' }), format), tag);
  assert.equal(etagOf(listOf({}, 'partial'), format), undefined);
});
