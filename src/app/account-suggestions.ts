import type { Address } from '../cpim/address.ts';
import { RecentMap } from '../core/recent-map.ts';
import { RosterSuggestions, type RosterSuggestionsDeps } from '../xmpp/gateway/roster-suggestions.ts';
import { formatJid, type Jid } from '../xmpp/jid.ts';
import { jidFromAddress } from '../xmpp/map-address.ts';
import type { NamedLink } from './links.ts';
import type { AppOptions } from './options.ts';
import type { PresenceSide } from './presence.ts';

/** One client is told so often at most, ms. */
const AGAIN_MS = 86_400_000;
const CLIENTS_MAX = 10_000;
const NONE: RosterSuggestionsDeps['privileges'] = { rosterOf: () => 'none' };

/**
 * Suggests to the clients of a linked account whom its user watches from his phones (XEP-0144): those whom the roster of
 * the account does not have, because they are reached over other links. The roster itself is left to its user.
 */
export function createSuggestions(
  links: ReadonlyMap<string, NamedLink>,
  presence: () => PresenceSide,
  { clock, log }: AppOptions,
): (name: string, user: Address, client: Jid, isKnown: (contact: Jid) => boolean) => void {
  const told = new RecentMap<true>({ keepMs: AGAIN_MS, max: CLIENTS_MAX });
  return (name, user, client, isKnown) => {
    const key = `${name} ${formatJid(client)}`;
    if (told.get(key, clock.nowMs()) !== undefined) return;
    const { xmpp } = presence();
    const found = links.get(name);
    const requests = xmpp.requestsOf(name);
    const from = found === undefined ? undefined : jidFromAddress(user, found.domains);
    if (found === undefined || requests === undefined || from === undefined) return;
    const suggestions = xmpp.upstream.contacts.contactsOf(user, name).flatMap((contact) => {
      const jid = jidFromAddress(contact, found.domains);
      return jid === undefined || isKnown(jid) ? [] : [{ jid }];
    });
    if (suggestions.length === 0) return;
    told.set(key, true, clock.nowMs());
    const post = (stanza: Parameters<typeof found.link.post>[0]): void => found.link.post(stanza);
    void new RosterSuggestions({ requests, post, privileges: NONE, from, log }).suggest(client, suggestions);
  };
}
