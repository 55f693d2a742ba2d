import type { Credential, CredentialStore } from '../core/ports.ts';
import type { RedisReplica } from './redis-replica.ts';
import type { RedisChange } from './redis-change-scripts.ts';
import type { RedisWriter } from './redis-writer.ts';

export const CREDENTIAL_KIND = 'credential';
const LIST_MAX = 10_000;

/**
 * The CredentialStore in Redis, answering from memory. What another process puts is announced to all, and known some
 * milliseconds later; while no announcement can be heard the store says so in the log and in `isCurrent`.
 */
export class RedisCredentials implements CredentialStore {
  readonly #replica: RedisReplica;
  readonly #writer: RedisWriter;
  /** Sorted, as long as no user came or went. */
  #users: readonly string[] | undefined;

  constructor(replica: RedisReplica, writer: RedisWriter) {
    this.#replica = replica;
    this.#writer = writer;
    replica.onChange(CREDENTIAL_KIND, () => (this.#users = undefined));
  }

  find(user: string): Credential | undefined {
    const record = this.#replica.kind(CREDENTIAL_KIND).get(user);
    return record === undefined ? undefined : credentialFrom(user, record.text);
  }

  async put(credentials: readonly Credential[]): Promise<void> {
    if (credentials.length === 0) return;
    const changes = credentials.map(({ user, md5, sha256 }): RedisChange => {
      if (![user, md5, sha256].every((part) => typeof part === 'string'))
        throw new TypeError('a credential is incomplete');
      return { kind: CREDENTIAL_KIND, key: user, text: JSON.stringify([md5, sha256]) };
    });
    await this.#writer.write(changes);
  }

  async remove(user: string): Promise<boolean> {
    const [result] = await this.#writer.write([{ kind: CREDENTIAL_KIND, key: user, text: undefined }]);
    return result === 'made';
  }

  list(limit: number, after = ''): readonly string[] {
    const bounded = Math.min(LIST_MAX, Math.max(0, Math.floor(limit)));
    this.#users ??= [...this.#replica.kind(CREDENTIAL_KIND).keys()].sort();
    const from = firstAfter(this.#users, after);
    return this.#users.slice(from, from + bounded);
  }
}

/** Where in a sorted list those begin that come after a text. */
function firstAfter(sorted: readonly string[], after: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? '') <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

function credentialFrom(user: string, text: string): Credential | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return undefined;
    const [md5, sha256] = value as unknown[];
    return typeof md5 === 'string' && typeof sha256 === 'string' ? { user, md5, sha256 } : undefined;
  } catch {
    return undefined;
  }
}
