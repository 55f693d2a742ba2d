import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCrashStore } from './crash-store.ts';
import { CRASH_KINDS, stateAfter } from './records-crash.ts';

const CHILD = fileURLToPath(new URL('./records-crash-child.ts', import.meta.url));

/** Lets the child change records from `first` on; kills it in the midst. @returns the last change it called durable */
async function killed(place: string, first: number, afterLines: number): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, CHILD, place, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  let isDoomed = false;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    said += text;
    if (isDoomed || said.split('\n').length <= afterLines) return;
    isDoomed = true;
    // Not always at the same point of a commit.
    setTimeout(() => child.kill('SIGKILL'), afterLines % 7);
  });
  await new Promise((resolve) => child.once('close', resolve));
  return Math.max(...said.split('\n').map((line) => (line.startsWith('+ ') ? Number(line.slice(2)) : -1)));
}

async function stateIn(place: string): Promise<Map<string, number>> {
  const store = await openCrashStore(place);
  const state = new Map<string, number>();
  for (const kind of CRASH_KINDS) {
    for (const [key, { n }] of store.records<{ n: number }>(kind).all()) state.set(`${kind}/${key}`, n);
  }
  await store.close();
  return state;
}

/**
 * A process that changes records is killed again and again. @param place a fresh folder, or the JSON of a section `store`
 * of a fresh store
 */
export function recordsCrashTest(name: string, place: () => string, rounds = 5): void {
  void test(`${name}: killed in the middle, ${rounds} times: what is left is a state that was given, with all that was promised`, async (t) => {
    const where = place();
    let before = new Map<string, number>();
    let first = 1;
    for (let round = 0; round < rounds; round += 1) {
      const promised = await killed(where, first, 20 + 60 * round);
      const found = await stateIn(where);
      const newest = Math.max(...found.values());
      // Changes behind the newest value can only have removed something; there are few such in a row.
      const last = Array.from({ length: 24 }, (_, more) => newest + more).find((candidate) => {
        const expected = stateAfter(before, first, candidate);
        return expected.size === found.size && [...expected].every(([name, n]) => found.get(name) === n);
      });
      assert.notEqual(
        last,
        undefined,
        `round ${round}: what was found is no state between ${first} and ${newest + 24}`,
      );
      assert.ok(last! >= promised, `round ${round}: ${promised} was promised, ${last} was found`);
      assert.ok(last! > first + 500, `round ${round}: killed before anything happened`);
      t.diagnostic(`round ${round}: ${last! - first} changes, promised up to ${promised - first}`);
      before = found;
      first = last! + 1;
    }
  });
}
