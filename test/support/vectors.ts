import { readFileSync } from 'node:fs';
import { test } from 'node:test';

/** One row of a vector file: what goes in, what must come out, and who says so. */
export type Vector<In, Out> = {
  readonly id: string;
  /** Document and section, or the reason why this project decided it so. */
  readonly source: string;
  readonly in: In;
  readonly out: Out;
  /** Why this row is not met yet. It is registered as a skipped test with this reason and not given to the caller. */
  readonly skip?: string;
};

/**
 * The rows of `test/vectors/<name>.json`, in order, those that are skipped left out (they show as skipped tests).
 *
 * The caller vouches for the types: the files are data, and a row of the wrong shape fails its own test.
 *
 * @throws Error when the file is no array, is empty, or two rows have one id
 */
export function loadVectors<In, Out>(name: string): ReadonlyArray<Vector<In, Out>> {
  const url = new URL(`../vectors/${name}.json`, import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(url, 'utf8'));
  if (!Array.isArray(parsed) || parsed.length === 0) throw new Error(`test/vectors/${name}.json holds no rows`);
  const rows = parsed as ReadonlyArray<Vector<In, Out>>;
  const ids = new Set(rows.map((row) => row.id));
  if (ids.size !== rows.length) throw new Error(`test/vectors/${name}.json uses an id twice`);
  for (const row of rows) {
    if (row.skip !== undefined) test(`${name}: ${row.id} (${row.source})`, { skip: row.skip }, () => undefined);
  }
  return rows.filter((row) => row.skip === undefined);
}
