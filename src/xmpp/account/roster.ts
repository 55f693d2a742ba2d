import type { AccountContact } from '../../core/accounts.ts';
import { childOf, childrenOf, textOf, type XmlElement } from '../../cpim/xml.ts';
import { bareJid, formatJid, type Jid, parseJid } from '../jid.ts';

export const ROSTER_NAMESPACE = 'jabber:iq:roster';

/** Contacts that are remembered of one account. */
const CONTACTS_MAX = 10_000;
const NAME_MAX = 200;
const GROUPS_MAX = 20;

const SUBSCRIPTIONS: ReadonlySet<string> = new Set(['none', 'to', 'from', 'both']);

/** What one item of a push has changed for a contact. */
export type RosterChange = {
  readonly jid: Jid;
  /** The account may not see the contact any more. */
  readonly isUnseen: boolean;
  /** The contact may not see the account any more. */
  readonly isUnseeing: boolean;
};

/** The roster of an account as its service has it (RFC 6121, section 2). It is only looked at, never written. */
export class Roster {
  #contacts: Map<string, AccountContact> | undefined;
  /** Contacts who have said yes in this session; the push that says so may come later. */
  readonly #granted = new Set<string>();

  /** Undefined until the service has told it. */
  get contacts(): readonly AccountContact[] | undefined {
    return this.#contacts === undefined ? undefined : [...this.#contacts.values()];
  }

  get isKnown(): boolean {
    return this.#contacts !== undefined;
  }

  of(jid: Jid): AccountContact | undefined {
    return this.#contacts?.get(formatJid(bareJid(jid)));
  }

  /** Whether the account may see this contact. */
  sees(jid: Jid): boolean {
    const subscription = this.of(jid)?.subscription;
    return subscription === 'to' || subscription === 'both' || this.#granted.has(formatJid(bareJid(jid)));
  }

  /** A contact has said that he lets himself be seen, or does not any more. */
  answered(jid: Jid, isGranted: boolean): void {
    const key = formatJid(bareJid(jid));
    if (isGranted && this.#granted.size < CONTACTS_MAX) this.#granted.add(key);
    else this.#granted.delete(key);
  }

  /** The whole roster: the answer to a question for it. */
  take(query: XmlElement | undefined): void {
    this.#contacts = new Map();
    this.#granted.clear();
    for (const item of query === undefined ? [] : childrenOf(query, 'item')) this.#set(item);
  }

  /** What has changed (RFC 6121, section 2.1.6). */
  push(query: XmlElement): readonly RosterChange[] {
    return childrenOf(query, 'item').flatMap((item) => {
      const jid = parseJid(item.attrs['jid'] ?? '');
      if (jid === undefined) return [];
      const before = this.of(jid)?.subscription ?? 'none';
      this.#set(item);
      const after = this.of(jid)?.subscription ?? 'none';
      if (before !== after) this.#granted.delete(formatJid(bareJid(jid)));
      const isUnseen = (before === 'to' || before === 'both') && after !== 'to' && after !== 'both';
      const isUnseeing = (before === 'from' || before === 'both') && after !== 'from' && after !== 'both';
      return [{ jid: bareJid(jid), isUnseen, isUnseeing }];
    });
  }

  #set(item: XmlElement): void {
    const contacts = (this.#contacts ??= new Map<string, AccountContact>());
    const jid = parseJid(item.attrs['jid'] ?? '');
    if (jid === undefined) return;
    const key = formatJid(bareJid(jid));
    const { subscription = 'none', name, ask } = item.attrs;
    if (subscription === 'remove') {
      contacts.delete(key);
      return;
    }
    if (contacts.size >= CONTACTS_MAX && !contacts.has(key)) return;
    contacts.set(key, {
      jid: key,
      ...(name === undefined || name === '' ? {} : { name: name.slice(0, NAME_MAX) }),
      groups: childrenOf(item, 'group')
        .slice(0, GROUPS_MAX)
        .map((group) => textOf(group).slice(0, NAME_MAX)),
      subscription: SUBSCRIPTIONS.has(subscription) ? (subscription as AccountContact['subscription']) : 'none',
      isAsking: ask === 'subscribe',
    });
  }
}

/** The `query` of a roster push, or of the answer to a question for the roster. */
export function rosterQueryOf(iq: XmlElement): XmlElement | undefined {
  return childOf(iq, 'query', ROSTER_NAMESPACE);
}
