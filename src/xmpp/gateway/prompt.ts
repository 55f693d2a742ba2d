import { GatewayError } from '../../core/errors.ts';
import { domainOf, localpartOf, parseAddress } from '../../cpim/address.ts';
import { childOf, textOf, type XmlElement } from '../../cpim/xml.ts';
import { formatJid } from '../jid.ts';
import { type ComponentDomains, jidFromAddress } from '../map-address.ts';
import type { Handler } from './ask.ts';

/** XEP-0100, section 6. */
export const PROMPT_NAMESPACE = 'jabber:iq:gateway';

const TEXT_MAX = 1_000;

/** What a client shows to one who wants to add a contact, and the JID of the address that he has typed. */
export function gatewayPrompt(domains: ComponentDomains): { readonly get: Handler; readonly set: Handler } {
  return {
    get: () =>
      queryElement([
        { name: 'desc', attrs: {}, children: [`Give the SIP address of a user of ${domains.domain}.`] },
        { name: 'prompt', attrs: {}, children: ['SIP address'] },
      ]),
    set: ({ payload }) => {
      const prompt = childOf(payload, 'prompt');
      if (prompt === undefined) throw new GatewayError('request-malformed', 'prompt without an address');
      const jid = jidFromPrompt(textOf(prompt), domains);
      if (jid === undefined) throw new GatewayError('recipient-unknown', 'address of nobody in the domain');
      return queryElement([
        { name: 'jid', attrs: {}, children: [jid] },
        // What clients of before XEP-0100, version 1.0 read.
        { name: 'prompt', attrs: {}, children: [jid] },
      ]);
    },
  };
}

/**
 * The JID of what somebody has typed: `sip:alice@sip.example`, with parameters or not, `alice@sip.example`, `alice`.
 *
 * @returns undefined for what is no address in the domain that the link stands for
 */
export function jidFromPrompt(text: string, domains: ComponentDomains): string | undefined {
  if (text.length > TEXT_MAX) return undefined;
  const typed = text.trim().replace(/^<(.*)>$/, '$1');
  const bare = typed.replace(/^(?:sips?|im|pres):/i, '').split(/[;?]/, 1)[0] ?? '';
  const address = parseAddress(bare.includes('@') ? bare : `${bare}@${domains.domain}`);
  if (address === undefined || localpartOf(address) === undefined) return undefined;
  // Whoever has typed the JID itself means it.
  const domain = domainOf(address);
  if (domain !== domains.domain && domain !== domains.name) return undefined;
  const jid = jidFromAddress(address, domains);
  return jid === undefined ? undefined : formatJid(jid);
}

function queryElement(children: readonly XmlElement[]): XmlElement {
  return { name: 'query', attrs: { xmlns: PROMPT_NAMESPACE }, children };
}
