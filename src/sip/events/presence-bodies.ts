import { hash } from 'node:crypto';
import type { PresenceDocument } from '../../cpim/presence/document.ts';
import { PRESENCE_TYPES_WRITTEN, writePresence } from '../../cpim/presence/presence-formats.ts';
import { writeWatcherInfo } from '../../cpim/presence/watcherinfo.ts';
import type { EventPackage, NotifyBody } from '../../core/presence/subscription.ts';

export type PresenceFormat = (typeof PRESENCE_TYPES_WRITTEN)[number];

/** RFC 3857, section 4.5. */
export const WATCHER_FORMATS = ['application/watcherinfo+xml'] as const;

/** In which a watcher is told. */
export type DocumentFormat = PresenceFormat | (typeof WATCHER_FORMATS)[number];

/** What a package offers; the first is what a watcher gets who says nothing (RFC 3856, section 6.5). */
export function formatsOf(name: EventPackage): readonly [DocumentFormat, ...DocumentFormat[]] {
  return name === 'presence' ? PRESENCE_TYPES_WRITTEN : WATCHER_FORMATS;
}

/** A body on the wire, shared by all who are told the same. */
export type WireBody = { readonly bytes: Uint8Array; readonly etag: string };

/** The entity-tag of a presentity of whom nothing is known, or nothing may be seen. */
export const NO_BODY_ETAG = 'none';

/** 132 bits: two documents never share one (RFC 5839, section 6.1). */
const ETAG_LENGTH = 22;

const written = new WeakMap<PresenceDocument, Partial<Record<PresenceFormat, WireBody>>>();

/** A document as it is sent; written once for each format, however many watchers there are. */
export function presenceBody(document: PresenceDocument, format: PresenceFormat): WireBody {
  let bodies = written.get(document);
  if (bodies === undefined) written.set(document, (bodies = {}));
  return (bodies[format] ??= writeBody(document, format));
}

function writeBody(document: PresenceDocument, format: PresenceFormat): WireBody {
  const bytes = Buffer.from(writePresence(format, document));
  return { bytes, etag: hash('sha256', bytes, 'base64url').slice(0, ETAG_LENGTH) };
}

/**
 * The entity-tag of what a watcher is told (RFC 5839, section 6.1); undefined for a list that is not whole, whose tag
 * would have to be that of the whole one (section 6.4).
 */
export function etagOf(body: NotifyBody | undefined, format: DocumentFormat): string | undefined {
  if (body === undefined) return NO_BODY_ETAG;
  if (body.kind === 'presence') return presenceBody(body.document, presenceFormat(format)).etag;
  if (body.list.state === 'partial') return undefined;
  // Without what moves with the clock: seconds left make no other list.
  const rows = body.list.watchers.map(({ id, watcher, status, event, displayName }) => [
    id,
    watcher,
    status,
    event,
    displayName,
  ]);
  return hash('sha256', JSON.stringify(rows), 'base64url').slice(0, ETAG_LENGTH);
}

/** The bytes of what a watcher is told; `version` counts the watcher lists of one subscription (RFC 3858, section 3). */
export function bytesOfBody(body: NotifyBody, format: DocumentFormat, version: number): Uint8Array {
  if (body.kind === 'watchers') return Buffer.from(writeWatcherInfo(body.list, version));
  return presenceBody(body.document, presenceFormat(format)).bytes;
}

export function isDocumentFormat(value: unknown): value is DocumentFormat {
  return (PRESENCE_TYPES_WRITTEN as readonly unknown[]).includes(value) || value === WATCHER_FORMATS[0];
}

function presenceFormat(format: DocumentFormat): PresenceFormat {
  return format === 'application/watcherinfo+xml' ? PRESENCE_TYPES_WRITTEN[0] : format;
}
