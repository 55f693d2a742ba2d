import type { Address } from '../../cpim/address.ts';
import type { InstantMessage, Wants } from '../../cpim/operation.ts';

/** What a message was, as far as a word about it needs it. */
export type Named = {
  readonly id: string;
  readonly wants: Wants;
  /** The instance that wrote it, where it is known. */
  readonly authorInstance?: string;
  /** Whom he wrote to, where that is another address. */
  readonly writtenTo?: Address;
};

/**
 * Under what name a message goes out of which its author asks to be told, so that a word about it tells all that must be
 * known by then: nothing is kept, and nothing is lost with a process or by a flood of messages.
 *
 * 1. A message has the same name whenever it is asked for: a repeated attempt repeats it.
 * 2. `read` gives what was named only for the two to whom the message belongs: whom it goes to, and its author. To all others it is nobody's name; nobody else can make one.
 * 3. Nobody but this server can read from it what the author's side called the message (RFC 3323, section 5.3).
 * 4. It begins with the message's id and a dot, and is of the characters `A-Z a-z 0-9 - _ .`, 700 at most.
 */
export interface ReceiptNames {
  /** @returns undefined where its author asks for nothing */
  readonly nameOf: (message: InstantMessage) => string | undefined;
  readonly read: (name: string, recipient: Address, author: Address) => Named | undefined;
}
