import type { ContactDesk, ContactFacts } from '../../core/directory/contact-desk.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports.ts';
import { formatRfc3339 } from '../../cpim/rfc3339.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { bareJid, formatJid } from '../jid.ts';
import { tupleOfResource } from '../presence/map-presence.ts';
import { LAST_NAMESPACE, TIME_NAMESPACE, VERSION_NAMESPACE } from '../presence/own-caps.ts';
import type { ContactAsk, Handler } from './ask.ts';
import { pepItems } from './pep-items.ts';
import { vcard4, vcardTemp } from './vcard.ts';

export type ContactQueriesDeps = {
  readonly desk: Pick<ContactDesk, 'lastActivity' | 'softwareOf'>;
  readonly factsFor: (ask: ContactAsk) => ContactFacts;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/** `Linphone/5.1 (belle-sip/5)`: a product and what it says of its version (RFC 3261, section 20.41). */
const PRODUCT = /^([^/]{1,100})\/(\S{1,60})/;

/**
 * What one may ask about a user of ours. Those who may not see his presence are told `forbidden`, whether there is such a
 * user or not; what is not known of one whom they may see is `service-unavailable`.
 */
export function contactQueries({ desk, factsFor, clock }: ContactQueriesDeps) {
  /** XEP-0012, section 3: of a full JID since when it is idle, of an account that is away since when it is. */
  const last: Handler<ContactAsk> = (ask) => {
    const facts = watcherFacts(factsFor(ask));
    const nowMs = clock.nowMs();
    const known = desk.lastActivity(ask.user, facts, nowMs, tupleIdFor(ask, facts));
    if (known === undefined) throw unknown('last activity');
    return lastElement(Math.floor((nowMs - known.atMs) / 1_000));
  };

  const version: Handler<ContactAsk> = (ask) => {
    const [software] = desk.softwareOf(ask.user, watcherFacts(factsFor(ask)));
    if (software === undefined) throw unknown('software');
    const product = PRODUCT.exec(software);
    return versionElement(product?.[1]?.trim() ?? software, product?.[2] ?? '');
  };

  /** Where his presence says how far his clock is from UTC (RFC 4480, section 3.12). */
  const time: Handler<ContactAsk> = (ask) => {
    const { document } = watcherFacts(factsFor(ask));
    const offsets = [...(document?.tuples ?? []), ...(document?.persons ?? [])].flatMap(
      ({ rich }) => rich.timeOffset ?? [],
    );
    const [offset] = offsets;
    if (offset === undefined) throw unknown('time');
    return timeElement(clock.nowMs(), offset.minutes);
  };

  const withCard = (map: typeof vcardTemp): Handler<ContactAsk> => {
    return (ask) => {
      const facts = factsFor(ask);
      // What he is called may be for everybody.
      if (facts.sight === 'nothing' && facts.displayName === undefined) watcherFacts(facts);
      return map(facts, formatJid(bareJid(ask.to)));
    };
  };

  return {
    last,
    version,
    time,
    vcard: withCard(vcardTemp),
    vcard4: withCard(vcard4),
    items: ((ask) => pepItems(ask.payload, factsFor(ask), formatJid(bareJid(ask.to)))) satisfies Handler<ContactAsk>,
  };
}

export function lastElement(seconds: number): XmlElement {
  return { name: 'query', attrs: { xmlns: LAST_NAMESPACE, seconds: String(Math.max(0, seconds)) }, children: [] };
}

export function versionElement(name: string, version: string): XmlElement {
  return {
    name: 'query',
    attrs: { xmlns: VERSION_NAMESPACE },
    children: [
      { name: 'name', attrs: {}, children: [name] },
      { name: 'version', attrs: {}, children: version === '' ? [] : [version] },
    ],
  };
}

/** XEP-0202. */
export function timeElement(nowMs: number, offsetMinutes: number): XmlElement {
  const minutes = Math.abs(Math.trunc(offsetMinutes));
  const two = (value: number): string => String(value).padStart(2, '0');
  const zone = `${offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  return {
    name: 'time',
    attrs: { xmlns: TIME_NAMESPACE },
    children: [
      { name: 'tzo', attrs: {}, children: [zone] },
      { name: 'utc', attrs: {}, children: [formatRfc3339(nowMs)] },
    ],
  };
}

function watcherFacts(facts: ContactFacts): ContactFacts {
  if (facts.sight === 'nothing') throw new GatewayError('sender-forbidden', 'one who may not watch asks about a user');
  return facts;
}

function tupleIdFor({ to }: ContactAsk, { document }: ContactFacts): string | undefined {
  if (to.resource === undefined) return undefined;
  const tuple = document === undefined ? undefined : tupleOfResource(document, to.resource);
  if (tuple === undefined) throw unknown('instance');
  return tuple.id;
}

function unknown(what: string): GatewayError {
  return new GatewayError('service-refused', `${what} of a user that is not known`);
}
