/** Looking at values of the configuration before it is known that they have the right types. */
import { valueAt, type ConfigPath } from './faults.ts';
import { parseDomain } from './values.ts';

export function listAt(values: unknown, path: ConfigPath): ReadonlyArray<{ value: unknown; path: ConfigPath }> {
  const list = valueAt(values, path);
  return Array.isArray(list) ? list.map((value: unknown, at) => ({ value, path: [...path, at] })) : [];
}

export function recordAt(values: unknown, path: ConfigPath): Record<string, unknown> {
  const record = valueAt(values, path);
  return typeof record === 'object' && record !== null && !Array.isArray(record)
    ? (record as Record<string, unknown>)
    : {};
}

export function textAt(values: unknown, path: ConfigPath): string | undefined {
  const value = valueAt(values, path);
  return typeof value === 'string' ? value : undefined;
}

export function domainAt(values: unknown, path: ConfigPath): string | undefined {
  const value = textAt(values, path);
  return value === undefined ? undefined : parseDomain(value);
}
