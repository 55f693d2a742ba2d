/**
 * The named bounds of the vocabulary. Every reader here checks its bound before or while it reads, never after.
 * What a deployment may choose (size of a message, of a stanza) is handed in by the caller; these are the defaults.
 */

/** Decoded localpart of an address, bytes of UTF-8 (RFC 7622, section 3.3). */
export const LOCALPART_BYTES_MAX = 1023;
/** Domain of an address in its ASCII form, bytes (RFC 1035, section 2.3.4). */
export const DOMAIN_BYTES_MAX = 255;
/** One label of a domain, bytes (RFC 1035, section 2.3.4). */
export const LABEL_BYTES_MAX = 63;

/** An XML document, bytes of UTF-8. */
export const XML_DOCUMENT_BYTES_MAX = 1_048_576;
/** One stanza, UTF-16 units as they stand on the wire (RFC 6120, section 13.12 asks for at least 10,000 bytes). */
export const XML_STANZA_UNITS_MAX = 1_048_576;
/** Open elements at any moment, the root included. */
export const XML_DEPTH_MAX = 64;
/** Attributes of one element. */
export const XML_ATTRIBUTES_MAX = 64;
/** Children of one element, texts included. */
export const XML_CHILDREN_MAX = 10_000;

/** Header lines of one message/cpim object or of one MIME part. */
export const HEADER_LINES_MAX = 128;
/** How often content may be wrapped: multipart in message/cpim in multipart and so on. */
export const CONTENT_DEPTH_MAX = 4;
/** message/cpim inside message/cpim (RFC 3862, section 2.2: a gateway that changes something wraps the whole). */
export const CPIM_DEPTH_MAX = 2;
/** Parts of one multipart body. */
export const MULTIPART_PARTS_MAX = 64;
/** A multipart boundary, characters (RFC 2046, section 5.1.1). */
export const BOUNDARY_LENGTH_MAX = 70;
/** A Content-Type value, UTF-16 units. */
export const MEDIA_TYPE_LENGTH_MAX = 1024;
/** Parameters of a media type. */
export const MEDIA_TYPE_PARAMS_MAX = 32;

/** A presence document, bytes of UTF-8; also what may be added so that kept elements are whole. */
export const PRESENCE_DOCUMENT_BYTES_MAX = 131_072;
/** Open elements of a presence document at any moment. */
export const PRESENCE_DEPTH_MAX = 32;
/** Tuples of one presence document; persons and devices the same number each. */
export const PRESENCE_COMPONENTS_MAX = 128;
/** Notes of one element, and descriptions. */
export const PRESENCE_NOTES_MAX = 32;
/** Values of one RPID element, device ids of one tuple, names in one list of capabilities. */
export const PRESENCE_VALUES_MAX = 128;
/** Elements of one presence document that are not understood and kept. */
export const PRESENCE_KEPT_MAX = 256;
/** An id in a presence document, UTF-16 units: 1,023 bytes of a resource, all of them encoded. */
export const PRESENCE_ID_UNITS_MAX = 4096;
/** Watchers in one watcher information document. */
export const WATCHERS_MAX = 10_000;
/** A watcher information document, bytes of UTF-8. */
export const WATCHERINFO_BYTES_MAX = 4_194_304;
