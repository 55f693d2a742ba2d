import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { addressKey, domainOf } from '../cpim/address.ts';
import type { Address } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import type { Credential, CredentialStore } from '../core/ports.ts';
import { credentialOf } from '../sip/digest.ts';
import { entityFromSipUri } from '../sip/map-address.ts';
import { parseSipUri } from '../sip/uri.ts';
import { openCredentials } from '../store/sqlite-store.ts';
import { CommandError } from './command-error.ts';
import { loadConfig } from './load-config.ts';

const PASSWORD_CHARACTERS_MAX = 1024;
const IMPORT_LINES_MAX = 1_000_000;
const LIST_PAGE = 1000;

/** Adds a user; one that exists is refused, so that a slip of the keyboard takes nobody's password away. */
export async function addUser(configPath: string, address: string, password: string | undefined): Promise<void> {
  await store(configPath, async (credentials, config) => {
    const user = userOf(address, config);
    if (credentials.find(addressKey(user)) !== undefined) {
      throw new CommandError(`${address} exists; change its password with: interpres users passwd ${address}`);
    }
    await credentials.put([credentialOf(user, await passwordFor(address, password))]);
    process.stdout.write(`added ${address}\n`);
  });
}

export async function changePassword(configPath: string, address: string, password: string | undefined): Promise<void> {
  await store(configPath, async (credentials, config) => {
    const user = userOf(address, config);
    if (credentials.find(addressKey(user)) === undefined) throw unknownUser(address);
    await credentials.put([credentialOf(user, await passwordFor(address, password))]);
    process.stdout.write(`changed the password of ${address}\n`);
  });
}

export async function removeUser(configPath: string, address: string): Promise<void> {
  await store(configPath, async (credentials, config) => {
    if (!(await credentials.remove(addressKey(userOf(address, config))))) throw unknownUser(address);
    process.stdout.write(`removed ${address}\n`);
  });
}

export async function listUsers(configPath: string): Promise<void> {
  await store(configPath, (credentials) => {
    for (let after: string | undefined; ;) {
      const page = credentials.list(LIST_PAGE, after);
      for (const user of page) process.stdout.write(`sip:${user}\n`);
      after = page.at(-1);
      if (page.length < LIST_PAGE) return;
    }
  });
}

/** Adds or overwrites every user of a CSV file, all or none; a faulty file is refused with every faulty line named. */
export async function importUsers(configPath: string, file: string): Promise<void> {
  await store(configPath, async (credentials, config) => {
    const { found, faults } = await readUsers(file, config);
    if (faults.length > 0) {
      const shown = faults.slice(0, 50).map((fault) => `${file}:${fault}`);
      const more = faults.length > shown.length ? [`... and ${faults.length - shown.length} more`] : [];
      throw new CommandError([...shown, ...more, 'nothing was imported'].join('\n'));
    }
    await credentials.put([...found.values()]);
    process.stdout.write(`imported ${found.size} users\n`);
  });
}

async function readUsers(
  file: string,
  config: Config,
): Promise<{ found: Map<string, Credential>; faults: readonly string[] }> {
  const found = new Map<string, Credential>();
  const faults: string[] = [];
  const input = createReadStream(file, 'utf8');
  let number = 0;
  try {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      number += 1;
      if (number > IMPORT_LINES_MAX) throw new CommandError(`${file}: more than ${IMPORT_LINES_MAX} lines`);
      if (line.trim() === '' || line.startsWith('#')) continue;
      const fields = fieldsOf(line);
      const [address, password] = fields ?? [];
      if (fields === undefined || fields.length !== 2 || address === undefined || password === undefined) {
        faults.push(`${number}: expected address,password`);
        continue;
      }
      try {
        const user = userOf(address.trim(), config);
        checkPassword(address, password);
        found.set(addressKey(user), credentialOf(user, password));
      } catch (thrown) {
        if (!(thrown instanceof CommandError)) throw thrown;
        faults.push(`${number}: ${thrown.message}`);
      }
    }
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    throw new CommandError(`cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  return { found, faults };
}

/** One CSV line (RFC 4180 without line breaks in fields); undefined when a quote is not closed or misplaced. */
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

async function store(
  configPath: string,
  work: (credentials: CredentialStore, config: Config) => Promise<void> | void,
): Promise<void> {
  const config = loadConfig(configPath);
  await mkdir(config.data, { recursive: true, mode: 0o700 });
  const opened = await openCredentials(config.data);
  try {
    await work(opened.credentials, config);
  } finally {
    await opened.close();
  }
}

/** The user that an argument names: a SIP URI or plain `user@domain`, in one of our domains. */
function userOf(text: string, config: Config): Address {
  const uri = parseSipUri(/^sips?:/i.test(text) ? text : `sip:${text}`);
  const user = uri === undefined ? undefined : entityFromSipUri(uri).address;
  if (uri?.user === undefined || user === undefined) {
    throw new CommandError(`${text} is no SIP address; expected the form sip:alice@sip.example`);
  }
  const domains = config.domains.map((domain) => domain.name);
  if (!domains.includes(domainOf(user))) {
    throw new CommandError(`${text} is in none of our domains (${domains.join(', ')})`);
  }
  return user;
}

async function passwordFor(address: string, given: string | undefined): Promise<string> {
  const password = given ?? (await passwordFromInput(address));
  checkPassword(address, password);
  return password;
}

function checkPassword(address: string, password: string): void {
  if (password === '') throw new CommandError(`${address}: the password is empty`);
  if (password.length > PASSWORD_CHARACTERS_MAX) throw new CommandError(`${address}: the password is too long`);
}

/** One line of standard input; on a terminal it is asked for and not shown. */
async function passwordFromInput(address: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) {
    for await (const line of createInterface({ input: stdin })) return line;
    throw new CommandError('no password on standard input');
  }
  stderr.write(`password of ${address}: `);
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
        if (key === '\r' || key === '\n') return resolve(typed);
        if (key === '\u0003' || key === '\u0004') return reject(new CommandError('given up'));
        typed = key === '\u007f' || key === '\b' ? typed.slice(0, -1) : typed + key;
      }
    });
  });
}

function unknownUser(address: string): CommandError {
  return new CommandError(`there is no user ${address}; see: interpres users list`);
}
