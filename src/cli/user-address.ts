import { domainOf, type Address } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import { GatewayError } from '../core/errors.ts';
import { entityFromSipUri, sipUriFromAddress } from '../sip/map-address.ts';
import { parseSipUri, type SipUri } from '../sip/uri.ts';
import { CommandError } from './command-error.ts';

/**
 * The user of ours that an operator names: `sip:alice@sip.example` or `alice@sip.example`, letters beyond ASCII as
 * they are or escaped.
 *
 * @throws CommandError for what is no such address (exit code 2), or is in none of our domains (1).
 */
export function userNamed(text: string, config: Config): Address {
  const user = sipUserNamed(text);
  if (user === undefined) {
    throw new CommandError(`${text} is no address of a user; expected the form sip:alice@sip.example`, 2);
  }
  const domains = config.domains.map((domain) => domain.name);
  if (!domains.includes(domainOf(user))) {
    throw new CommandError(`${text} is in none of our domains (${domains.join(', ')})`);
  }
  return user;
}

/** As `userNamed`, in any domain. @returns undefined for what is no such address. */
export function sipUserNamed(text: string): Address | undefined {
  const uri = parseSipUri(withScheme(text));
  return uri === undefined || saysMore(uri) ? undefined : addressOf(uri);
}

/** How a user is shown, in the form that `userNamed` takes. */
export function shownUser(user: Address): string {
  return sipUriFromAddress(user);
}

function withScheme(text: string): string {
  const escaped = text.replace(/[^\0-\x7f]+/gu, encodeURIComponent);
  return /^sips?:/i.test(escaped) ? escaped : `sip:${escaped}`;
}

/** A port, a password or parameters name no user: whoever gives them means something that would not come about. */
function saysMore(uri: SipUri): boolean {
  const isBare = uri.password === undefined && uri.port === undefined && uri.headers === undefined;
  return uri.user === undefined || !isBare || uri.params.length > 0;
}

function addressOf(uri: SipUri): Address | undefined {
  try {
    return entityFromSipUri(uri).address;
  } catch (thrown) {
    if (thrown instanceof GatewayError) return undefined;
    throw thrown;
  }
}
