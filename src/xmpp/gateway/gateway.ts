import type { Address } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Records } from '../../core/ports.ts';
import { bareJid, type Jid } from '../jid.ts';
import { addressFromJid, type ComponentDomains, jidFromAddress } from '../map-address.ts';
import type { IqRequests } from '../presence/iq-requests.ts';
import type { MessageStanza, PresenceStanza } from '../stanza.ts';
import type { Handler } from './ask.ts';
import { GatewayPresence } from './gateway-presence.ts';
import { Privileges } from './privileges.ts';
import { type GatewayUserRecord, REGISTER_NAMESPACE, Registrations } from './registrations.ts';
import { RosterSuggestions, type Suggestion } from './roster-suggestions.ts';

export type GatewayDeps = {
  /** The link's name. */
  readonly link: string;
  readonly domains: ComponentDomains;
  readonly post: (stanza: XmlElement) => void;
  readonly requests: Pick<IqRequests, 'ask'>;
  /** Whether XMPP users may register with the gateway. */
  readonly takesRegistrations: boolean;
  readonly records: Records<GatewayUserRecord>;
  readonly isService: (address: Address) => boolean;
  /** To whom commands are written. */
  readonly service: Address | undefined;
  /** Users of ours who watch an XMPP user, or want to. */
  readonly watchersOf: (contact: Address) => readonly Address[];
  /** What a user of ours lets somebody call him. */
  readonly nameFor: (asker: Address, user: Address) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
};

/** What a link is as a gateway (XEP-0100), beside the contacts behind it. */
export type Gateway = {
  /** Answers to iq requests to the domain, by type, namespace and name. */
  readonly served: ReadonlyMap<string, Handler>;
  readonly features: readonly string[];
  /** Presence of the server itself; says whether it was that. */
  presence(stanza: PresenceStanza): boolean;
  /** A message that grants privileges; says whether it was one. */
  granted(element: XmlElement, stanza: MessageStanza): boolean;
  up(): void;
  down(): void;
  /** The server stops. */
  leave(): void;
};

export function createGateway(deps: GatewayDeps): Gateway {
  const { domains, post, requests, clock, service, watchersOf, nameFor } = deps;
  const log = deps.log.child({ link: deps.link });
  const privileges = new Privileges(log);
  const from: Jid = { domain: domains.name };
  const suggestions = new RosterSuggestions({ requests, post, privileges, from, log });

  const suggestionsFor = (client: Jid): readonly Suggestion[] => {
    const user = addressFromJid(bareJid(client), domains);
    if (user === undefined) return [];
    const commands = service === undefined ? undefined : jidFromAddress(service, domains);
    const found: Suggestion[] = commands === undefined ? [] : [{ jid: commands, name: 'Interpres' }];
    for (const watcher of watchersOf(user)) {
      const jid = jidFromAddress(watcher, domains);
      const name = nameFor(user, watcher);
      if (jid?.domain === domains.name) found.push({ jid, ...(name === undefined ? {} : { name }) });
    }
    return found;
  };

  const registrations = deps.takesRegistrations
    ? new Registrations({
        ...deps,
        domain: domains.domain,
        say: (user, type) => presence.say(user, type),
        registered: (client) => void suggestions.suggest(client, suggestionsFor(client)),
        log,
      })
    : undefined;
  const presence = new GatewayPresence({ ...deps, registered: registrations, clock });

  const served = new Map<string, Handler>();
  if (registrations !== undefined) {
    served.set(`get ${REGISTER_NAMESPACE} query`, registrations.get);
    served.set(`set ${REGISTER_NAMESPACE} query`, registrations.set);
  }
  return {
    served,
    features: registrations === undefined ? [] : [REGISTER_NAMESPACE],
    presence: (stanza) => presence.take(stanza),
    granted: (element, stanza) => privileges.take(element, stanza.from),
    up: () => presence.up(),
    down: () => {
      privileges.lost();
      presence.down();
    },
    leave: () => presence.leave(),
  };
}
