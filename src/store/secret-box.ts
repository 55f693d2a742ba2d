import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SecretBox } from '../core/accounts.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';

export type SecretBoxOptions = {
  /** Keys in base64, separated by blanks or line ends; the first seals, all open. This or `keyFile`. */
  readonly keys?: string;
  /** A file with such keys, one a line. Made at first use where it is not there, for its owner alone. */
  readonly keyFile: string;
  /** Whether the file is made where it is not there; default true. */
  readonly isMade?: boolean;
  readonly log: Log;
};

type Key = { readonly id: string; readonly bytes: Buffer };

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';

/** Seals with AES-256-GCM. The keys are read when they are first needed, and stay in memory. */
export function createSecretBox(options: SecretBoxOptions): SecretBox {
  const { keyFile, log } = options;
  let keys: readonly Key[] | undefined;

  const existing = (): readonly Key[] => {
    if (keys !== undefined) return keys;
    if (options.keys !== undefined) return (keys = keysFrom(options.keys, 'accounts.key'));
    if (!existsSync(keyFile)) return [];
    const others = statSync(keyFile).mode & 0o077;
    if (others !== 0) log.warn({ file: keyFile }, 'key of the accounts can be read by others: chmod 600');
    return (keys = keysFrom(readText(keyFile), keyFile));
  };

  const current = (): Key => {
    const [first] = existing();
    if (first !== undefined) return first;
    if (options.isMade === false) {
      const text = `the key of the accounts is not in ${keyFile}: make one (openssl rand -base64 32), the same for every node`;
      throw new GatewayError('store-unavailable', text);
    }
    const made = randomBytes(KEY_BYTES).toString('base64');
    try {
      mkdirSync(dirname(keyFile), { recursive: true });
      writeFileSync(keyFile, `${made}\n`, { mode: 0o600, flag: 'wx' });
      chmodSync(keyFile, 0o600);
    } catch (cause) {
      throw new GatewayError('store-unavailable', `the key of the accounts cannot be written to ${keyFile}`, { cause });
    }
    log.info({ file: keyFile }, 'key of the accounts made: keep a copy of it apart from that of the data');
    keys = keysFrom(made, keyFile);
    return current();
  };

  return {
    seal(secret, about) {
      const { id, bytes } = current();
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, bytes, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(about, 'utf8'));
      const data = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return { key: id, nonce: nonce.toString('base64'), data: data.toString('base64') };
    },
    open(sealed, about) {
      const where = options.keys === undefined ? keyFile : 'accounts.key';
      const key = existing().find(({ id }) => id === sealed.key);
      if (key === undefined) {
        const text = `the key ${sealed.key} that a password is encrypted with is not in ${where}: put it back there, or give the password again`;
        throw new GatewayError('store-unavailable', text);
      }
      const data = Buffer.from(sealed.data, 'base64');
      try {
        const nonce = Buffer.from(sealed.nonce, 'base64');
        const decipher = createDecipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(Buffer.from(about, 'utf8'));
        decipher.setAuthTag(data.subarray(-TAG_BYTES));
        return Buffer.concat([decipher.update(data.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
      } catch (cause) {
        const text = 'an encrypted password was changed in the store, or belongs to another account: give it again';
        throw new GatewayError('store-unavailable', text, { cause });
      }
    },
    isOld: (sealed) => existing()[0]?.id !== sealed.key,
  };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new GatewayError('store-unavailable', `the key of the accounts cannot be read: ${reason}`, { cause });
  }
}

function keysFrom(text: string, where: string): readonly Key[] {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const keys = words.map((word) => {
    const bytes = Buffer.from(word, 'base64');
    if (bytes.length !== KEY_BYTES || !/^[A-Za-z0-9+/]{43}=$/.test(word)) {
      throw new GatewayError(
        'store-unavailable',
        `${where} holds something else than keys of 32 bytes in base64 (openssl rand -base64 32)`,
      );
    }
    return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 12), bytes };
  });
  if (keys.length === 0) throw new GatewayError('store-unavailable', `${where} holds no key`);
  return keys;
}
