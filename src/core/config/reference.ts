import { stringify } from 'yaml';
import { describeType, SCHEMA_TREE, type SchemaNode } from './faults.ts';

/** One key of the reference, in the order of the schema. */
type Entry = { readonly path: string; readonly node: SchemaNode; readonly isRequired: boolean };

/** docs/config.md: every key with its type, default and meaning, as Markdown. */
export function configReference(): string {
  const rows = entriesOf(SCHEMA_TREE, '').map(
    ({ path, node, isRequired }) =>
      `| \`${path}\` | ${cell(typeText(node))} | ${defaultText(node, isRequired)} | ${cell(node.description ?? '')} |`,
  );
  return [
    '# Configuration',
    '',
    'One YAML file, given as `--config FILE`. This page is generated from the schema that the server checks the file',
    'with; `config/example.yaml` is as well. `interpres check --config FILE` names every fault at once, each with line,',
    'column, key, what was expected and the nearest valid key. A key that is not listed here is a fault.',
    '',
    '- `${NAME}` in a text stands for the variable `NAME` of the environment; one that is not set is a fault.',
    '  `$${` stands for the characters `${`.',
    '- Relative paths start from the folder of the file.',
    '- A secret that manuals and examples use (`change-me`, `secret`, ...) is refused.',
    '- Domains are written in any capitals; other letters than ASCII may be written as they are or as `xn--` labels.',
    '',
    '`<name>` stands for a name of your own, `[]` for each entry of a list.',
    '',
    '| key | type | default | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** config/example.yaml: a file that starts as it is, each key with its meaning, those with a default as comments. */
export function exampleConfig(): string {
  return [
    '# Interpres: example configuration. Generated from the schema; docs/config.md is the reference.',
    '# Starts as it is: SIP on loopback, an embedded store, no peers. Lines that begin with "#" before a key show its',
    '# default, or an example where it has none. ${NAME} in a value is taken from the environment.',
    '',
    ...exampleLines(),
  ].join('\n');
}

function entriesOf(node: SchemaNode, path: string): Entry[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const here = path === '' ? key : `${path}.${key}`;
    const isRequired = node.required?.includes(key) === true;
    return [{ path: here, node: child, isRequired }, ...childEntries(child, here)];
  });
}

function childEntries(node: SchemaNode, path: string): Entry[] {
  if (node.properties !== undefined) return entriesOf(node, path);
  if (node.anyOf !== undefined) return node.anyOf.flatMap((shape) => childEntries(shape, path));
  if (node.items !== undefined) return childEntries(node.items, `${path}[]`);
  const inner = node.additionalProperties;
  return inner === undefined || inner === false ? [] : childEntries(inner, `${path}.<name>`);
}

function typeText(node: SchemaNode): string {
  if (node.type === 'object') return 'section';
  if (node.anyOf !== undefined) return node.anyOf.map(typeText).join(' or ');
  if (node.type === 'array') return `list of ${node.items === undefined ? 'anything' : typeText(node.items)}`;
  return node.form ?? describeType(node).replace(/^an? /, '');
}

function defaultText(node: SchemaNode, isRequired: boolean): string {
  if (isRequired) return 'required';
  if (node.default === undefined || node.properties !== undefined || isSection(node)) return '';
  if (Array.isArray(node.default) && node.default.length === 0) return 'none';
  if (typeof node.default === 'object' && node.default !== null && Object.keys(node.default).length === 0)
    return 'none';
  return `\`${JSON.stringify(node.default).replaceAll('"', '')}\``;
}

function isSection(node: SchemaNode): boolean {
  return node.anyOf?.some((shape) => shape.properties !== undefined) === true;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** A line of the example: about lines are comments for good, key lines may be commented out. */
type Line = { readonly indent: number; readonly text: string; readonly kind: 'about' | 'key' };

const WIDTH = 110;

function exampleLines(): string[] {
  const { required = [], properties = {} } = SCHEMA_TREE;
  return Object.entries(properties).flatMap(([key, node]) => {
    const isShown = required.includes(key) || node.shown === true;
    const lines = keyLines(key, node, 0);
    return [...lines.flatMap((line) => written(line, isShown && !line.isOptional)), ''];
  });
}

/** What a link of each kind might be called. */
const SAMPLE_NAMES: Readonly<Record<string, string>> = {
  'xmpp-component': 'office',
  'xmpp-account': 'public',
  'xmpp-s2s': 'federation',
};

type KeyLine = Line & { readonly isOptional: boolean };

function written({ indent, text, kind }: Line, isShown: boolean): string[] {
  const margin = ' '.repeat(indent);
  if (kind === 'key') return [`${isShown ? '' : '#'}${margin}${text}`];
  return wrapped(text, WIDTH - indent).map((line) => `${margin}# ${line}`);
}

/** The lines of a key and what is under it. */
function keyLines(key: string, node: SchemaNode, indent: number, isOptional = false): KeyLine[] {
  const about: KeyLine = { indent, text: node.description ?? key, kind: 'about', isOptional };
  const line = (text: string, at = indent): KeyLine => ({ indent: at, text, kind: 'key', isOptional });
  // Fits only where another choice is made than the example's: a comment even when the section is taken.
  if (node.commented === true) {
    return [about, ...yamlOf(key, node).map((text): KeyLine => ({ ...line(text), kind: 'about' }))];
  }
  const section = sectionOf(node);
  if (section !== undefined) return [about, line(`${key}:`), ...sectionLines(section, indent + 2, isOptional)];
  const named = node.additionalProperties === false ? undefined : node.additionalProperties;
  if (named !== undefined) {
    const shapes = named.anyOf ?? [named];
    return [
      about,
      line(`${key}:`),
      ...shapes.flatMap((shape, at): KeyLine[] => {
        // The first kind is the example; the others stand beside it as comments.
        const isOther = isOptional || at > 0;
        const name = SAMPLE_NAMES[`${shape.properties?.['type']?.const ?? ''}`] ?? 'office';
        return [{ ...line(`${name}:`, indent + 2), isOptional: isOther }, ...sectionLines(shape, indent + 4, isOther)];
      }),
    ];
  }
  if (node.items?.properties !== undefined) {
    return [about, line(`${key}:`), ...asItem(sectionLines(node.items, indent + 4, isOptional))];
  }
  return [about, ...yamlOf(key, node).map((text) => line(text))];
}

function sectionLines(node: SchemaNode, indent: number, isOptional: boolean): KeyLine[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const isRequired = node.required?.includes(key) === true || child.shown === true;
    return keyLines(key, child, indent, isOptional || !isRequired);
  });
}

/** The lines of a section as one entry of a list. */
function asItem(lines: readonly KeyLine[]): KeyLine[] {
  const first = lines.findIndex(({ kind }) => kind === 'key');
  return lines.map((line, at) => (at === first ? { ...line, indent: line.indent - 2, text: `- ${line.text}` } : line));
}

function sectionOf(node: SchemaNode): SchemaNode | undefined {
  return node.properties === undefined ? node.anyOf?.find((shape) => shape.properties !== undefined) : node;
}

function yamlOf(key: string, node: SchemaNode): string[] {
  const lines = stringify({ [key]: node.sample ?? node.default ?? '' }, { lineWidth: 0, singleQuote: true });
  return lines.trimEnd().split('\n');
}

/** A text in lines of at most so many characters, each indented as the first. */
function wrapped(text: string, width: number): string[] {
  const margin = /^ */.exec(text)?.[0] ?? '';
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 3 > width) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line].map((each) => margin + each);
}
