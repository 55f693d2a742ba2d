/**
 * A process that adds entries, attempts them, and waits to be killed. Writes one line per fact: `+ id` when an add has
 * resolved, `! id sequence maybeSent` when an attempt begins, `= id` when it has ended with 'delivered'.
 */
import { writeSync } from 'node:fs';
import { anEntry } from '../contract/delivery-queue.ts';
import { openCrashStore } from './crash-store.ts';

const [place = '', first = '0', count = '0', lanes = '1'] = process.argv.slice(2);
const store = await openCrashStore(place);

// At once and in one piece: what was said before the kill was true before the kill.
const say = (line: string): void => {
  writeSync(1, `${line}\n`);
};

await store.queue.start(
  async ({ id, sequence, maybeSent }) => {
    say(`! ${id} ${sequence} ${maybeSent}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (Math.random() < 0.05) return { kind: 'again', atMs: Date.now() + 5 };
    say(`= ${id}`);
    return { kind: 'delivered' };
  },
  () => 1,
);

const last = Number(first) + Number(count);
for (let n = Number(first); n < last; n += 1) {
  const id = `m${n}`;
  const entry = anEntry({ id, from: `user${n % Number(lanes)}@sip.example` }, Date.now());
  void store.queue.add(entry).then(() => say(`+ ${id}`));
  if (n % 4 === 3) await new Promise((resolve) => setTimeout(resolve, 1));
}
while (store.queue.figures().live > 0) await new Promise((resolve) => setTimeout(resolve, 5));
say('done');
await store.close();
