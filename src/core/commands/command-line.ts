import type { Caller, Choice, Command, Given } from './command.ts';

/** What a text asks for. */
export type CommandLine =
  | { readonly kind: 'command'; readonly command: Command; readonly given: Given }
  /** It names a command and says too little, or what the command does not know. */
  | { readonly kind: 'wrong'; readonly command: Command; readonly fault: string }
  | { readonly kind: 'unknown' };

const LINE_MAX = 2_000;
const WORDS_MAX = 20;

/**
 * Reads a text as a command: its name, in capitals or not, with `/` or `!` before it or not; then its arguments, a word
 * each. Arguments that are left out and have a choice of their own are taken as the first of it.
 */
export async function readCommandLine(
  text: string,
  commands: readonly Command[],
  caller: Caller,
): Promise<CommandLine> {
  const words = text.slice(0, LINE_MAX).trim().replace(/^[/!]/, '').split(/\s+/, WORDS_MAX);
  const command = commands.find(({ name }) => isName(words, name.split(' ')));
  if (command === undefined) return { kind: 'unknown' };
  const rest = words.slice(command.name.split(' ').length);
  const given = new Map<string, string>();
  for (const { name, isRequired, isWanted, choices } of command.args) {
    if (isWanted?.(given) === false) continue;
    const word = rest[0];
    const known = await choices?.(caller, given);
    if (word === undefined) {
      const [first] = known ?? [];
      if (isRequired && first === undefined) return { kind: 'wrong', command, fault: `${name} is missing` };
      if (isRequired && first !== undefined) given.set(name, first.value);
      continue;
    }
    rest.shift();
    const value = known === undefined ? word : chosen(word, known, isRequired);
    if (value === undefined) return { kind: 'wrong', command, fault: `${name} cannot be ${word.slice(0, 60)}` };
    given.set(name, value);
  }
  if (rest.length > 0) return { kind: 'wrong', command, fault: `${rest[0]?.slice(0, 60) ?? ''} is too much` };
  return { kind: 'command', command, given };
}

function isName(words: readonly string[], name: readonly string[]): boolean {
  return name.every((word, at) => words[at]?.toLowerCase() === word);
}

/** One of what is offered; where it is offered only to help, whatever was written. */
function chosen(word: string, choices: readonly Choice[], isRequired: boolean): string | undefined {
  const found =
    choices.find(({ value }) => value === word) ?? choices.find(({ value }) => value === word.toLowerCase());
  return found?.value ?? (isRequired ? undefined : word);
}
