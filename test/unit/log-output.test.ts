import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LogOutput } from '../../src/log-output.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FOLDER = temporaryFolder('log-output');

function pipe(name: string): { readonly readEnd: number; readonly writeEnd: number; readonly read: () => string } {
  const path = join(FOLDER, name);
  execFileSync('mkfifo', [path]);
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeEnd = openSync(path, constants.O_WRONLY);
  const read = (): string => {
    const bytes = Buffer.alloc(1 << 20);
    try {
      return bytes.toString('utf8', 0, readSync(readEnd, bytes));
    } catch {
      return ''; // nothing is in it
    }
  };
  return { readEnd, writeEnd, read };
}

test('log output: lines come in order, in pieces', () => {
  const path = join(FOLDER, 'file');
  const fd = openSync(path, 'w');
  const output = new LogOutput(fd, { gatherLength: 10 });
  for (let at = 0; at < 100; at += 1) output.write(`line ${at}\n`);
  output.flushSync();
  closeSync(fd);
  assert.equal(readFileSync(path, 'utf8'), Array.from({ length: 100 }, (_, at) => `line ${at}\n`).join(''));
});

test('log output: a reader that is behind costs lines over the bound, which are told of, and no waiting', () => {
  const { writeEnd, read } = pipe('behind');
  const output = new LogOutput(writeEnd, { gatherLength: 10, heldLengthMax: 1_000 });
  const line = `${'x'.repeat(99)}\n`;
  const startedMs = performance.now();
  // 64 kB fit a pipe.
  for (let at = 0; at < 1_000; at += 1) output.write(line);
  assert.ok(performance.now() - startedMs < 500);
  let text = '';
  for (let at = 0; at < 3; at += 1) {
    text += read();
    output.flushSync();
  }
  text += read();
  const told = /"lines":(\d+),"msg":"log lines lost"/.exec(text);
  assert.equal(text.split(line.trimEnd()).length - 1 + Number(told?.[1]), 1_000);
  closeSync(writeEnd);
});

test('log output: a reader that is gone neither throws nor holds up the end', () => {
  const { readEnd, writeEnd } = pipe('gone');
  const output = new LogOutput(writeEnd, { gatherLength: 10 });
  output.write('before it goes\n');
  closeSync(readEnd);
  const startedMs = performance.now();
  for (let at = 0; at < 1_000; at += 1) output.write(`line ${at}\n`);
  output.flushSync();
  assert.ok(performance.now() - startedMs < 1_000);
  closeSync(writeEnd);
});

test('log output: a full disk neither throws nor holds up the end', () => {
  const fd = openSync('/dev/full', 'w');
  const output = new LogOutput(fd, { gatherLength: 10 });
  for (let at = 0; at < 100; at += 1) output.write(`line ${at}\n`);
  output.flushSync();
  closeSync(fd);
});
