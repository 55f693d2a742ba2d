import { randomBytes } from 'node:crypto';

const TOKEN_HEX = 24;
const BATCH = 512;

/** What makes a branch unique over space and time (RFC 3261, section 8.1.1.7). */
export const BRANCH_COOKIE = 'z9hG4bK';

/**
 * Unguessable tokens of 96 bits, in hexadecimal, for branches and tags: a branch that cannot be guessed is what keeps
 * strangers from answering for a peer (RFC 3261, section 19.3). Random bytes are drawn in batches, which costs a tenth.
 */
export class TokenSource {
  #pool = '';
  #at = 0;

  token(): string {
    if (this.#at >= this.#pool.length) {
      this.#pool = randomBytes((TOKEN_HEX / 2) * BATCH).toString('hex');
      this.#at = 0;
    }
    const token = this.#pool.slice(this.#at, this.#at + TOKEN_HEX);
    this.#at += TOKEN_HEX;
    return token;
  }

  branch(): string {
    return BRANCH_COOKIE + this.token();
  }
}
