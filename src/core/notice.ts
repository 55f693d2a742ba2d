import { type Address, domainOf } from '../cpim/address.ts';
import type { InstantMessage } from '../cpim/operation.ts';
import { postmasterOf } from './postmaster.ts';

/** No other message is named so. */
const NAME = 'notice-';
const HOPS = 70;

/** What this server says to a user of its own accord, from the postmaster of his domain. */
export function noticeTo(user: Address, text: string, token: string, nowMs: number): InstantMessage {
  return {
    op: 'message',
    id: `${NAME}${token}`,
    source: { address: postmasterOf(domainOf(user)) },
    destination: { address: user },
    hops: HOPS,
    acceptedAtMs: nowMs,
    content: { type: 'text/plain;charset=UTF-8', text },
  };
}

/** Whether a message is such a one: its failure is told to nobody. */
export function isNotice({ id }: Pick<InstantMessage, 'id'>): boolean {
  return id.startsWith(NAME);
}
