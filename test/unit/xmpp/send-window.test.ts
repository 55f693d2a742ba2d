import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SendWindow } from '../../../src/xmpp/send-window.ts';

function filled(bounds: { stanzasMax: number; bytesMax: number }, texts: readonly string[]): [SendWindow, string[]] {
  const window = new SendWindow(bounds);
  const log: string[] = [];
  for (const text of texts) {
    window.add({
      text,
      bytes: text.length,
      taken: () => log.push(`${text} taken`),
      lost: () => log.push(`${text} lost`),
    });
  }
  return [window, log];
}

test('send window: writes up to its bound in order, the rest when there is room', () => {
  const [window, log] = filled({ stanzasMax: 2, bytesMax: 100 }, ['a', 'b', 'c', 'd', 'e']);
  assert.equal(window.take(10), 'ab');
  assert.equal(window.take(10), '');
  assert.deepEqual([window.unconfirmed, window.waiting, window.written], [2, 3, 2]);
  window.confirm(1);
  assert.equal(window.take(10), 'c');
  window.confirm(3);
  assert.deepEqual(log, ['a taken', 'b taken', 'c taken']);
  assert.equal(window.take(1), 'd');
});

test('send window: bytes bound it too, but one larger stanza goes alone', () => {
  const [window] = filled({ stanzasMax: 10, bytesMax: 5 }, ['aaaaaaaa', 'bb', 'ccc', 'd']);
  assert.equal(window.take(10), 'aaaaaaaa');
  window.confirm(1);
  assert.equal(window.take(10), 'bbccc');
  window.confirm(2);
  assert.equal(window.take(10), 'd');
});

test('send window: a confirmation that comes twice or too late confirms nothing more', () => {
  const [window, log] = filled({ stanzasMax: 10, bytesMax: 100 }, ['a', 'b']);
  window.take(10);
  window.confirm(1);
  window.confirm(1);
  window.confirm(0);
  assert.deepEqual(log, ['a taken']);
  window.confirm(99);
  assert.deepEqual(log, ['a taken', 'b taken']);
});

test('send window: a loss tells written and waiting ones in order, and is over when they hear of it', () => {
  const [window, log] = filled({ stanzasMax: 2, bytesMax: 100 }, ['a', 'b', 'c']);
  window.take(10);
  window.confirm(1);
  window.add({
    text: 'd',
    bytes: 1,
    taken: () => undefined,
    lost: () => log.push(`empty: ${window.unconfirmed + window.waiting}`),
  });
  window.rejectAll(new Error('lost'));
  assert.deepEqual(log, ['a taken', 'b lost', 'c lost', 'empty: 0']);
  assert.equal(window.take(10), '');
});

test('send window: counts go on over 100,000 stanzas', () => {
  const window = new SendWindow({ stanzasMax: 2048, bytesMax: 1_000_000 });
  let taken = 0;
  for (let n = 0; n < 100_000; n += 1) {
    window.add({ text: 'x', bytes: 1, taken: () => (taken += 1), lost: () => undefined });
    if (n % 100 === 99) {
      window.take(2048);
      window.confirm(window.written - 50);
    }
  }
  window.confirm(window.written);
  assert.equal(taken, 100_000);
  assert.equal(window.unconfirmed, 0);
});
