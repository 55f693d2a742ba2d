import { type Address, addressFrom, localpartOf } from '../cpim/address.ts';
import { GatewayError } from './errors.ts';

const POSTMASTER = 'postmaster';

/** Who speaks for a domain: failures are told in his name, and what a server has to say to a user. */
export function postmasterOf(domain: string): Address {
  const postmaster = addressFrom(POSTMASTER, domain);
  if (postmaster === undefined) throw new GatewayError('internal', 'domain without a postmaster');
  return postmaster;
}

export function isPostmaster(address: Address): boolean {
  return localpartOf(address)?.toLowerCase() === POSTMASTER;
}
