import { createHash } from 'node:crypto';
import type { Address } from '../cpim/address.ts';
import { ContactDesk } from '../core/directory/contact-desk.ts';
import { Directory, type DirectoryDeps } from '../core/directory/directory.ts';
import { LastSeen } from '../core/directory/last-seen.ts';
import type { PresenceService } from '../core/presence/presence-service.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import type { AppOptions } from './options.ts';
import type { Stores } from './stores.ts';

export type ContactParts = {
  readonly store: Pick<Stores['store'], 'records'>;
  readonly isUser: (address: Address) => boolean;
  readonly contactsOf: RegistrationService['contactsOf'];
  /** Which needs these parts to be there first. */
  readonly presence: () => PresenceService;
};

/** What is known of our users beside their presence. */
export type ContactSide = {
  readonly directory: Directory;
  readonly lastSeen: LastSeen;
  readonly desk: ContactDesk;
};

export type DirectoryParts = Pick<ContactParts, 'store' | 'isUser'> & Pick<DirectoryDeps, 'beforeChange' | 'changed'>;

/** The directory as it is in the store. */
export function createDirectory(
  { store, ...parts }: DirectoryParts,
  { config, log }: Pick<AppOptions, 'config' | 'log'>,
): Directory {
  return new Directory({
    ...parts,
    records: store.records('profile'),
    avatarBytesMax: config.directory.avatarBytes,
    sha1Of: (base64) => createHash('sha1').update(base64, 'base64').digest('hex'),
    log,
  });
}

/** Puts together what is known of our users; reads what an earlier process left. */
export function createContacts(parts: ContactParts, { config, clock, log }: AppOptions): ContactSide {
  const { store, isUser, contactsOf, presence } = parts;
  const beforeChange = (userKey: string): void => presence().beforeProfile(userKey);
  const changed = (userKey: string): void => presence().profileChanged(userKey);
  const directory = createDirectory({ store, isUser, beforeChange, changed }, { config, log });
  const lastSeen = new LastSeen({
    records: store.records('last-seen'),
    isThere: (userKey) => contactsOf(userKey).length > 0 || presence().hasPublished(userKey),
    clock,
  });
  const desk = new ContactDesk({
    presence: { seenBy: (pair, via) => presence().seenBy(pair, via) },
    profileOf: (userKey) => directory.of(userKey),
    bindingsOf: contactsOf,
    lastSeenOf: (userKey) => lastSeen.of(userKey),
    policy: config.directory,
  });
  return { directory, lastSeen, desk };
}
