import type { Address } from '../../cpim/address.ts';
import type { PresenceDocument } from '../../cpim/presence/document.ts';

/** What a PUBLISH asks for, whoever sent it having proved that he may (RFC 3903, section 6). */
export type PublishRequest = {
  readonly presentity: Address;
  /** The entity-tag it is about; absent: a new publication. */
  readonly ifMatch?: string;
  /** As asked for; 0 removes, absent: the configured default. */
  readonly expiresSeconds?: number;
  /** Absent: refresh what is there, or remove it. */
  readonly document?: PresenceDocument;
};

export type Published = { readonly etag: string; readonly expiresSeconds: number };

/** One publication as it is kept; the key of its record is its entity-tag. */
export type Publication = {
  readonly presentity: Address;
  /** Names the publication over all its entity-tags, unique among those of the presentity; grows with time. */
  readonly number: number;
  readonly document: PresenceDocument;
  readonly expiresAtMs: number;
  /** When the last PUBLISH of it came, a refresh included; grows with each of them. */
  readonly publishedAtMs: number;
  /** When its document was last put or changed; not moved by a refresh. */
  readonly changedAtMs: number;
};
