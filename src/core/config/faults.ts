import * as z from 'zod';
import { ConfigSchema } from './schema.ts';

/** Where in the file's values: keys and list positions from the top. */
export type ConfigPath = ReadonlyArray<string | number>;

/** One thing wrong with the values, before it has a line. */
export type ValueFault = { readonly path: ConfigPath; readonly text: string; readonly atKey?: true };

/** A schema as data (JSON Schema), as far as the faults and the reference look at it. */
export type SchemaNode = {
  readonly type?: string;
  readonly description?: string;
  /** What a text looks like, in words. */
  readonly form?: string;
  readonly default?: unknown;
  readonly sample?: unknown;
  readonly commented?: boolean;
  readonly shown?: boolean;
  readonly const?: string | number;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | false;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
};

/** Shapes that are told apart by a key are alternatives like any others here. */
export const SCHEMA_TREE = JSON.parse(
  JSON.stringify(z.toJSONSchema(ConfigSchema, { io: 'input' })).replaceAll('"oneOf":', '"anyOf":'),
) as SchemaNode;

/** Everything that the schema finds wrong with the values, one fault each. */
export function schemaFaults(values: unknown, shownValues: unknown, issues: readonly z.core.$ZodIssue[]): ValueFault[] {
  return issues.flatMap((issue) => faultsOf(values, shownValues, issue, []));
}

function faultsOf(values: unknown, shownValues: unknown, issue: z.core.$ZodIssue, base: ConfigPath): ValueFault[] {
  const path: ConfigPath = [...base, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], atKey: true, text: unknownKey(path, key, values) }));
  }
  if (issue.code === 'invalid_union') {
    // Of several shapes the one that was meant is the one whose outermost type fits.
    const meant = issue.errors.find(
      (branch) => !branch.some((inner) => inner.path.length === 0 && isWrongShape(inner)),
    );
    if (meant !== undefined) return meant.flatMap((inner) => faultsOf(values, shownValues, inner, path));
  }
  const found = valueAt(values, path);
  const expected = expectation(issue, path, values);
  if (found === undefined) return [{ path, text: `is missing; expected ${expected}` }];
  return [{ path, text: `found ${shown(valueAt(shownValues, path), path)}, expected ${expected}` }];
}

function isWrongShape(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_value';
}

function expectation(issue: z.core.$ZodIssue, path: ConfigPath, values: unknown): string {
  if (issue.code === 'custom') return issue.message;
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined) {
    const kinds = (schemaAt(path.slice(0, -1))?.anyOf ?? []).map((shape) => shape.properties?.['type']?.const ?? '');
    return `one of ${kinds.join(', ')}`;
  }
  const node = schemaAt(path, values);
  if (issue.code === 'too_small' && issue.origin === 'array' && node?.items !== undefined) {
    return `a list with at least ${issue.minimum} of: ${describeType(node.items)}`;
  }
  return node === undefined ? issue.message : describeType(node);
}

/** What a value may be, in words: `a whole number from 1 to 65535`, `one of error, warn`. */
export function describeType(node: SchemaNode): string {
  if (node.const !== undefined) return `${node.const}`;
  if (node.enum !== undefined) return `one of ${node.enum.map(String).join(', ')}`;
  if (node.anyOf !== undefined) return node.anyOf.map(describeType).join(' or ');
  switch (node.type) {
    case 'integer':
      return `a whole number${range(node)}`;
    case 'number':
      return `a number${range(node)}`;
    case 'string':
      return node.form ?? 'a text';
    case 'array':
      return `a list (${node.items === undefined ? 'anything' : describeType(node.items)})`;
    case 'boolean':
      return 'true or false';
    case 'object':
      return `a section with ${keysOf(node).length === 0 ? 'names of your own' : keysOf(node).join(', ')}`;
    case undefined:
    default:
      return 'another type';
  }
}

function range(node: SchemaNode): string {
  const from = node.minimum ?? (node.exclusiveMinimum === undefined ? undefined : `above ${node.exclusiveMinimum}`);
  // JSON Schema gives every unbounded integer the bounds of a safe one, which says nothing to an operator.
  const to = node.maximum === Number.MAX_SAFE_INTEGER ? undefined : node.maximum;
  if (from !== undefined && to !== undefined)
    return typeof from === 'number' ? ` from ${from} to ${to}` : ` ${from}, up to ${to}`;
  if (from !== undefined) return typeof from === 'number' ? `, at least ${from}` : ` ${from}`;
  return to === undefined ? '' : `, at most ${to}`;
}

