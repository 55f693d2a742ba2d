import type { Address } from '../cpim/address.ts';
import { CommandError } from './command-error.ts';
import { shownUser } from './user-address.ts';

/** The fault of a user there is not. */
export function unknownUser(user: Address, configPath: string): CommandError {
  return new CommandError(`there is no user ${shownUser(user)}; see: interpres users list --config ${configPath}`);
}
