import { createHmac, randomBytes } from 'node:crypto';
import type { Records } from '../core/ports.ts';

const SECRET_BYTES = 32;

/** A secret of this server that stays the same over restarts: made at the first start, kept in the store. */
export async function durableSecret(records: Records<{ readonly value: string }>, name: string): Promise<Uint8Array> {
  for (const [key, { value }] of records.all()) {
    const secret = Buffer.from(value, 'base64');
    if (key === name && secret.length === SECRET_BYTES) return secret;
  }
  const secret = randomBytes(SECRET_BYTES);
  await records.put(name, { value: secret.toString('base64') });
  return secret;
}

/** A key for one purpose alone, made from a secret that serves several. */
export function derivedKey(secret: Uint8Array, purpose: string): Buffer {
  return createHmac('sha256', secret).update(purpose).digest();
}
