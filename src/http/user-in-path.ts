import { GatewayError } from '../core/errors.ts';
import { localpartOf, parseAddress, type Address } from '../cpim/address.ts';

/** The user of whom a path is. @throws GatewayError 'request-malformed' for no address, or that of a domain. */
export function userInPath(text: string): Address {
  const user = parseAddress(text);
  if (user === undefined || localpartOf(user) === undefined) {
    throw new GatewayError('request-malformed', 'path of no address of a user');
  }
  return user;
}
