// `npm test`: everything. `npm test -- unit`, `npm test -- interop/prosody test/unit/sip/uri.test.ts`: those whose path
// contains one of the words. Installs the peers where it may, builds what is out of date, and runs the files: what is
// free of other programs in parallel, then what starts some. Ends with the summary of Node's test runner.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPeers, peerNames } from './install-peers.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** A file that takes longer than this hangs. */
const FILE_LIMIT_MS = 240_000;
process.chdir(ROOT);

const words = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const flags = process.argv.slice(2).filter((word) => word.startsWith('-'));
const files = testFiles('test')
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort(slowestFirst);
if (files.length === 0) {
  process.stderr.write(`no test file has ${words.join(' or ')} in its path\n`);
  process.exit(2);
}

const wantsPeers = files.some(startsPrograms);
if (wantsPeers) {
  const { missing, reason } = installPeers();
  const there = peerNames().filter((name) => !missing.includes(name));
  process.stderr.write(`peers: ${there.join(', ')}\n`);
  if (missing.length > 0) {
    process.stderr.write(`missing: ${missing.join(', ')}${reason === undefined ? '' : ` (${reason})`}\n`);
    if (process.env.CI === 'true') process.exit(1);
    process.stderr.write('their tests are skipped\n');
  }
  if (isBuildOld()) {
    const built = spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
    if (built.status !== 0) process.exit(1);
  }
}

// One run, so that there is one summary. Node takes files in the order given, so many at a time.
const run = spawnSync(
  process.execPath,
  [
    ...['--import', 'tsx', '--test', '--test-force-exit', `--test-timeout=${FILE_LIMIT_MS}`],
    // One more than two cores have: most files wait for other programs half of the time.
    `--test-concurrency=${Math.max(3, Math.min(4, availableParallelism()))}`,
    '--test-reporter=spec',
    ...flags,
    ...files,
  ],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);
process.exit(run.status ?? 1);

function testFiles(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name));
}

/** Files that start programs go first: they wait more than they compute, and the short ones fill the gaps. */
function slowestFirst(a, b) {
  return Number(startsPrograms(b)) - Number(startsPrograms(a)) || (a < b ? -1 : 1);
}

function startsPrograms(file) {
  return /^test\/(interop|scenario)\//.test(file);
}

function isBuildOld() {
  if (!existsSync('dist/main.js')) return true;
  const builtAtMs = statSync('dist/main.js').mtimeMs;
  return readdirSync('src', { recursive: true, encoding: 'utf8' }).some(
    (name) => name.endsWith('.ts') && statSync(join('src', name)).mtimeMs > builtAtMs,
  );
}
