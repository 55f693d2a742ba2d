import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { commandPath } from './peers.ts';

/** Schemas under `test/vectors/schemas`: `presence` is PIDF and all that stands in it. */
export type Schema = 'presence' | 'watcherinfo';

/**
 * What xmllint has against a document, one line a fault; empty for a valid one. Nothing is fetched. For tests that
 * `needs('xmllint')` lets run.
 */
export function schemaFaults(xml: string, schema: Schema): string[] {
  const path = fileURLToPath(new URL(`../vectors/schemas/${schema}.xsd`, import.meta.url));
  const run = spawnSync(commandPath('xmllint') ?? 'xmllint', ['--nonet', '--noout', '--schema', path, '-'], {
    input: xml,
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (run.error !== undefined) throw run.error;
  if (run.status === 0) return [];
  const faults = run.stderr
    .split('\n')
    .filter((line) => line !== '' && !/^- (validates|fails to validate)$/.test(line));
  return faults.length > 0 ? faults : [`xmllint ended with ${String(run.status ?? run.signal)}`];
}
