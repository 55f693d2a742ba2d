import { ContentError } from '../content-error.ts';
import { parseMediaType } from '../media-type.ts';
import { readCpimPidf } from './cpim-pidf.ts';
import type { PresenceDocument } from './document.ts';
import { type PidfOptions, readPidf, writePidf } from './pidf.ts';
import { readXpidf, writeXpidf } from './xpidf.ts';

/** Every notifier and watcher of presence has this one (RFC 3856, section 6.5). */
export const PIDF_TYPE = 'application/pidf+xml';
const CPIM_PIDF_TYPE = 'application/cpim-pidf+xml';
const XPIDF_TYPE = 'application/xpidf+xml';

/** What `readPresence` reads, the preferred one first. */
export const PRESENCE_TYPES_READ: readonly string[] = [PIDF_TYPE, CPIM_PIDF_TYPE, XPIDF_TYPE];
/** What `writePresence` writes, the preferred one first. */
export const PRESENCE_TYPES_WRITTEN = [PIDF_TYPE, XPIDF_TYPE] as const;

/**
 * Reads a presence document of any format that we know.
 *
 * @param mediaType a Content-Type value, parameters included; `text` has been decoded already
 * @throws ContentError 'unsupported' for another type, 'malformed' for what cannot be read
 */
export function readPresence(mediaType: string, text: string, options: PidfOptions = {}): PresenceDocument {
  const type: string = parseMediaType(mediaType)?.type ?? '';
  switch (type) {
    case PIDF_TYPE:
      return readPidf(text, options);
    case CPIM_PIDF_TYPE:
      return readCpimPidf(text);
    case XPIDF_TYPE:
      return readXpidf(text);
    default:
      throw new ContentError('unsupported', 'presence in a media type that is not known');
  }
}

/**
 * Writes a presence document. The same document and type give the same bytes.
 *
 * @param mediaType one of PRESENCE_TYPES_WRITTEN
 * @throws ContentError 'unsupported' for another type
 */
export function writePresence(mediaType: string, document: PresenceDocument): string {
  switch (mediaType) {
    case PIDF_TYPE:
      return writePidf(document);
    case XPIDF_TYPE:
      return writeXpidf(document);
    default:
      throw new ContentError('unsupported', 'presence to be written in a media type that is not known');
  }
}
