import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];

/** A new empty folder that is removed when this process ends; kept, and named, when KEEP_TEST_FOLDERS is set. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `interpres-${name}-`));
  if (made.length === 0) process.once('exit', removeAll);
  made.push(folder);
  return folder;
}

function removeAll(): void {
  for (const folder of made) {
    if (process.env['KEEP_TEST_FOLDERS'] === undefined) rmSync(folder, { recursive: true, force: true });
    else process.stderr.write(`kept: ${folder}\n`);
  }
}
