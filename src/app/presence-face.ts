import type { Address } from '../cpim/address.ts';
import type { ProfileAdministration } from '../core/directory/directory.ts';
import type { WatcherAdministration } from '../core/presence/rules.ts';
import { linkHop } from '../core/router.ts';
import type { Health } from '../http/routes-health.ts';
import type { PresenceHandlers } from '../sip/presence-application.ts';
import type { Gateway } from '../xmpp/gateway/gateway.ts';
import type { IqDesk } from '../xmpp/gateway/iq-desk.ts';
import type { LinkPresence } from '../xmpp/presence/xmpp-presence.ts';
import type { PresenceSide } from './presence.ts';

/** Presence as the rest of a server sees it, wherever it is kept. */
export type PresenceFace = {
  readonly sipHandlers: PresenceHandlers;
  readonly watchers: WatcherAdministration;
  readonly profiles: ProfileAdministration;
  /** Where it is kept here, and by no other node ever. */
  readonly own?: PresenceSide;
  /** Whether a user of ours lets somebody see when he is there. */
  maySee(userKey: string, watcher: Address): boolean | Promise<boolean>;
  figures(): Health['presence'];
  /** What the stanzas of a link mean to it, and its coming and going. */
  forLink(name: string): LinkPresence;
  /** What a link is as a gateway, as far as its stanzas go. */
  gatewayFor(name: string): Pick<Gateway, 'presence' | 'granted'> | undefined;
  /** What answers the iq requests of a link. */
  iqFor(name: string): IqDesk;
  /** The registrations of a user are about to change. */
  beforeRegistration(userKey: string): void;
  registered(userKey: string): void;
  /** Takes up what an earlier process left; before the doors open. */
  load(): void;
  /** When the ways out are open. */
  start(): void;
  stop(graceMs: number): Promise<void>;
  /** The server stops, after everything else but its links. */
  leave(): void;
};

/** Presence that is kept here. */
export function ownPresence(side: PresenceSide): PresenceFace {
  return {
    own: side,
    sipHandlers: side.sipHandlers,
    watchers: side.service.watchers,
    profiles: side.contacts.directory,
    maySee: (userKey, watcher) => side.service.maySee(userKey, watcher),
    figures: () => side.service.figures,
    forLink: (name) => linkPresence(side, name),
    gatewayFor: (name) => side.gatewayFor(name),
    iqFor: (name) => side.iqFor(name),
    beforeRegistration: (userKey) => side.service.beforeRegistration(userKey),
    registered: (userKey) => side.service.registered(userKey),
    load: () => side.load(),
    start: () => side.start(),
    stop: (graceMs) => side.stop(graceMs),
    leave: () => side.leave(),
  };
}

/** The part of one link, with everything that waits for it. */
export function linkPresence(side: PresenceSide, name: string): LinkPresence {
  const presence = side.xmpp.forLink(name);
  if (presence === undefined) throw new Error('a link that XMPP presence does not know');
  return {
    ...presence,
    up: () => {
      side.gatewayFor(name)?.up();
      presence.up();
      side.service.subscriptions.wake(linkHop(name));
    },
    down: () => {
      side.gatewayFor(name)?.down();
      presence.down();
    },
  };
}
