/**
 * Extended regular expressions of POSIX as NAPTR records have them (RFC 6116, section 3.4.2; RFC 3402, section 3.2), for
 * texts as short as telephone numbers.
 *
 * Not those of the language: they come from whoever has the zone, and one that tries for ever must harm nobody. Bounded in
 * length, depth and steps. Of several ways to match, the first greedy one counts, where POSIX has the longest; for patterns
 * that are anchored at both ends, as those of ENUM are, it is the same.
 */
type Node =
  | { readonly kind: 'one'; readonly takes: (code: number) => boolean }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'group'; readonly index: number; readonly body: Node }
  | { readonly kind: 'all'; readonly items: readonly Node[] }
  | { readonly kind: 'any'; readonly options: readonly Node[] }
  | { readonly kind: 'repeat'; readonly body: Node; readonly min: number; readonly max: number };

/** What was found, and what each group has taken; `groups[0]` is all of it. */
export type PosixMatch = {
  readonly start: number;
  readonly end: number;
  readonly groups: ReadonlyArray<string | undefined>;
};

const PATTERN_LENGTH_MAX = 255;
const TEXT_LENGTH_MAX = 64;
const DEPTH_MAX = 8;
const GROUPS_MAX = 9;
/** RE_DUP_MAX of POSIX; that often no telephone number can be matched. */
const REPEAT_MAX = 255;
/** An honest pattern takes some hundred. */
const STEPS_MAX = 20_000;

/** Something in the pattern that is not understood, or takes too long. Never leaves this file. */
class Unfit extends Error {}

/** @returns undefined for a pattern that cannot be read, or a text that is too long; never throws */
export function posixMatch(pattern: string, text: string, ignoresCase = false): PosixMatch | undefined {
  if (pattern.length > PATTERN_LENGTH_MAX || text.length > TEXT_LENGTH_MAX) return undefined;
  try {
    const reader = new PatternReader(pattern, ignoresCase);
    return new Matcher(reader.read(), text).find();
  } catch (thrown) {
    if (thrown instanceof Unfit) return undefined;
    throw thrown;
  }
}

const CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /[A-Za-z0-9]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  digit: /[0-9]/,
  lower: /[a-z]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t\r\n\v\f]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

class PatternReader {
  readonly #pattern: string;
  readonly #ignoresCase: boolean;
  #at = 0;
  #groups = 0;

  constructor(pattern: string, ignoresCase: boolean) {
    this.#pattern = pattern;
    this.#ignoresCase = ignoresCase;
  }

  read(): Node {
    const node = this.#any(0);
    if (this.#at < this.#pattern.length) throw new Unfit('a closing parenthesis too many');
    return node;
  }

  #any(depth: number): Node {
    if (depth > DEPTH_MAX) throw new Unfit('too deep');
    const options = [this.#all(depth)];
    while (this.#pattern[this.#at] === '|') {
      this.#at++;
      options.push(this.#all(depth));
    }
    return options.length === 1 && options[0] !== undefined ? options[0] : { kind: 'any', options };
  }

  #all(depth: number): Node {
    const items: Node[] = [];
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== '|' && this.#pattern[this.#at] !== ')') {
      items.push(this.#repeated(this.#atom(depth)));
    }
    return { kind: 'all', items };
  }

  #atom(depth: number): Node {
    const character = this.#pattern.charAt(this.#at++);
    switch (character) {
      case '^':
        return { kind: 'start' };
      case '$':
        return { kind: 'end' };
      case '.':
        return { kind: 'one', takes: () => true };
      case '[':
        return this.#bracket();
      case '(': {
        const index = ++this.#groups;
        if (index > GROUPS_MAX) throw new Unfit('too many groups');
        const body = this.#any(depth + 1);
        if (this.#pattern[this.#at++] !== ')') throw new Unfit('an open parenthesis');
        return { kind: 'group', index, body };
      }
      case '*':
      case '+':
      case '?':
      case '{':
        throw new Unfit('nothing to repeat');
      case '\\': {
        const escaped = this.#pattern.charAt(this.#at++);
        if (escaped === '') throw new Unfit('a backslash at the end');
        // POSIX has no such classes; a digit would be a back reference, which no extended expression has.
        if (/[A-Za-z0-9]/.test(escaped)) throw new Unfit('an escape without a meaning');
        return this.#literal(escaped);
      }
      default:
        return this.#literal(character);
    }
  }

  #literal(character: string): Node {
    const code = character.charCodeAt(0);
    if (!this.#ignoresCase) return { kind: 'one', takes: (other) => other === code };
    const lower = lowerOf(code);
    return { kind: 'one', takes: (other) => lowerOf(other) === lower };
  }

  #repeated(body: Node): Node {
    let node = body;
    for (;;) {
      const bounds = this.#bounds();
      if (bounds === undefined) return node;
      if (node.kind === 'start' || node.kind === 'end') throw new Unfit('an anchor repeated');
      node = { kind: 'repeat', body: node, ...bounds };
    }
  }

