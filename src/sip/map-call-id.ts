import { hash } from 'node:crypto';
import { addressKey, type Address } from '../cpim/address.ts';

/** Ends every Call-ID that stands for a thread or for the lack of one; no thread is written as it is that ends so. */
const OURS = '@interpres';
const THREAD = 'thread.';
const HASH = 'hash.';
const PAIR = 'pair.';

/** `word` of RFC 3261, section 25.1, once or twice with an at sign between. */
const CALL_ID = /^[A-Za-z0-9\-.!%*_+`'~()<>:\\"/[\]?{}]+(@[A-Za-z0-9\-.!%*_+`'~()<>:\\"/[\]?{}]+)?$/;
/** Longer threads would make headers that do not fit a datagram; they are hashed, which has no way back. */
const THREAD_BYTES_MAX = 384;

/**
 * The Call-ID of a message in a conversation (RFC 7572, section 4): the thread itself where it is a legal Call-ID, else
 * its UTF-8 in base64url, from which `threadFromCallId` gets it back exactly.
 *
 * Without a thread all messages of two people share one Call-ID, in both directions.
 */
export function callIdFromThread(thread: string | undefined, one: Address, other: Address): string {
  if (thread === undefined || thread === '') return pairToken(one, other);
  if (thread.length <= THREAD_BYTES_MAX && CALL_ID.test(thread) && !thread.endsWith(OURS)) return thread;
  const bytes = Buffer.from(thread, 'utf8');
  if (bytes.length <= THREAD_BYTES_MAX) return `${THREAD}${bytes.toString('base64url')}${OURS}`;
  return `${HASH}${hash('sha256', bytes, 'base64url')}${OURS}`;
}

/** The thread that a Call-ID stands for; undefined for one that we gave for want of a thread. */
export function threadFromCallId(callId: string, one: Address, other: Address): string | undefined {
  if (!callId.endsWith(OURS)) return callId;
  if (callId.startsWith(PAIR) && callId === pairToken(one, other)) return undefined;
  if (callId.startsWith(THREAD)) {
    const thread = Buffer.from(callId.slice(THREAD.length, -OURS.length), 'base64url').toString('utf8');
    // Somebody else's Call-ID may look like ours.
    if (callIdFromThread(thread, one, other) === callId) return thread;
  }
  return callId;
}

function pairToken(one: Address, other: Address): string {
  // A blank is in no address key.
  const pair = [addressKey(one), addressKey(other)].sort().join(' ');
  return `${PAIR}${hash('sha256', pair, 'base64url').slice(0, 32)}${OURS}`;
}
