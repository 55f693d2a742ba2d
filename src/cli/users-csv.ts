import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { addressKey, type Address } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import type { ProfileChange } from '../core/directory/profile.ts';
import type { Credential } from '../core/ports.ts';
import { credentialOf } from '../sip/digest.ts';
import { CommandError } from './command-error.ts';
import { passwordFault } from './password.ts';
import { changeFrom, type ProfileChanges } from './profiles.ts';
import { reservedFault } from './reserved-name.ts';
import { userNamed } from './user-address.ts';

const LINES_MAX = 1_000_000;
/** So many faulty lines are named; the rest is counted. */
const FAULTS_SHOWN_MAX = 50;

/** What may stand in the first line behind `address,password`. */
const PROFILE_COLUMNS = ['name', 'email', 'phone', 'homepage', 'avatar'] as const;
type ProfileColumn = (typeof PROFILE_COLUMNS)[number];

export type UsersCsv = { readonly users: readonly Credential[]; readonly changes: ProfileChanges };

type Found = { readonly credential: Credential; readonly user: Address; readonly change?: ProfileChange };

/**
 * Reads `address,password` lines (RFC 4180 without line breaks in fields). Empty lines and lines that begin with `#` are
 * passed over. A first line `address,password` may name more columns: name, email, phone, homepage, avatar (a file, from
 * the folder of this one on); what is empty there stays as it is.
 *
 * @throws CommandError naming every faulty line: nothing of such a file is to be used.
 */
export async function readUsersCsv(file: string, config: Config): Promise<UsersCsv> {
  const found = new Map<string, Found & { readonly line: number }>();
  let columns: readonly ProfileColumn[] = [];
  const faults: string[] = [];
  let number = 0;
  for await (const text of linesOf(file)) {
    number += 1;
    const line = number === 1 ? text.replace(/^\uFEFF/, '') : text;
    if (line.trim() === '' || line.startsWith('#')) continue;
    try {
      const head = number === 1 ? columnsFrom(line) : undefined;
      if (head !== undefined) {
        columns = head;
        continue;
      }
      const one = userFrom(line, columns, dirname(file), config);
      const key = one.credential.user;
      const before = found.get(key);
      if (before === undefined) found.set(key, { ...one, line: number });
      else faults.push(`${number}: ${key} is on line ${before.line} already`);
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
  const all = [...found.values()];
  return {
    users: all.map(({ credential }) => credential),
    changes: all.flatMap(({ user, change }) => (change === undefined ? [] : [[user, change] as const])),
  };
}

/** The columns that a first line names behind the two there always are; undefined where it is none. */
function columnsFrom(line: string): readonly ProfileColumn[] | undefined {
  const [address, password, ...more] = line.split(',').map((name) => name.trim().toLowerCase());
  if (address !== 'address' || password !== 'password') return undefined;
  return more.map((name) => {
    const column = PROFILE_COLUMNS.find((known) => known === name);
    if (column === undefined) {
      throw new CommandError(`found the column ${name}, expected one of ${PROFILE_COLUMNS.join(', ')}`);
    }
    return column;
  });
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

function userFrom(line: string, columns: readonly ProfileColumn[], folder: string, config: Config): Found {
  const [address, password, ...more] = fieldsOf(line) ?? [];
  if (address === undefined || password === undefined || more.length > columns.length) {
    throw new CommandError(`expected ${['address', 'password', ...columns].join(',')}`);
  }
  if (line.includes('\uFFFD')) throw new CommandError('is no UTF-8');
  const user = userNamed(address.trim(), config);
  const key = addressKey(user);
  const fault = passwordFault(password) ?? reservedFault(user, config);
  if (fault !== undefined) throw new CommandError(`${key}: ${fault}`);
  const options: Partial<Record<ProfileColumn, string>> = {};
  columns.forEach((column, at) => {
    const text = more[at]?.trim() ?? '';
    if (text !== '') options[column] = column === 'avatar' ? resolve(folder, text) : text;
  });
  const change = changeFrom(options, config);
  return { user, credential: credentialOf(user, password), ...(change === undefined ? {} : { change }) };
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