  #bounds(): { min: number; max: number } | undefined {
    const character = this.#pattern[this.#at];
    if (character === '*' || character === '+' || character === '?') {
      this.#at++;
      return { min: character === '+' ? 1 : 0, max: character === '?' ? 1 : REPEAT_MAX };
    }
    if (character !== '{') return undefined;
    const found = /^\{(\d{1,3})(?:(,)(\d{1,3})?)?\}/.exec(this.#pattern.slice(this.#at, this.#at + 9));
    if (found === null) throw new Unfit('a brace that is no repetition');
    this.#at += found[0].length;
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === undefined ? REPEAT_MAX : Number(found[3]);
    if (min > max || max > REPEAT_MAX) throw new Unfit('bounds that cross');
    return { min, max };
  }

  #bracket(): Node {
    const isNegated = this.#pattern[this.#at] === '^';
    if (isNegated) this.#at++;
    const tests: Array<(code: number) => boolean> = [];
    for (let isFirst = true; ; isFirst = false) {
      const character = this.#pattern.charAt(this.#at);
      if (character === '') throw new Unfit('an open bracket');
      if (character === ']' && !isFirst) break;
      tests.push(this.#bracketItem(character));
    }
    this.#at++;
    const takes = (code: number): boolean => tests.some((test) => test(code));
    const either = this.#ignoresCase ? (code: number): boolean => takes(lowerOf(code)) || takes(upperOf(code)) : takes;
    return { kind: 'one', takes: isNegated ? (code) => !either(code) : either };
  }

  #bracketItem(character: string): (code: number) => boolean {
    const named = /^\[:([a-z]{1,8}):\]/.exec(this.#pattern.slice(this.#at, this.#at + 12));
    if (named !== null) {
      const known = CLASSES[named[1] ?? ''];
      if (known === undefined) throw new Unfit('a class without a meaning');
      this.#at += named[0].length;
      return (code) => known.test(String.fromCharCode(code));
    }
    if (/^\[[.=:]/.test(this.#pattern.slice(this.#at, this.#at + 2))) throw new Unfit('a collating element');
    const low = character.charCodeAt(0);
    this.#at++;
    const next = this.#pattern.charAt(this.#at + 1);
    if (this.#pattern[this.#at] !== '-' || next === ']' || next === '') return (code) => code === low;
    const high = next.charCodeAt(0);
    if (high < low || next === '[') throw new Unfit('a range that goes backwards');
    this.#at += 2;
    return (code) => code >= low && code <= high;
  }
}

class Matcher {
  readonly #node: Node;
  readonly #text: string;
  readonly #starts: Array<number | undefined> = [];
  readonly #ends: Array<number | undefined> = [];
  #steps = 0;

  constructor(node: Node, text: string) {
    this.#node = node;
    this.#text = text;
  }

  find(): PosixMatch | undefined {
    for (let start = 0; start <= this.#text.length; start++) {
      let end = -1;
      const isFound = this.#match(this.#node, start, (at) => {
        end = at;
        return true;
      });
      if (!isFound) continue;
      const groups: Array<string | undefined> = [this.#text.slice(start, end)];
      for (let index = 1; index <= GROUPS_MAX; index++) {
        const [from, to] = [this.#starts[index], this.#ends[index]];
        groups.push(from === undefined || to === undefined ? undefined : this.#text.slice(from, to));
      }
      return { start, end, groups };
    }
    return undefined;
  }

  #match(node: Node, at: number, then: (at: number) => boolean): boolean {
    if (++this.#steps > STEPS_MAX) throw new Unfit('it takes too long');
    switch (node.kind) {
      case 'one':
        return at < this.#text.length && node.takes(this.#text.charCodeAt(at)) && then(at + 1);
      case 'start':
        return at === 0 && then(at);
      case 'end':
        return at === this.#text.length && then(at);
      case 'all':
        return this.#sequence(node.items, 0, at, then);
      case 'any':
        return node.options.some((option) => this.#match(option, at, then));
      case 'group':
        return this.#group(node, at, then);
      case 'repeat':
        return this.#repeat(node, 0, at, then);
    }
  }

  #sequence(items: readonly Node[], index: number, at: number, then: (at: number) => boolean): boolean {
    const item = items[index];
    return item === undefined
      ? then(at)
      : this.#match(item, at, (next) => this.#sequence(items, index + 1, next, then));
  }

  #group({ index, body }: Node & { kind: 'group' }, at: number, then: (at: number) => boolean): boolean {
    const [start, end] = [this.#starts[index], this.#ends[index]];
    const isFound = this.#match(body, at, (next) => {
      const before = [this.#starts[index], this.#ends[index]];
      this.#starts[index] = at;
      this.#ends[index] = next;
      if (then(next)) return true;
      [this.#starts[index], this.#ends[index]] = before;
      return false;
    });
    if (!isFound) [this.#starts[index], this.#ends[index]] = [start, end];
    return isFound;
  }

  #repeat(node: Node & { kind: 'repeat' }, count: number, at: number, then: (at: number) => boolean): boolean {
    const goesOn =
      count < node.max &&
      this.#match(node.body, at, (next) => {
        // What takes nothing could be taken for ever.
        if (next === at && count >= node.min) return false;
        return this.#repeat(node, count + 1, next, then);
      });
    return goesOn || (count >= node.min && then(at));
  }
}

function lowerOf(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code;
}

function upperOf(code: number): number {
  return code >= 0x61 && code <= 0x7a ? code - 0x20 : code;
}
