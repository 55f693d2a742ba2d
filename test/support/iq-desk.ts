import { ContactDesk, type ContactDeskDeps } from '../../src/core/directory/contact-desk.ts';
import { type IqDesk, iqDesk, type IqDeskDeps } from '../../src/xmpp/gateway/iq-desk.ts';

/** Answers iq requests for a link of which nobody knows anything, where the test says nothing else. */
export function anIqDesk(
  deps: Partial<Omit<IqDeskDeps, 'desk'>> = {},
  contacts: Partial<ContactDeskDeps> = {},
): IqDesk {
  const desk = new ContactDesk({
    presence: { seenBy: () => ({ kind: 'nothing' }) },
    profileOf: () => undefined,
    bindingsOf: () => [],
    lastSeenOf: () => undefined,
    policy: { names: 'watchers', software: true },
    ...contacts,
  });
  return iqDesk({
    link: 'office',
    domains: { domain: 'sip.example', name: 'sip.xmpp.example' },
    desk,
    commandsFor: () => [],
    service: undefined,
    served: new Map(),
    features: [],
    isPaced: true,
    version: '1.2.3',
    startedAtMs: 1_700_000_000_000,
    clock: { nowMs: () => 1_700_000_000_000 },
    ...deps,
  });
}
