import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let found: readonly string[] | undefined;

/** Arguments of node that run our program: the built one where it is newer than its sources, else the sources. */
export function entryPoint(): readonly string[] {
  found ??= isBuilt() ? [join(ROOT, 'dist/main.js')] : ['--import', 'tsx', join(ROOT, 'src/main.ts')];
  return found;
}

function isBuilt(): boolean {
  const built = join(ROOT, 'dist/main.js');
  if (!existsSync(built)) return false;
  const builtAtMs = statSync(built).mtimeMs;
  const source = join(ROOT, 'src');
  return !readdirSync(source, { recursive: true, encoding: 'utf8' }).some(
    (name) => name.endsWith('.ts') && statSync(join(source, name)).mtimeMs > builtAtMs,
  );
}
