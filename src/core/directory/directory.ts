import { addressKey, parseAddress, type Address } from '../../cpim/address.ts';
import type { ContactCard } from '../../cpim/presence/document.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Records } from '../ports.ts';
import { Turns } from '../turns.ts';
import { type Avatar, pictureIn, type Profile, type ProfileChange, TEXT_FIELDS, textFault } from './profile.ts';

export type DirectoryDeps = {
  /** Kind `profile`; the key is the address key of the user. */
  readonly records: Records<Profile>;
  readonly isUser: (address: Address) => boolean;
  /** Largest picture, bytes. */
  readonly avatarBytesMax: number;
  /** SHA-1 of what base64 holds, hex in lower case. */
  readonly sha1Of: (base64: string) => string;
  /** Told, by the key of the user, right before a change is stored. */
  readonly beforeChange: (userKey: string) => void;
  /** Told, by the key of the user, when what he is called or looks like has become another; it is durable by then. */
  readonly changed: (userKey: string) => void;
  readonly log: Log;
};

/** What the operator's doors may do about profiles: implemented by `Directory`, used by `http/routes-profiles.ts`. */
export interface ProfileAdministration {
  /** @throws GatewayError 'recipient-unknown' for nobody of ours. */
  read(user: Address): Profile | Promise<Profile>;
  /**
   * Changes a profile, whole or not at all; resolves when it is stored.
   *
   * @throws GatewayError 'recipient-unknown', 'request-malformed' naming the fault, 'content-too-large' (with `sizeMax`),
   *   'policy-violated' where there are too many, 'store-unavailable'.
   */
  change(user: Address, change: ProfileChange): Promise<Profile>;
  /** Forgets a profile, also of one who is a user of ours no more; says whether there was one. */
  forget(user: Address): Promise<boolean>;
}

/** Profiles are held in memory, pictures included. */
const PROFILES_MAX = 100_000;
const NONE: Profile = {};

/** The directory of our users: what they are called and look like. In memory; what a change has resolved for is durable. */
export class Directory implements ProfileAdministration {
  readonly #deps: DirectoryDeps;
  readonly #profiles = new Map<string, Profile>();
  /** A change starts from the result of the one before. */
  readonly #turns = new Turns();

  constructor(deps: DirectoryDeps) {
    this.#deps = deps;
    for (const [userKey, profile] of deps.records.all()) this.#profiles.set(userKey, profile);
  }

  /** The profile of a user, whoever asks. */
  of(userKey: string): Profile | undefined {
    return this.#profiles.get(userKey);
  }

  /** What of it belongs into his presence (RFC 4482); undefined where nothing does. */
  cardOf(userKey: string): ContactCard | undefined {
    const profile = this.#profiles.get(userKey);
    return profile === undefined ? undefined : cardFromProfile(profile);
  }

  /** Forgets those who are users of ours no more; once, at the start. */
  sweep(): void {
    for (const userKey of [...this.#profiles.keys()]) {
      const user = parseAddress(userKey);
      if (user !== undefined && this.#deps.isUser(user)) continue;
      this.#profiles.delete(userKey);
      this.#deps.records.removeLater(userKey);
    }
  }

  read(user: Address): Profile {
    if (!this.#deps.isUser(user)) throw new GatewayError('recipient-unknown', `no user ${user}`);
    return this.#profiles.get(addressKey(user)) ?? NONE;
  }

  async change(user: Address, change: ProfileChange): Promise<Profile> {
    const { isUser, records, beforeChange, changed, log } = this.#deps;
    if (!isUser(user)) throw new GatewayError('recipient-unknown', `no user ${user}`);
    const userKey = addressKey(user);
    const avatar = typeof change.avatar === 'string' ? this.#avatarIn(change.avatar) : change.avatar;
    return this.#turns.run(userKey, async () => {
      const before = this.#profiles.get(userKey);
      const after = profileAfter(before ?? NONE, change, avatar);
      if (before === undefined && this.#profiles.size >= PROFILES_MAX) {
        throw new GatewayError('policy-violated', `more than ${PROFILES_MAX} profiles`);
      }
      beforeChange(userKey);
      if (isEmpty(after)) {
        await records.remove(userKey);
        this.#profiles.delete(userKey);
      } else {
        await records.put(userKey, after);
        this.#profiles.set(userKey, after);
      }
      log.info({ aor: userKey, fields: Object.keys(change).join(' ') }, 'profile changed');
      changed(userKey);
      return after;
    });
  }

  async forget(user: Address): Promise<boolean> {
    const { records, beforeChange, changed } = this.#deps;
    const userKey = addressKey(user);
    return this.#turns.run(userKey, async () => {
      if (!this.#profiles.has(userKey)) return false;
      beforeChange(userKey);
      await records.remove(userKey);
      this.#profiles.delete(userKey);
      changed(userKey);
      return true;
    });
  }

  #avatarIn(base64: string): Avatar {
    const { avatarBytesMax, sha1Of } = this.#deps;
    const picture = pictureIn(base64);
    if (picture === undefined) {
      throw new GatewayError('request-malformed', 'the picture is none of PNG, JPEG, GIF and WebP', {
        details: { text: 'the picture is none of PNG, JPEG, GIF and WebP' },
      });
    }
    if (picture.bytes > avatarBytesMax) {
      throw new GatewayError('content-too-large', `picture of more than ${avatarBytesMax} bytes`, {
        details: { sizeMax: avatarBytesMax },
      });
    }
    return { ...picture, base64, sha1: sha1Of(base64) };
  }
}

/** What of a profile belongs into presence. */
function cardFromProfile({ displayName, homepage, avatar }: Profile): ContactCard {
  return {
    ...(displayName === undefined ? {} : { displayName }),
    ...(homepage === undefined ? {} : { homepage }),
    picture: avatar === undefined ? 'none' : { sha1: avatar.sha1, type: avatar.type, bytes: avatar.bytes },
  };
}

function profileAfter(before: Profile, change: ProfileChange, avatar: Avatar | null | undefined): Profile {
  const texts = new Map(TEXT_FIELDS.map((field) => [field, before[field]] as const));
  for (const field of TEXT_FIELDS) {
    const value = change[field];
    if (value === null) texts.delete(field);
    if (typeof value !== 'string') continue;
    const text = value.trim();
    const fault = textFault(field, text);
    if (fault !== undefined) {
      throw new GatewayError('request-malformed', `${field} ${fault}`, { details: { text: `${field} ${fault}` } });
    }
    texts.set(field, text);
  }
  const picture = avatar === undefined ? before.avatar : avatar;
  const known = [...texts].filter(([, text]) => text !== undefined);
  return {
    ...(Object.fromEntries(known) as Omit<Profile, 'avatar'>),
    ...(picture === undefined || picture === null ? {} : { avatar: picture }),
  };
}

function isEmpty(profile: Profile): boolean {
  return Object.keys(profile).length === 0;
}
