import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./store-crash-child.ts', import.meta.url));
const LANES = 5;
const PER_RUN = 400;

/** Runs the child; kills it with SIGKILL when it has said so many lines. @returns what it said */
async function run(place: string, first: number, count: number, killAfterLines: number): Promise<string[]> {
  const args = [...process.execArgv, CHILD, place, String(first), String(count), String(LANES)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  let lines = 0;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    said += text;
    lines += text.split('\n').length - 1;
    if (lines >= killAfterLines) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  return said.split('\n').slice(0, -1);
}

/** A process with a queue is killed five times. @param place as for `recordsCrashTest` */
export function queueCrashTest(name: string, place: () => string): void {
  void test(`${name}: killed in the middle, five times: nothing acknowledged is lost, every lane keeps its order`, async (t) => {
    const where = place();
    const acknowledged = new Set<string>();
    const delivered: string[] = [];
    let unsaid = 0;
    for (let round = 0; round < 6; round += 1) {
      const isLast = round === 5;
      const lines = await run(where, round * PER_RUN, isLast ? 0 : PER_RUN, isLast ? Infinity : 200 + 170 * round);
      if (isLast) assert.equal(lines.at(-1), 'done');
      else assert.notEqual(lines.at(-1), 'done', 'it was killed before it had finished');
      for (const line of lines) {
        const [what, id = '', , maybeSent] = line.split(' ');
        if (what === '+') acknowledged.add(id);
        if (what === '=') delivered.push(id);
        // A second attempt of what was delivered already, after a crash, has to say so.
        if (what === '!' && delivered.includes(id) && maybeSent !== 'true') unsaid += 1;
      }
    }
    assert.ok(acknowledged.size > 500, `${acknowledged.size} were acknowledged`);
    const lost = [...acknowledged].filter((id) => !delivered.includes(id));
    assert.deepEqual(lost, []);
    assert.equal(unsaid, 0);
    const firsts = [...new Set(delivered)].map((id) => Number(id.slice(1)));
    for (let lane = 0; lane < LANES; lane += 1) {
      const ofLane = firsts.filter((n) => n % LANES === lane);
      assert.deepEqual(
        ofLane,
        [...ofLane].sort((a, b) => a - b),
      );
    }
    // Delivered, and killed within the few ms before that was written.
    const twice = delivered.length - firsts.length;
    t.diagnostic(`${acknowledged.size} acknowledged, 0 lost, ${twice} delivered twice in five crashes`);
    assert.ok(twice <= 5 * 10, `${twice} came twice in five crashes`);
  });
}
