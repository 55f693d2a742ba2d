/**
 * A process that changes records of two kinds until it is killed: `putLater`, `removeLater`, and now and then a `put`
 * that it waits for. Change n sets record `n % KEYS` of its kind to n, or removes it; says `+ n` when change n, which it
 * waited for, is durable.
 */
import { writeSync } from 'node:fs';
import { openCrashStore } from './crash-store.ts';
import { changeOf, CRASH_KINDS } from './records-crash.ts';

const [place = '', first = '0'] = process.argv.slice(2);
const store = await openCrashStore(place);
const kinds = CRASH_KINDS.map((kind) => store.records<{ n: number; padding: string }>(kind));

const padding = 'x'.repeat(500);
for (let n = Number(first); ; n += 1) {
  const { kind, key, isRemoved } = changeOf(n);
  const records = kinds[kind]!;
  if (n % 37 === 0) {
    const changed = isRemoved ? records.remove(key) : records.put(key, { n, padding });
    // At once and in one piece: what was said before the kill was true before the kill.
    void changed.then(() => writeSync(1, `+ ${n}\n`));
    if (n % 4 === 0) await changed;
  } else if (isRemoved) records.removeLater(key);
  else records.putLater(key, { n, padding });
  if (n % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
}
