import type { Address } from '../../cpim/address.ts';

/** Who gives a command; that he is who he says has been proved. */
export type Caller = {
  readonly address: Address;
  /** The user of ours that he is, or speaks for; absent: somebody of a peer. */
  readonly user?: Address;
};

/** What has been given so far: the values of arguments by their names. */
export type Given = ReadonlyMap<string, string>;

export type Choice = { readonly value: string; readonly label: string };

/** One thing that a command wants to know. */
export type CommandArgument = {
  readonly name: string;
  readonly label: string;
  readonly isRequired: boolean;
  /** What may be chosen; absent: any text of one word. */
  readonly choices?: (caller: Caller, given: Given) => readonly Choice[] | Promise<readonly Choice[]>;
  /** Whether it is wanted at all, after what was given before; absent: always. */
  readonly isWanted?: (given: Given) => boolean;
};

export type CommandAnswer = {
  /** Each without a line break; for people. */
  readonly lines: readonly string[];
  /** That nothing was done, and why. */
  readonly isRefusal?: true;
};

/**
 * A command that a user may give, however he gives it: as a message, or in steps as his client asks for each argument.
 * Its words are its name: `link account`.
 */
export type Command = {
  readonly name: string;
  readonly title: string;
  /** One line for `help`. */
  readonly about: string;
  /** How it is written as a message. */
  readonly usage: string;
  /** For users of ours alone. */
  readonly isForUsers: boolean;
  /** In the order in which they are written. */
  readonly args: readonly CommandArgument[];
  /** @throws GatewayError, also later, with `details.text` for him who called. */
  readonly run: (caller: Caller, given: Given) => CommandAnswer | Promise<CommandAnswer>;
};

export function answered(...lines: readonly string[]): CommandAnswer {
  return { lines };
}

export function refused(...lines: readonly string[]): CommandAnswer {
  return { lines, isRefusal: true };
}

/** The first argument that is wanted and not yet given. */
export function nextArgument({ args }: Command, given: Given): CommandArgument | undefined {
  return args.find(({ name, isWanted }) => !given.has(name) && isWanted?.(given) !== false);
}
