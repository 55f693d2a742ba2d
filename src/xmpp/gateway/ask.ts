import type { Address } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import type { Jid } from '../jid.ts';

/** An iq request, and who sent it: somebody of a domain that is reached over this link. */
export type Ask = {
  readonly payload: XmlElement;
  readonly from: Jid;
  /** Ours: the domain, a user there may be, or a service address. */
  readonly to: Jid;
  /** The sender without his resource. */
  readonly asker: Address;
};

/** One to what looks like a user of ours. */
export type ContactAsk = Ask & { readonly user: Address };

/**
 * Answers a request: the payload of the result, undefined for a result without any.
 *
 * @throws GatewayError, also later: the code says what the sender is told
 */
export type Handler<A extends Ask = Ask> = (ask: A) => XmlElement | undefined | Promise<XmlElement | undefined>;

/** Of what an element says about a node; an empty name is none. */
export function nodeOf({ attrs }: XmlElement): string | undefined {
  return attrs['node'] === '' ? undefined : attrs['node'];
}
