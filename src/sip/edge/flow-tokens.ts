import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a token stands for: the flow of a phone, and the domain of ours whose core it is known to. */
export type FlowToken = { readonly flow: string; readonly domain: string };

const MAC_BYTES = 16;
const TOKEN_LENGTH_MAX = 400;
/** Neither a domain nor the name of a flow has it. */
const BETWEEN = '\n';

/**
 * Names for flows that go out into the world and come back (RFC 5626, section 5.2): each holds its flow, and nobody can
 * make or change one. Nothing is kept for them.
 */
export class FlowTokens {
  readonly #key: Uint8Array;

  /** @param key for this alone; stays the same over restarts, as flows over UDP do */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** A user part: letters, digits, `-` and `_`. */
  write({ flow, domain }: FlowToken): string {
    const content = Buffer.from(domain + BETWEEN + flow);
    return Buffer.concat([this.#mac(content), content]).toString('base64url');
  }

  /** @returns undefined for what this server has not written. */
  read(token: string): FlowToken | undefined {
    if (token.length > TOKEN_LENGTH_MAX || !/^[\w-]+$/.test(token)) return undefined;
    const bytes = Buffer.from(token, 'base64url');
    if (bytes.length <= MAC_BYTES) return undefined;
    const content = bytes.subarray(MAC_BYTES);
    if (!timingSafeEqual(bytes.subarray(0, MAC_BYTES), this.#mac(content))) return undefined;
    const text = content.toString('utf8');
    const end = text.indexOf(BETWEEN);
    return end < 0 ? undefined : { domain: text.slice(0, end), flow: text.slice(end + 1) };
  }

  #mac(content: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(content).digest().subarray(0, MAC_BYTES);
  }
}
