import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { controlSocketPath } from '../../../src/cli/control-socket.ts';

/** The path with its closing NUL must fit 104 bytes on the BSDs. */
const ROWS: ReadonlyArray<readonly [name: string, folder: string, isInside: boolean]> = [
  ['a short folder', '/var/lib/interpres', true],
  ['the longest that fits', `/${'d'.repeat(103 - '/control.sock'.length - 1)}`, true],
  ['one byte more', `/${'d'.repeat(103 - '/control.sock'.length)}`, false],
  ['few characters of many bytes', `/${'ü'.repeat(50)}`, false],
];
for (const [name, folder, isInside] of ROWS) {
  test(`control socket: ${name}`, () => {
    const path = controlSocketPath(folder);
    assert.ok(Buffer.byteLength(path) <= 103, path);
    assert.equal(dirname(path), isInside ? folder : tmpdir());
    assert.equal(controlSocketPath(`${folder}/`), path);
  });
}

test('control socket: folders of long paths do not share one', () => {
  const [one, other] = ['a', 'b'].map((end) => controlSocketPath(`/${'d'.repeat(120)}/${end}`));
  assert.notEqual(one, other);
});
