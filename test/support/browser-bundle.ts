import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What packages have for browsers in place of what they have for Node. */
const INSTEAD: ReadonlyArray<readonly [from: RegExp, to: string]> = [[/(\/debug\/src\/)index\.js$/, '$1browser.js']];
const REQUIRE = /\brequire\(\s*['"]([^'"]+)['"]\s*\)/g;

/**
 * A package written for Node's `require`, with all that it needs, as one script for a browser: it sets `globalThis[name]`.
 * As simple as can be: modules are found by their text, and run when they are first asked for.
 */
export function browserBundle(packageName: string, name: string): string {
  const modules = new Map<string, { readonly source: string; readonly needs: Readonly<Record<string, string>> }>();
  const add = (file: string): void => {
    if (modules.has(file)) return;
    const text = readFileSync(file, 'utf8');
    const source = file.endsWith('.json') ? `module.exports = ${text};` : text;
    const needs: Record<string, string> = {};
    modules.set(file, { source, needs });
    if (file.endsWith('.json')) return;
    for (const [, wanted = ''] of text.matchAll(REQUIRE)) {
      const found = fileOf(wanted, file);
      if (found === undefined) continue;
      needs[wanted] = found;
      add(found);
    }
  };
  const entry = createRequire(import.meta.url).resolve(packageName);
  add(entry);
  const table = [...modules].map(
    ([file, { source, needs }]) =>
      `${JSON.stringify(file)}: [function (require, module, exports) {\n${source}\n}, ${JSON.stringify(needs)}]`,
  );
  return `(() => {
const process = { env: {} };
globalThis.process ??= process;
const modules = {\n${table.join(',\n')}\n};
const made = {};
const run = (file) => {
  if (made[file] === undefined) {
    const module = (made[file] = { exports: {} });
    const [body, needs] = modules[file];
    body((wanted) => run(needs[wanted]), module, module.exports);
  }
  return made[file].exports;
};
globalThis[${JSON.stringify(name)}] = run(${JSON.stringify(entry)});
})();`;
}

/** Undefined for a module of Node that no package stands in for: whoever asks for it in a browser has no use for it. */
function fileOf(wanted: string, from: string): string | undefined {
  const require = createRequire(from);
  let found: string;
  try {
    // With the slash it is the package, and never the module of Node that has the same name.
    found = require.resolve(/^[a-z]+$/.test(wanted) ? `${wanted}/` : wanted);
  } catch {
    return undefined;
  }
  for (const [pattern, to] of INSTEAD) found = found.replace(pattern, to);
  return existsSync(found) ? found : join(dirname(from), wanted);
}
