import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SecretBox } from '../core/accounts.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { NONCE_BYTES, opened, sealed } from '../crypto/sealing.ts';

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
      const whole = sealed(bytes, randomBytes(NONCE_BYTES), about, Buffer.from(secret, 'utf8'));
      return {
        key: id,
        nonce: whole.toString('base64', 0, NONCE_BYTES),
        data: whole.toString('base64', NONCE_BYTES),
      };
    },
    open({ key: id, nonce, data }, about) {
      const where = options.keys === undefined ? keyFile : 'accounts.key';
      const key = existing().find((one) => one.id === id);
      if (key === undefined) {
        const text = `the key ${id} that a password is encrypted with is not in ${where}: put it back there, or give the password again`;
        throw new GatewayError('store-unavailable', text);
      }
      const plain = opened(
        key.bytes,
        about,
        Buffer.concat([Buffer.from(nonce, 'base64'), Buffer.from(data, 'base64')]),
      );
      if (plain !== undefined) return plain.toString('utf8');
      const text = 'an encrypted password was changed in the store, or belongs to another account: give it again';
      throw new GatewayError('store-unavailable', text);
    },
    isOld: ({ key }) => existing()[0]?.id !== key,
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
