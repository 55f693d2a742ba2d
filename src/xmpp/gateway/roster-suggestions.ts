import { childOf, childrenOf, type XmlElement } from '../../cpim/xml.ts';
import type { Log } from '../../core/log.ts';
import { bareJid, formatJid, type Jid } from '../jid.ts';
import { DISCO_INFO_NAMESPACE, readDiscoInfo } from '../presence/disco-info.ts';
import { stanzaErrorIn } from '../stanza-error.ts';
import type { IqRequests } from '../presence/iq-requests.ts';
import type { Privileges } from './privileges.ts';

/** XEP-0144. */
const ROSTER_EXCHANGE_NAMESPACE = 'http://jabber.org/protocol/rosterx';
const ROSTER_NAMESPACE = 'jabber:iq:roster';

export type Suggestion = { readonly jid: Jid; readonly name?: string };

export type RosterSuggestionsDeps = {
  readonly requests: Pick<IqRequests, 'ask'>;
  readonly post: (stanza: XmlElement) => void;
  readonly privileges: Pick<Privileges, 'rosterOf'>;
  /** Us: the name of the link. */
  readonly from: Jid;
  readonly log: Log;
};

/** XEP-0144, section 6: not more at once than somebody can look through. */
const SUGGESTED_MAX = 100;
const GROUP = 'SIP';

/**
 * Brings contacts into the roster of an XMPP user: by his server, where that lets us write it (XEP-0356) and does; else as a
 * suggestion to the client he uses, where that takes any (XEP-0144); else not at all. Where the roster can be read,
 * what is in it already is left out.
 */
export class RosterSuggestions {
  readonly #deps: RosterSuggestionsDeps;

  constructor(deps: RosterSuggestionsDeps) {
    this.#deps = deps;
  }

  /** @param client his full JID. Never rejects. */
  async suggest(client: Jid, all: readonly Suggestion[]): Promise<void> {
    try {
      await this.#suggest(client, all);
    } catch (error) {
      this.#deps.log.error({ jid: formatJid(client), error }, 'contacts cannot be suggested');
    }
  }

  async #suggest(client: Jid, all: readonly Suggestion[]): Promise<void> {
    const { privileges, from, post, log } = this.#deps;
    const may = privileges.rosterOf(client.domain);
    const known = may === 'get' || may === 'both' ? await this.#rosterOf(client) : undefined;
    const wanted = all.filter(({ jid }) => known?.has(formatJid(jid)) !== true).slice(0, SUGGESTED_MAX);
    const written = may === 'set' || may === 'both' ? await this.#writeAll(client, wanted) : 0;
    const left = wanted.slice(written);
    if (left.length === 0 || client.resource === undefined || !(await this.#takesSuggestions(client))) return;
    post({
      name: 'message',
      attrs: { from: formatJid(from), to: formatJid(client) },
      children: [
        {
          name: 'x',
          attrs: { xmlns: ROSTER_EXCHANGE_NAMESPACE },
          children: left.map((one) => itemElement(one, { action: 'add' })),
        },
      ],
    });
    log.info({ jid: formatJid(client), contacts: left.length }, 'contacts suggested');
  }

  /** @returns how many of them, from the first on, are in the roster now: one that fails is the last that is tried. */
  async #writeAll(user: Jid, wanted: readonly Suggestion[]): Promise<number> {
    let written = 0;
    for (const one of wanted) {
      if (!(await this.#write(user, one))) break;
      written += 1;
    }
    const jid = formatJid(bareJid(user));
    if (written > 0) this.#deps.log.info({ jid, contacts: written }, 'contacts written into a roster');
    return written;
  }

  /** JIDs; undefined where there was no answer. */
  async #rosterOf(user: Jid): Promise<ReadonlySet<string> | undefined> {
    const query = { name: 'query', attrs: { xmlns: ROSTER_NAMESPACE }, children: [] };
    const answer = await this.#deps.requests.ask(this.#deps.from, bareJid(user), query);
    const roster = answer?.attrs['type'] === 'result' ? childOf(answer, 'query', ROSTER_NAMESPACE) : undefined;
    return roster === undefined
      ? undefined
      : new Set(childrenOf(roster, 'item').map(({ attrs }) => (attrs['jid'] ?? '').toLowerCase()));
  }

  async #write(user: Jid, one: Suggestion): Promise<boolean> {
    const query = { name: 'query', attrs: { xmlns: ROSTER_NAMESPACE }, children: [itemElement(one, {})] };
    const answer = await this.#deps.requests.ask(this.#deps.from, bareJid(user), query, 'set');
    if (answer?.attrs['type'] === 'result') return true;
    const { condition, text = '' } = answer === undefined ? { condition: 'no answer' } : stanzaErrorIn(answer);
    const fields = {
      jid: formatJid(bareJid(user)),
      contact: formatJid(one.jid),
      condition,
      reason: text.slice(0, 200),
    };
    this.#deps.log.warn(fields, 'roster was not changed by its server');
    return false;
  }

  async #takesSuggestions(client: Jid): Promise<boolean> {
    const query = { name: 'query', attrs: { xmlns: DISCO_INFO_NAMESPACE }, children: [] };
    const answer = await this.#deps.requests.ask(this.#deps.from, client, query);
    const found = answer?.attrs['type'] === 'result' ? childOf(answer, 'query', DISCO_INFO_NAMESPACE) : undefined;
    const info = found === undefined ? undefined : readDiscoInfo(found);
    return info?.features.includes(ROSTER_EXCHANGE_NAMESPACE) === true;
  }
}

function itemElement({ jid, name }: Suggestion, attrs: Readonly<Record<string, string>>): XmlElement {
  return {
    name: 'item',
    attrs: { ...attrs, jid: formatJid(jid), ...(name === undefined ? {} : { name }) },
    children: [{ name: 'group', attrs: {}, children: [GROUP] }],
  };
}
