import { childOf, type XmlElement } from '../../cpim/xml.ts';

/** XEP-0280. */
export const CARBONS_NAMESPACE = 'urn:xmpp:carbons:2';
const FORWARD_NAMESPACE = 'urn:xmpp:forward:0';

/** A copy of a message that concerned another client of the account. */
export type Carbon =
  /** The account itself has sent it, from another client. */
  | { readonly kind: 'sent' }
  /** Another client of the account was written to. */
  | { readonly kind: 'received'; readonly message: XmlElement }
  /** It says that it is one and is not. */
  | { readonly kind: 'malformed' };

/**
 * The copy that a message is; undefined for a message of its own. Whose it is must be looked at before: only the account
 * itself may send copies (XEP-0280, section 11).
 *
 * The id of a copied message is left out: an error about a copy would be taken for one about the message itself, which
 * another client has.
 */
export function carbonOf(message: XmlElement): Carbon | undefined {
  if (childOf(message, 'sent', CARBONS_NAMESPACE) !== undefined) return { kind: 'sent' };
  const received = childOf(message, 'received', CARBONS_NAMESPACE);
  if (received === undefined) return undefined;
  const forwarded = childOf(received, 'forwarded', FORWARD_NAMESPACE);
  const inner = forwarded?.children.find((child) => typeof child !== 'string' && child.name === 'message');
  if (typeof inner !== 'object') return { kind: 'malformed' };
  const attrs = Object.fromEntries(Object.entries(inner.attrs).filter(([name]) => name !== 'id'));
  return { kind: 'received', message: { ...inner, attrs } };
}

/** What lets the other clients of the account have copies, and us theirs. */
export const ENABLE_CARBONS: XmlElement = { name: 'enable', attrs: { xmlns: CARBONS_NAMESPACE }, children: [] };
