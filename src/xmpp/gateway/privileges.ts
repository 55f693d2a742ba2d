import { childOf, childrenOf, type XmlElement } from '../../cpim/xml.ts';
import type { Log } from '../../core/log.ts';
import type { Jid } from '../jid.ts';

/** XEP-0356, as it is and as it was before version 0.4. */
const PRIVILEGE_NAMESPACES = ['urn:xmpp:privilege:2', 'urn:xmpp:privilege:1'] as const;

/** What a server lets this component do with the rosters of its users. */
export type RosterPrivilege = 'none' | 'get' | 'set' | 'both';

const ROSTER: Readonly<Record<string, RosterPrivilege>> = { get: 'get', set: 'set', both: 'both' };
/** Servers that grant; a component has one, its peers might claim to be others. */
const DOMAINS_MAX = 100;
const PERMS_MAX = 20;

/** What a message grants; undefined for one that grants nothing. */
export function privilegeIn(message: XmlElement): XmlElement | undefined {
  for (const namespace of PRIVILEGE_NAMESPACES) {
    const found = childOf(message, 'privilege', namespace);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * What servers have granted to this component (XEP-0356): told by the server's own address when the stream begins, for
 * its own users alone, and over with the stream. Without a word nothing is granted, and nothing is different.
 */
export class Privileges {
  readonly #log: Log;
  readonly #byDomain = new Map<string, RosterPrivilege>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Takes a message that grants; says whether it was one. */
  take(element: XmlElement, from: Jid): boolean {
    const privilege = privilegeIn(element);
    if (privilege === undefined) return false;
    if (from.local !== undefined || from.resource !== undefined) return true;
    const perms = childrenOf(privilege, 'perm').slice(0, PERMS_MAX);
    const roster = perms.find(({ attrs }) => attrs['access'] === 'roster')?.attrs['type'] ?? 'none';
    const granted = ROSTER[roster] ?? 'none';
    if (granted === 'none') this.#byDomain.delete(from.domain);
    else if (this.#byDomain.size < DOMAINS_MAX) this.#byDomain.set(from.domain, granted);
    this.#log.info(
      {
        domain: from.domain,
        roster: granted,
        all: perms
          .map(({ attrs }) => `${attrs['access'] ?? ''} ${attrs['type'] ?? ''}`)
          .join(', ')
          .slice(0, 500),
      },
      'server grants privileges',
    );
    return true;
  }

  /** What may be done with the roster of a user of this domain. */
  rosterOf(domain: string): RosterPrivilege {
    return this.#byDomain.get(domain) ?? 'none';
  }

  /** The stream is over, and with it what was granted on it. */
  lost(): void {
    this.#byDomain.clear();
  }
}
