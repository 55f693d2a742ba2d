import type { HeaderField, SipHeaders } from './message.ts';

/** What a reader needs to know about a header field by its name. */
export type HeaderKind = {
  readonly name: string;
  /** Split at its commas on reading, one field per value. */
  readonly isList: boolean;
  /** A bit of its own when a message may have the field once at most; else 0. */
  readonly onceBit: number;
  /** The characters of `name`. */
  readonly bytes: Uint8Array;
};

/** Names with their usual capitals; the compact form after the blank (IANA registry of SIP header fields). */
const NAMES = `
  Accept|Accept-Contact a|Accept-Encoding|Accept-Language|Accept-Resource-Priority|Additional-Identity|Alert-Info|Allow
  Allow-Events u|Answer-Mode|Authentication-Info|Authorization|Call-ID i|Call-Info|Contact m|Content-Disposition
  Content-Encoding e|Content-ID|Content-Language|Content-Length l|Content-Transfer-Encoding|Content-Type c|CSeq|Date
  Encryption|Error-Info|Event o|Expires|Feature-Caps|Flow-Timer|From f|Geolocation|Geolocation-Error
  Geolocation-Routing|Hide|History-Info|Identity y|Identity-Info n|Info-Package|In-Reply-To|Join|Max-Breadth
  Max-Forwards|MIME-Version|Min-Expires|Min-SE|Organization|P-Access-Network-Info|P-Asserted-Identity
  P-Associated-URI|P-Called-Party-ID|P-Charging-Function-Addresses|P-Charging-Vector|P-Preferred-Identity
  P-Visited-Network-ID|Path|Priority|Privacy|Proxy-Authenticate|Proxy-Authorization|Proxy-Require|RAck|Reason
  Reason-Phrase|Record-Route|Recv-Info|Refer-Sub|Refer-To r|Referred-By b|Reject-Contact j|Remote-Party-ID|Replaces
  Reply-To|Request-Disposition d|Require|Resource-Priority|Response-Key|Retry-After|Route|RSeq|Security-Client
  Security-Server|Security-Verify|Server|Service-Route|Session-Expires x|Session-ID|SIP-ETag|SIP-If-Match|Subject s
  Subscription-Expires|Subscription-State|Supported k|Suppress-If-Match|Target-Dialog|Timestamp|To t|Unsupported
  User-Agent|Via v|Warning|WWW-Authenticate
`;

/** Split on reading, as the contract of `SipHeaders` says. */
const LISTS: ReadonlySet<string> = new Set(['Via', 'Route', 'Record-Route', 'Path', 'Contact']);

/**
 * Fields of which a second one makes a message ambiguous: two readers would believe two different things (RFC 4475,
 * sections 3.3.8 and 3.3.9). A repeated Content-Length with the same value is let pass by the parser.
 */
const ONCE = ['From', 'To', 'Call-ID', 'CSeq', 'Max-Forwards', 'Content-Length', 'Content-Type', 'Expires', 'Event'];

const NONE: readonly HeaderKind[] = [];
/** Longer than any name that is known. */
const NAME_LENGTH_MAX = 40;

const KINDS = new Map<string, HeaderKind>();
/** The same by length and first letter, for a look-up that needs no string. */
const BUCKETS: Array<HeaderKind[] | undefined> = [];

/** Where a name of this length and first character (in any capitals) is kept; `& 31` makes `a` and `A` one. */
function bucketOf(length: number, first: number): number {
  return length * 32 + (first & 31);
}

for (const entry of NAMES.trim().split(/[|\n]/)) {
  const [name = '', compact] = entry.trim().split(' ');
  const once = ONCE.indexOf(name);
  const kind: HeaderKind = {
    name,
    isList: LISTS.has(name),
    onceBit: once === -1 ? 0 : 1 << once,
    bytes: Buffer.from(name),
  };
  for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) KINDS.set(spelling, kind);
  if (compact !== undefined) {
    KINDS.set(compact, kind);
    KINDS.set(compact.toUpperCase(), kind);
  }
  const bucket = bucketOf(name.length, name.charCodeAt(0));
  (BUCKETS[bucket] ??= []).push(kind);
}

/** What is known of a header field, whatever its spelling; undefined for a name that is no SIP header field. */
export function headerKind(name: string): HeaderKind | undefined {
  return KINDS.get(name) ?? KINDS.get(name.toLowerCase());
}

/**
 * What is known of the header field whose name stands in `bytes` from `start` to `end`.
 *
 * The way of the parser: a name with its usual capitals, as nearly all are, is found without making a string of it.
 */
export function headerKindAt(bytes: Uint8Array, start: number, end: number): HeaderKind | undefined {
  const length = end - start;
  for (const kind of BUCKETS[bucketOf(length, bytes[start] ?? 0)] ?? NONE) {
    let i = 0;
    while (i < length && kind.bytes[i] === bytes[start + i]) i++;
    if (i === length) return kind;
  }
  return headerKind(String.fromCharCode(...bytes.subarray(start, Math.min(end, start + NAME_LENGTH_MAX + 1))));
}

/**
 * The canonical form of a header name: long, with its usual capitals (`i` and `CALL-ID` give `Call-ID`).
 *
 * A name that is not known is returned as it came; compare those without regard to case.
 */
export function canonicalName(name: string): string {
  return headerKind(name)?.name ?? name;
}

/** The header fields of one message, names canonical, in the order given. Never changes. */
export class SipHeaderList implements SipHeaders {
  readonly fields: readonly HeaderField[];

  /** Makes the names canonical, unless the caller has; values are taken as they are. */
  constructor(fields: readonly HeaderField[], areCanonical = false) {
    this.fields = areCanonical ? fields : fields.map(([name, value]) => [canonicalName(name), value] as const);
  }

  get(name: string): string | undefined {
    const wanted = headerKind(name)?.name;
    if (wanted === undefined) return this.all(name)[0];
    for (const field of this.fields) if (field[0] === wanted) return field[1];
    return undefined;
  }

  all(name: string): readonly string[] {
    const values: string[] = [];
    const wanted = headerKind(name)?.name;
    if (wanted === undefined) {
      const folded = name.toLowerCase();
      for (const field of this.fields) {
        if (field[0].length === folded.length && field[0].toLowerCase() === folded) values.push(field[1]);
      }
    } else for (const field of this.fields) if (field[0] === wanted) values.push(field[1]);
    return values;
  }
}
