import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { addressKey } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import type { Credential } from '../core/ports.ts';
import { credentialOf } from '../sip/digest.ts';
import { CommandError } from './command-error.ts';
import { passwordFault } from './password.ts';
import { userNamed } from './user-address.ts';

const LINES_MAX = 1_000_000;
/** So many faulty lines are named; the rest is counted. */
const FAULTS_SHOWN_MAX = 50;

/**
 * Reads `address,password` lines (RFC 4180 without line breaks in fields). Empty lines, lines that begin with `#`, and
 * a first line `address,password` are passed over.
 *
 * @throws CommandError naming every faulty line: nothing of such a file is to be used.
 */
export async function readUsersCsv(file: string, config: Config): Promise<readonly Credential[]> {
  const found = new Map<string, { readonly line: number; readonly credential: Credential }>();
  const faults: string[] = [];
  let number = 0;
  for await (const text of linesOf(file)) {
    number += 1;
    const line = number === 1 ? text.replace(/^\uFEFF/, '') : text;
    if (line.trim() === '' || line.startsWith('#')) continue;
    if (number === 1 && line.trim().toLowerCase() === 'address,password') continue;
    try {
      const credential = credentialFrom(line, config);
      const before = found.get(credential.user);
      if (before === undefined) found.set(credential.user, { line: number, credential });
      else faults.push(`${number}: ${credential.user} is on line ${before.line} already`);
    } catch (thrown) {
      if (!(thrown instanceof CommandError)) throw thrown;
      faults.push(`${number}: ${thrown.message}`);
    }
  }
  if (faults.length > 0) {
    const shown = faults.slice(0, FAULTS_SHOWN_MAX).map((fault) => `${file}:${fault}`);
    const more = faults.length > shown.length ? [`... and ${faults.length - shown.length} more`] : [];
    throw new CommandError([...shown, ...more, 'nothing was imported'].join('\n'));
  }
  return [...found.values()].map(({ credential }) => credential);
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const input = createReadStream(file, 'utf8');
  let count = 0;
  try {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      count += 1;
      if (count > LINES_MAX) throw new CommandError(`${file}: more than ${LINES_MAX} lines`);
      yield line;
    }
  } catch (thrown) {
    if (thrown instanceof CommandError) throw thrown;
    throw new CommandError(`cannot read ${file}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  } finally {
    input.destroy();
  }
}

function credentialFrom(line: string, config: Config): Credential {
  const [address, password, ...more] = fieldsOf(line) ?? [];
  if (address === undefined || password === undefined || more.length > 0) {
    throw new CommandError('expected address,password');
  }
  if (line.includes('\uFFFD')) throw new CommandError('is no UTF-8');
  const user = userNamed(address.trim(), config);
  const fault = passwordFault(password);
  if (fault !== undefined) throw new CommandError(`${addressKey(user)}: ${fault}`);
  return credentialOf(user, password);
}

/** The fields of a line; undefined when a quote is not closed or stands where none may. */
function fieldsOf(line: string): string[] | undefined {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === '"') {
      let text = '';
      let end = at + 1;
      for (;;) {
        const quote = line.indexOf('"', end);
        if (quote < 0) return undefined;
        text += line.slice(end, quote);
        end = quote + 1;
        if (line[end] !== '"') break;
        text += '"';
        end += 1;
      }
      fields.push(text);
      if (end === line.length) return fields;
      if (line[end] !== ',') return undefined;
      at = end + 1;
    } else {
      const comma = line.indexOf(',', at);
      if (comma < 0) return [...fields, line.slice(at)];
      fields.push(line.slice(at, comma));
      at = comma + 1;
    }
  }
}
