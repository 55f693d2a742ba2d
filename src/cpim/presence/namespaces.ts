/** RFC 3863, section 4.2.2. */
export const PIDF = 'urn:ietf:params:xml:ns:pidf';
/** RFC 4479, section 5.1.2. */
export const DATA_MODEL = 'urn:ietf:params:xml:ns:pidf:data-model';
/** RFC 4480, section 5.1. */
export const RPID = 'urn:ietf:params:xml:ns:pidf:rpid';
/** RFC 4482, section 5. */
export const CIPID = 'urn:ietf:params:xml:ns:pidf:cipid';
/** RFC 5196, section 6. */
export const CAPS = 'urn:ietf:params:xml:ns:pidf:caps';
/** The values of a place type (RFC 4589). */
export const LOCATION_TYPE = 'urn:ietf:params:xml:ns:location-type';
/** Of `<show/>` (RFC 8048, section 6.2, note 7). */
export const JABBER_CLIENT = 'jabber:client';
/** Of `<im/>` in RFC 3863, section 4.3.1 and RFC 3922, section 5.1.5; it was never registered. */
export const PIDF_IM = 'urn:ietf:params:xml:ns:pidf:im';
/** RFC 3858, section 3. */
export const WATCHERINFO = 'urn:ietf:params:xml:ns:watcherinfo';

/** Prefixes under which we write them; the ones of the RFCs, since some watchers look for these and not for namespaces. */
export const PREFIXES = { dm: DATA_MODEL, rpid: RPID, c: CIPID, lt: LOCATION_TYPE, caps: CAPS } as const;
