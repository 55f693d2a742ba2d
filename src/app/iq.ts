import { type IqDesk, iqDesk } from '../xmpp/gateway/iq-desk.ts';
import type { ComponentDomains } from '../xmpp/map-address.ts';
import type { ContactSide } from './contacts.ts';
import type { AppOptions } from './options.ts';

/** What answers the iq requests of one link. */
export function createIqDesk(
  link: string,
  domains: ComponentDomains,
  { contacts, startedAtMs }: { readonly contacts: ContactSide; readonly startedAtMs: number },
  { config, version, clock }: AppOptions,
): IqDesk {
  return iqDesk({
    link,
    domains,
    desk: contacts.desk,
    commandsFor: () => [],
    service: undefined,
    served: new Map(),
    features: [],
    isPaced: config.rateLimits !== 'off',
    version,
    startedAtMs,
    clock,
  });
}
