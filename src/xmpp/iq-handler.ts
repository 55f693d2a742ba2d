import type { XmlElement } from '../cpim/xml.ts';
import { DISCO_INFO_NAMESPACE as DISCO_INFO, type DiscoInfo } from './presence/disco-info.ts';
import { PING_NAMESPACE as PING, USER_CAPS_NODE, USER_INFO } from './presence/own-caps.ts';
import { stanzaErrorFrom } from './stanza-error.ts';
import { errorAnswer, type IqStanza, resultAnswer } from './stanza.ts';

const DISCO_ITEMS = 'http://jabber.org/protocol/disco#items';
const VERSION = 'jabber:iq:version';

/** What disco#info says of us (XEP-0030); `simple` is the registered type of a gateway to SIP/SIMPLE. */
const SERVER_IDENTITIES: DiscoInfo['identities'] = [
  { category: 'gateway', type: 'simple', name: 'Interpres' },
  { category: 'gateway', type: 'sip', name: 'Interpres' },
];
/** XEP-0106, section 6: who writes to us may escape localparts. */
const JID_ESCAPING = 'jid\\20escaping';
const SERVER_FEATURES = [DISCO_INFO, DISCO_ITEMS, JID_ESCAPING, PING, VERSION];
/**
 * Answers an iq request: exactly one answer to each, an error for what is not served (RFC 6120, section 8.2.3).
 * A full JID is answered as the account it belongs to.
 */
export function answerToIq(stanza: IqStanza, element: XmlElement, software: { readonly version: string }): XmlElement {
  const { payload, type } = stanza;
  const isUser = stanza.to.local !== undefined;
  const answer = payload === undefined ? undefined : servedBy(payload, isUser, software, element);
  if (answer === undefined) return errorAnswer(element, stanzaErrorFrom('service-refused'));
  if (type === 'set') return errorAnswer(element, stanzaErrorFrom('feature-unsupported'));
  return answer();
}

function servedBy(
  payload: NonNullable<IqStanza['payload']>,
  isUser: boolean,
  software: { readonly version: string },
  element: XmlElement,
): (() => XmlElement) | undefined {
  switch (`${payload.namespace} ${payload.name}`) {
    case `${PING} ping`:
      return () => resultAnswer(element);
    case `${DISCO_INFO} query`:
      return () => discoInfo(element, isUser);
    case `${DISCO_ITEMS} query`:
      return isUser ? undefined : () => discoItems(element);
    case `${VERSION} query`:
      return isUser ? undefined : () => version(element, software.version);
    default:
      return undefined;
  }
}

/** We have no nodes (XEP-0030, section 3.2) but the one that the presence of our users names (XEP-0115, section 6.2). */
function discoInfo(element: XmlElement, isUser: boolean): XmlElement {
  const node = nodeOf(element);
  if (node !== undefined && !(isUser && node === USER_CAPS_NODE)) {
    return errorAnswer(element, stanzaErrorFrom('recipient-unknown'));
  }
  const identities = isUser ? USER_INFO.identities : SERVER_IDENTITIES;
  const features = isUser ? USER_INFO.features : SERVER_FEATURES;
  return resultAnswer(element, {
    name: 'query',
    attrs: { xmlns: DISCO_INFO, ...(node === undefined ? {} : { node }) },
    children: [
      ...identities.map(({ category, type, name }) => ({
        name: 'identity',
        attrs: { category, type, ...(name === undefined ? {} : { name }) },
        children: [],
      })),
      ...features.map((feature) => ({ name: 'feature', attrs: { var: feature }, children: [] })),
    ],
  });
}

function discoItems(element: XmlElement): XmlElement {
  const node = nodeOf(element);
  const attrs = { xmlns: DISCO_ITEMS, ...(node === undefined ? {} : { node }) };
  return resultAnswer(element, { name: 'query', attrs, children: [] });
}

function version(element: XmlElement, number: string): XmlElement {
  return resultAnswer(element, {
    name: 'query',
    attrs: { xmlns: VERSION },
    children: [
      { name: 'name', attrs: {}, children: ['Interpres'] },
      { name: 'version', attrs: {}, children: [number] },
    ],
  });
}

function nodeOf(element: XmlElement): string | undefined {
  const query = element.children.find((child) => typeof child !== 'string');
  const node = query?.attrs['node'];
  return node === '' ? undefined : node;
}
