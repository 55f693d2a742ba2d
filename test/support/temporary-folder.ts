import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new empty folder that is removed when this process ends; kept, and named, when KEEP_TEST_FOLDERS is set. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `interpres-${name}-`));
  process.once('exit', () => {
    if (process.env['KEEP_TEST_FOLDERS'] === undefined) rmSync(folder, { recursive: true, force: true });
    else process.stderr.write(`kept: ${folder}\n`);
  });
  return folder;
}
