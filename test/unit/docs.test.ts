import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);

for (const document of ['docs/flows.md', 'CONFORMANCE.md', 'README.md', 'CONTRIBUTING.md']) {
  test(`docs: every file that ${document} names is there`, () => {
    const text = readFileSync(new URL(document, root), 'utf8');
    const named = [...text.matchAll(/[`(]((?:src|test|docs|config|scripts|stubs)\/[\w./-]+\w)[`)]/g)].map(
      (match) => match[1]!,
    );
    assert.ok(named.length > 0);
    assert.deepEqual(
      named.filter((file) => !existsSync(new URL(file, root))),
      [],
    );
  });
}
