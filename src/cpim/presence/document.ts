/**
 * The presence document of the abstract model, whatever its wire form: the data model of RFC 4479 with the rich presence
 * of RFC 4480, the contact card of RFC 4482 and the capabilities of RFC 5196.
 *
 * Plain data: it goes through JSON into the store and comes back equal. What a reader does not know is kept as elements
 * with their namespaces complete, so that it survives a round trip.
 */
import type { LocalizedText } from '../operation.ts';
import type { XmlElement } from '../xml.ts';
import type { Capabilities } from './capabilities.ts';

export type Basic = 'open' | 'closed';

/** How available somebody is, as XMPP says it and RFC 8048, section 6 carries it in PIDF. */
export type Show = 'away' | 'chat' | 'dnd' | 'xa';

/** What an RPID element may say about itself (RFC 4480, section 3.1 and the `from` and `until` attributes). */
export type Validity = {
  readonly id?: string;
  /** ms since the epoch. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  readonly notes?: readonly LocalizedText[];
};

/**
 * A value of RPID: the local name of its element, `other` with its text. A place type is a name of RFC 4589. A sphere
 * that has a name of its own is `other` too.
 */
export type RpidValue = { readonly name: string; readonly text?: string; readonly language?: string };

/** An RPID element that lists values, one or more: activities, mood, privacy, sphere and their kin. */
export type RpidValues = Validity & {
  readonly values: readonly RpidValue[];
  /** Children of other namespaces. */
  readonly unknown?: readonly XmlElement[];
};

/** RFC 4480, section 3; each element where it was, on a person, a tuple or a device. */
export type RichPresence = {
  readonly activities?: RpidValues;
  readonly class?: string;
  readonly mood?: RpidValues;
  /** How fit the place is for audio, video and text: local names such as `noisy`, `toobright`, `inappropriate`. */
  readonly placeIs?: Validity & {
    readonly audio?: string;
    readonly video?: string;
    readonly text?: string;
    readonly unknown?: readonly XmlElement[];
  };
  readonly placeType?: RpidValues;
  readonly privacy?: RpidValues;
  readonly relationship?: RpidValues;
  readonly serviceClass?: RpidValues;
  readonly sphere?: RpidValues;
  readonly statusIcon?: Validity & { readonly uri: string };
  readonly timeOffset?: Validity & { readonly minutes: number; readonly description?: string };
  readonly userInput?: {
    readonly id?: string;
    readonly state: 'active' | 'idle';
    readonly idleThresholdSeconds?: number;
    readonly lastInputMs?: number;
  };
};

/** RFC 4482: URIs, and the name to show. */
export type ContactCard = {
  readonly card?: string;
  /** The first; those in other languages are extensions of what it belongs to. */
  readonly displayName?: string;
  readonly displayNameLanguage?: string;
  readonly homepage?: string;
  readonly icon?: string;
  readonly map?: string;
  readonly sound?: string;
  /** A picture that this server itself holds, or that it has none of him; no document says anything of it. */
  readonly picture?: Picture | 'none';
};

export type Picture = {
  /** Hex, lower case. */
  readonly sha1: string;
  readonly type: string;
  readonly bytes: number;
};

/** What persons, services and devices have in common. */
type Component = {
  /** Unique in the document; an XML ID. */
  readonly id: string;
  readonly rich: RichPresence;
  readonly notes: readonly LocalizedText[];
  /** ms since the epoch. */
  readonly timestampMs?: number;
  /** Child elements that are not understood. */
  readonly extensions: readonly XmlElement[];
};

/** A service: one way to reach the presentity (RFC 3863, section 4.1.2). */
export type Tuple = Component & {
  readonly basic?: Basic;
  readonly show?: Show;
  /** Children of `<status/>` that are not understood. */
  readonly statusExtensions: readonly XmlElement[];
  /** `priority` in thousandths, 0 to 1000. */
  readonly contact?: { readonly uri: string; readonly priority?: number };
  /** URIs of the devices it runs on. */
  readonly deviceIds: readonly string[];
  readonly card?: ContactCard;
  readonly capabilities?: Capabilities;
};

/** RFC 4479, section 3.2. */
export type Person = Component & { readonly card?: ContactCard };

/** RFC 4479, section 3.4. */
export type Device = Component & { readonly deviceId: string; readonly capabilities?: Capabilities };

export type PresenceDocument = {
  /** URI of the presentity as written: `pres:` where we write it. */
  readonly entity: string;
  readonly tuples: readonly Tuple[];
  readonly persons: readonly Person[];
  readonly devices: readonly Device[];
  /** Notes about the presentity as a whole. */
  readonly notes: readonly LocalizedText[];
  readonly extensions: readonly XmlElement[];
};
