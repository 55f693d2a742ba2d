import { createInterface } from 'node:readline';
import { CommandError } from './command-error.ts';

const PASSWORD_CHARACTERS_MAX = 1024;

/** What is wrong with a password; undefined when nothing is. */
export function passwordFault(password: string): string | undefined {
  if (password === '') return 'the password is empty';
  if (password.length > PASSWORD_CHARACTERS_MAX) {
    return `the password is longer than ${PASSWORD_CHARACTERS_MAX} characters`;
  }
  return undefined;
}

/**
 * The password that was given, else one line of standard input; on a terminal it is asked for and not shown.
 *
 * @param shownUser whose, for the question and the fault
 * @throws CommandError when there is none, or none that can be used.
 */
export async function passwordFor(shownUser: string, given: string | undefined): Promise<string> {
  const password = given ?? (process.stdin.isTTY ? await askedPassword(shownUser) : await pipedPassword());
  const fault = passwordFault(password);
  if (fault !== undefined) throw new CommandError(`${shownUser}: ${fault}`);
  return password;
}

async function pipedPassword(): Promise<string> {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) return line;
  throw new CommandError('no password on standard input');
}

async function askedPassword(shownUser: string): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(`password of ${shownUser}: `);
  stdin.setRawMode(true);
  try {
    return await typedLine();
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

/** Reads keys until Enter without showing them. Ctrl-C and Ctrl-D give up. */
function typedLine(): Promise<string> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    let typed = '';
    stdin.setEncoding('utf8');
    stdin.on('data', (keys: string) => {
      for (const key of keys) {
        if (key === '\r' || key === '\n') {
          resolve(typed);
          return;
        }
        if (key === '\u0003' || key === '\u0004') {
          reject(new CommandError('given up'));
          return;
        }
        typed = key === '\u007f' || key === '\b' ? typed.slice(0, -1) : typed + key;
      }
    });
    stdin.once('end', () => reject(new CommandError('no password was typed')));
  });
}
