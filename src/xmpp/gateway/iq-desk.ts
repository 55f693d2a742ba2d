import { addressKey, type Address } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import type { ContactDesk, ContactFacts } from '../../core/directory/contact-desk.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports.ts';
import { RateTable } from '../../core/rate-table.ts';
import { addressFromJid, type ComponentDomains, jidFromAddress } from '../map-address.ts';
import { formatJid } from '../jid.ts';
import { DISCO_INFO_NAMESPACE } from '../presence/disco-info.ts';
import {
  DISCO_ITEMS_NAMESPACE,
  LAST_NAMESPACE,
  PING_NAMESPACE,
  TIME_NAMESPACE,
  VCARD_NAMESPACE,
  VERSION_NAMESPACE,
} from '../presence/own-caps.ts';
import type { IqStanza } from '../stanza.ts';
import type { Ask, ContactAsk, Handler } from './ask.ts';
import { contactQueries, lastElement, timeElement, versionElement } from './contact-queries.ts';
import { contactInfo, contactItems, type DiscoDeps, serverInfo, serverItems } from './disco.ts';
import { PUBSUB_NAMESPACE } from './pep-items.ts';
import { VCARD4_NAMESPACE, vcardTemp } from './vcard.ts';

export type IqDeskDeps = {
  /** The link's name. */
  readonly link: string;
  readonly domains: ComponentDomains;
  readonly desk: Pick<ContactDesk, 'factsFor' | 'lastActivity' | 'softwareOf'>;
  readonly commandsFor: DiscoDeps['commandsFor'];
  /** To whom commands are written; undefined: they are not taken. */
  readonly service: Address | undefined;
  /** More that the domain, and the service address, answer: by `get` or `set`, namespace and name. */
  readonly served: ReadonlyMap<string, Handler>;
  /** The namespaces of those, and what else the domain says it can do. */
  readonly features: readonly string[];
  /** No limit for load tests. */
  readonly isPaced: boolean;
  readonly version: string;
  readonly startedAtMs: number;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/** What one sender may ask: a client that has just started asks about each of its contacts. */
const ASKED = { perSecond: 50, burst: 2_000 };

/** Answers one iq request; throws or rejects with a GatewayError for what is to be refused. */
export type IqDesk = (stanza: IqStanza, element: XmlElement) => ReturnType<Handler>;

/**
 * Answers the iq requests of one link: an error for what is not served (RFC 6120, section 8.2.3).
 *
 * What is said of a user is decided by his rules for those who watch him, and is the same for one who does not exist.
 */
export function iqDesk(deps: IqDeskDeps): IqDesk {
  const { domains, desk, service, served, clock } = deps;
  const rates = deps.isPaced ? new RateTable(ASKED, clock) : undefined;
  const serviceKey = service === undefined ? undefined : addressKey(service);
  const factsFor = ({ asker, user }: ContactAsk): ContactFacts => desk.factsFor(asker, user, `link:${deps.link}`);
  const serviceJid = service === undefined ? undefined : jidFromAddress(service, domains);
  const disco: DiscoDeps = {
    factsFor,
    commandsFor: deps.commandsFor,
    features: deps.features,
    service: () => (serviceJid === undefined ? undefined : formatJid(serviceJid)),
  };
  const queries = contactQueries({ desk, factsFor, clock });
  const nothing: Handler = () => undefined;

  const server = (isService: boolean): ReadonlyMap<string, Handler> =>
    new Map<string, Handler>([
      [`get ${PING_NAMESPACE} ping`, nothing],
      [`get ${DISCO_INFO_NAMESPACE} query`, serverInfo(disco, isService)],
      [`get ${DISCO_ITEMS_NAMESPACE} query`, serverItems(disco, isService)],
      [`get ${VERSION_NAMESPACE} query`, () => versionElement('Interpres', deps.version)],
      [`get ${LAST_NAMESPACE} query`, () => lastElement(Math.floor((clock.nowMs() - deps.startedAtMs) / 1_000))],
      [`get ${TIME_NAMESPACE} time`, () => timeElement(clock.nowMs(), 0)],
      [`get ${VCARD_NAMESPACE} vCard`, ({ to }) => vcardTemp({ displayName: 'Interpres' }, formatJid(to))],
      [`set ${VCARD_NAMESPACE} vCard`, refuseCard],
      ...served,
    ]);
  const ofDomain = server(false);
  const ofService = server(true);
  const ofContact = new Map<string, Handler<ContactAsk>>([
    [`get ${PING_NAMESPACE} ping`, nothing],
    [`get ${DISCO_INFO_NAMESPACE} query`, contactInfo(disco)],
    [`get ${DISCO_ITEMS_NAMESPACE} query`, contactItems(disco)],
    [`get ${VERSION_NAMESPACE} query`, queries.version],
    [`get ${LAST_NAMESPACE} query`, queries.last],
    [`get ${TIME_NAMESPACE} time`, queries.time],
    [`get ${VCARD_NAMESPACE} vCard`, queries.vcard],
    [`set ${VCARD_NAMESPACE} vCard`, refuseCard],
    [`get ${VCARD4_NAMESPACE} vcard`, queries.vcard4],
    [`get ${PUBSUB_NAMESPACE} pubsub`, queries.items],
  ]);

  return (stanza, element) => {
    const payload = element.children.find((child) => typeof child !== 'string');
    const { from, to, type } = stanza;
    const asker = addressFromJid({ ...from, resource: '' }, domains);
    const user = to.local === undefined ? undefined : addressFromJid(to, domains);
    if (payload === undefined || stanza.payload === undefined || asker === undefined) {
      throw new GatewayError('request-malformed', 'iq without a payload, or from whom nobody could be told');
    }
    rates?.take(addressKey(asker));
    const ask: Ask = { payload, from, to, asker };
    const name = `${stanza.payload.namespace} ${stanza.payload.name}`;
    if (to.local === undefined || (user !== undefined && addressKey(user) === serviceKey)) {
      return found(to.local === undefined ? ofDomain : ofService, type, name)(ask);
    }
    if (user === undefined) throw new GatewayError('recipient-unknown', 'JID that has no address');
    return found(ofContact, type, name)({ ...ask, user });
  };
}

/** What is known by the other type alone is not implemented; all else is no service of ours. */
function found<A extends Ask>(
  handlers: ReadonlyMap<string, Handler<A>>,
  type: IqStanza['type'],
  name: string,
): Handler<A> {
  const handler = handlers.get(`${type} ${name}`);
  if (handler !== undefined) return handler;
  const isKnown = handlers.has(`get ${name}`) || handlers.has(`set ${name}`);
  throw new GatewayError(isKnown ? 'feature-unsupported' : 'service-refused', `${type} of ${name.slice(0, 200)}`);
}

/** XEP-0054, section 3.2: nobody writes the vCard of another. */
function refuseCard(): never {
  throw new GatewayError('not-allowed', 'vCard of somebody else');
}