/** Keys of earlier versions, and where what they said is said now. */
const MOVED: Readonly<Record<string, string>> = {
  'queue.redis': 'moved to `store`: write store: { type: redis, url: ... }, which keeps the queue and everything else',
};

function unknownKey(path: ConfigPath, key: string, values: unknown): string {
  const moved = MOVED[[...path, key].join('.')];
  if (moved !== undefined) return moved;
  const keys = keysOf(schemaAt(path, values) ?? {}, valueAt(values, path));
  return `unknown key, expected one of ${keys.join(', ')}${near(key, keys)}`;
}

/**
 * The schema for the values at a path; undefined where there is none.
 *
 * @param values what stands in the file: of several shapes that `type` tells apart, the one meant there is taken
 */
export function schemaAt(path: ConfigPath, values?: unknown): SchemaNode | undefined {
  let node: SchemaNode | undefined = SCHEMA_TREE;
  for (const [depth, part] of path.entries()) {
    const shapes: readonly SchemaNode[] = node.anyOf ?? [node];
    const next: SchemaNode | undefined =
      typeof part === 'number'
        ? shapes.find((shape) => shape.items !== undefined)?.items
        : childOf(shapeFor(node, valueAt(values, path.slice(0, depth))), part);
    if (next === undefined) return undefined;
    node = next;
  }
  return node;
}

function shapeFor(node: SchemaNode, value: unknown): SchemaNode | undefined {
  const sections = (node.anyOf ?? [node]).filter((shape) => shape.type === 'object');
  const type = valueAt(value, ['type']);
  return sections.find((shape) => type !== undefined && shape.properties?.['type']?.const === type) ?? sections[0];
}

function childOf(node: SchemaNode | undefined, key: string): SchemaNode | undefined {
  if (node === undefined) return undefined;
  if (node.properties !== undefined && Object.hasOwn(node.properties, key)) return node.properties[key];
  return node.additionalProperties === false ? undefined : node.additionalProperties;
}

function keysOf(node: SchemaNode, value?: unknown): readonly string[] {
  return Object.keys((shapeFor(node, value) ?? node).properties ?? {});
}

export function valueAt(values: unknown, path: ConfigPath): unknown {
  let value = values;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

/** What names a Redis may have a password in it. */
const SECRET_KEY = /^(?:secret|token|password|sentinelPassword|url|sentinels|cluster)$/;

const PLACE_KEY = /^(?:url|sentinels|cluster)$/;

/** A value as a fault may show it: short, and never a secret. */
function shown(value: unknown, path: ConfigPath): string {
  const isSecret = path.some((part) => SECRET_KEY.test(String(part))) || path.join('.') === 'accounts.key';
  if (isSecret && typeof value === 'string') {
    return (path.some((part) => PLACE_KEY.test(String(part))) ? shownPlace(value) : undefined) ?? 'a text';
  }
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a section';
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}...` : value}'`;
  return JSON.stringify(value);
}

/** A place without what may be a password in it; undefined where that cannot be told apart. */
function shownPlace(value: string): string | undefined {
  const place =
    /^[a-z]{1,10}:\/\/(?:.*@)?((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,6})?(?:\/[A-Za-z0-9]{0,10})?)$/.exec(
      value,
    );
  if (place === null) return undefined;
  const [, where = ''] = place;
  return `'${value.slice(0, value.indexOf('://') + 3)}${value.includes('@') ? '...@' : ''}${where}'`;
}

/** The candidate that may have been meant, as the end of a fault; nothing where there is none. */
export function near(word: string, candidates: readonly string[]): string {
  const found = nearest(word, candidates);
  return found === undefined ? '' : `; did you mean ${found}?`;
}

/** The candidate closest to `word`, when so close that it may have been meant: at most a third of its letters differ. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(word.slice(0, 64).toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  if (best === undefined) return undefined;
  return bestDistance <= Math.max(1, Math.ceil(Math.max(word.length, best.length) / 3)) ? best : undefined;
}

/** How many letters must be put in, taken out, changed, or swapped with their neighbour (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
