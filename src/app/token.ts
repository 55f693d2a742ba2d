import { randomBytes } from 'node:crypto';

/** Of a token that nobody guesses. */
const TOKEN_BYTES = 15;

/** A token of `A-Z a-z 0-9 - _` that begins with a letter, so that none is an option of the command line. */
export function newToken(): string {
  return `t${randomBytes(TOKEN_BYTES).toString('base64url')}`;
}
