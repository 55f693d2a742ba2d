import type { ContactFacts } from '../../core/directory/contact-desk.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { VCARD_NAMESPACE } from '../presence/own-caps.ts';

/** XEP-0292, RFC 6351. */
export const VCARD4_NAMESPACE = 'urn:ietf:params:xml:ns:vcard-4.0';

/** What a user is called and where he is reached, in both forms of a vCard. */
export type CardFacts = Pick<ContactFacts, 'displayName' | 'card' | 'email' | 'phone' | 'avatar'>;

/** URLs that a client may offer to open; nobody here ever does. */
const WEB_URL = /^https?:\/\/[^\s<>"]{1,1000}$/;

/**
 * The vCard of a user (XEP-0054). His picture is given where this server holds it; one that he only names by a URL
 * (RFC 4482, section 3.4) stays a URL, which the client may fetch and this server never does.
 *
 * @param jid his address on this link
 */
export function vcardTemp(facts: CardFacts, jid: string): XmlElement {
  const { displayName, card, email, phone, avatar } = facts;
  const icon = webUrl(card?.icon);
  const children: XmlElement[] = [];
  if (displayName !== undefined) children.push(text('FN', displayName), text('NICKNAME', displayName));
  if (avatar !== undefined) children.push(element('PHOTO', [text('TYPE', avatar.type), text('BINVAL', avatar.base64)]));
  else if (icon !== undefined) children.push(element('PHOTO', [text('EXTVAL', icon)]));
  if (phone !== undefined) children.push(element('TEL', [element('WORK'), element('VOICE'), text('NUMBER', phone)]));
  if (email !== undefined) children.push(element('EMAIL', [element('INTERNET'), text('USERID', email)]));
  children.push(text('JABBERID', jid));
  const homepage = webUrl(card?.homepage) ?? webUrl(card?.card);
  if (homepage !== undefined) children.push(text('URL', homepage));
  return { name: 'vCard', attrs: { xmlns: VCARD_NAMESPACE }, children };
}

/** The same as vCard 4 (XEP-0292). */
export function vcard4(facts: CardFacts, jid: string): XmlElement {
  const { displayName, card, email, phone, avatar } = facts;
  const children: XmlElement[] = [];
  const add = (name: string, type: 'text' | 'uri', value: string): void => {
    children.push(element(name, [text(type, value)]));
  };
  // RFC 6350, section 6.2.1: there is always a name.
  add('fn', 'text', displayName ?? jid);
  if (displayName !== undefined) add('nickname', 'text', displayName);
  if (avatar !== undefined) add('photo', 'uri', `data:${avatar.type};base64,${avatar.base64}`);
  else if (webUrl(card?.icon) !== undefined) add('photo', 'uri', card?.icon ?? '');
  if (phone !== undefined) add('tel', 'text', phone);
  if (email !== undefined) add('email', 'text', email);
  add('impp', 'uri', `xmpp:${jid}`);
  const homepage = webUrl(card?.homepage) ?? webUrl(card?.card);
  if (homepage !== undefined) add('url', 'uri', homepage);
  return { name: 'vcard', attrs: { xmlns: VCARD4_NAMESPACE }, children };
}

function webUrl(uri: string | undefined): string | undefined {
  return uri !== undefined && WEB_URL.test(uri) ? uri : undefined;
}

function element(name: string, children: XmlElement['children'] = []): XmlElement {
  return { name, attrs: {}, children };
}

function text(name: string, value: string): XmlElement {
  return element(name, [value]);
}
