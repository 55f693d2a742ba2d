// `npm run bench`: every file of test/bench, one after the other, each printing lines of JSON.
// `npm run bench -- queue xml`: those whose name contains one of the words.
// `npm run bench -- faults`: the long fault runs of test/faults instead.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const words = process.argv.slice(2);
const isFaults = words[0] === 'faults';
const folder = isFaults ? 'test/faults' : 'test/bench';
const wanted = isFaults ? [] : words;
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`no file of ${folder} has ${wanted.join(' or ')} in its name\n`);
  process.exit(2);
}
const built = spawnSync('npm', ['run', '--silent', 'build'], { stdio: ['ignore', 'ignore', 'inherit'] });
if (built.status !== 0) process.exit(1);
let failed = false;
for (const file of files) {
  const args = isFaults ? words.slice(1) : [];
  const run = spawnSync(process.execPath, ['--expose-gc', '--import', 'tsx', join(folder, file), ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (run.status !== 0) {
    process.stderr.write(`${file} ended with ${run.status ?? run.signal}\n`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
