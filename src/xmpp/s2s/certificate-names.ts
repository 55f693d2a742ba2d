import { parseJid } from '../jid.ts';

/** The names of XMPP domains that a certificate carries (RFC 6120, section 13.7.1.2), lower case. */
export type CertificateNames = {
  /** dNSName, perhaps with a wildcard. */
  readonly dns: readonly string[];
  /** SRVName of XMPP between servers, the service left out. */
  readonly srv: readonly string[];
  /** xmppAddr. */
  readonly xmpp: readonly string[];
};

const NONE: CertificateNames = { dns: [], srv: [], xmpp: [] };
/** A certificate may name many domains, but not any number. */
const NAMES_MAX = 1_000;
const BYTES_MAX = 131_072;

/** DER of 2.5.29.17 (subjectAltName), 1.3.6.1.5.5.7.8.5 (xmppAddr) and 1.3.6.1.5.5.7.8.7 (SRVName). */
const SUBJECT_ALT_NAME = '551d11';
const XMPP_ADDR = '2b06010505070805';
const SRV_NAME = '2b06010505070807';
const SERVER_SERVICE = '_xmpp-server.';

const TAG = { octets: 0x04, oid: 0x06, utf8: 0x0c, ia5: 0x16, sequence: 0x30, extensions: 0xa3 };
/** GeneralName (RFC 5280, section 4.2.1.6): otherName [0], dNSName [2]; the value of an otherName is [0] again. */
const OTHER_NAME = 0xa0;
const DNS_NAME = 0x82;

/**
 * Reads the names out of a certificate's DER: Node gives other names than DNS ones in no other form.
 *
 * The reader looks at tags and lengths on the way to the one extension, never past the end of what holds them. What
 * does not read as DER, or is larger than any certificate, proves nothing: no names.
 */
export function certificateNames(der: Uint8Array): CertificateNames {
  if (der.length > BYTES_MAX) return NONE;
  try {
    return namesIn(der);
  } catch {
    return NONE;
  }
}

/**
 * Whether a certificate speaks for a domain: an xmppAddr or an SRVName that is the domain, or a dNSName that is it or
 * has a wildcard for its left-most label (RFC 6125, section 6.4.3: nowhere else, and only as the whole label). What
 * follows a wildcard has two labels at least: one that covers everything under a top-level domain covers nothing. The
 * common name is never looked at.
 *
 * @param domain in canonical form
 */
export function certifies(names: CertificateNames, domain: string): boolean {
  if (names.xmpp.includes(domain) || names.srv.includes(domain) || names.dns.includes(domain)) return true;
  const dot = domain.indexOf('.');
  const rest = domain.slice(dot + 1);
  return dot > 0 && rest.includes('.') && names.dns.includes(`*.${rest}`);
}

function namesIn(der: Uint8Array): CertificateNames {
  const dns: string[] = [];
  const srv: string[] = [];
  const xmpp: string[] = [];
  // Certificate > TBSCertificate > [3] > Extensions
  const tbs = first(contentOf(first(contentOf(der), TAG.sequence).content), TAG.sequence);
  const holder = contentOf(tbs.content).find(({ tag }) => tag === TAG.extensions);
  if (holder === undefined) return NONE;
  for (const extension of contentOf(first(contentOf(holder.content), TAG.sequence).content)) {
    const [oid, ...rest] = contentOf(extension.content);
    if (oid?.tag !== TAG.oid || hex(oid.content) !== SUBJECT_ALT_NAME) continue;
    const value = rest.find(({ tag }) => tag === TAG.octets);
    if (value === undefined) return NONE;
    for (const name of contentOf(first(contentOf(value.content), TAG.sequence).content)) {
      if (dns.length + srv.length + xmpp.length >= NAMES_MAX) return NONE;
      if (name.tag === DNS_NAME) add(dns, dnsName(name.content));
      else if (name.tag === OTHER_NAME) otherName(name.content, srv, xmpp);
    }
  }
  return { dns, srv, xmpp };
}

function otherName(content: Uint8Array, srv: string[], xmpp: string[]): void {
  const [type, holder] = contentOf(content);
  if (type?.tag !== TAG.oid || holder?.tag !== OTHER_NAME) return;
  const [value] = contentOf(holder.content);
  if (value === undefined) return;
  const oid = hex(type.content);
  if (oid === XMPP_ADDR && value.tag === TAG.utf8) {
    add(xmpp, domainOf(new TextDecoder('utf-8', { fatal: true }).decode(value.content)));
  } else if (oid === SRV_NAME && value.tag === TAG.ia5) {
    const text = ascii(value.content)?.toLowerCase();
    if (text?.startsWith(SERVER_SERVICE) === true) add(srv, domainOf(text.slice(SERVER_SERVICE.length)));
  }
}

function dnsName(content: Uint8Array): string | undefined {
  const text = ascii(content)?.toLowerCase();
  if (text === undefined) return undefined;
  if (!text.startsWith('*.')) return domainOf(text);
  const rest = domainOf(text.slice(2));
  return rest === undefined ? undefined : `*.${rest}`;
}

/** A domain and nothing else: an address of a user speaks for no domain. */
function domainOf(text: string): string | undefined {
  const jid = parseJid(text);
  return jid === undefined || jid.local !== undefined || jid.resource !== undefined ? undefined : jid.domain;
}

function add(list: string[], name: string | undefined): void {
  if (name !== undefined) list.push(name);
}

/** A NUL in a name has fooled many (CVE-2009-2408): what is no printable ASCII is no name. */
function ascii(bytes: Uint8Array): string | undefined {
  for (const byte of bytes) if (byte <= 0x20 || byte >= 0x7f) return undefined;
  return Buffer.from(bytes).toString('latin1');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

type Node = { readonly tag: number; readonly content: Uint8Array };

function first(nodes: readonly Node[], tag: number): Node {
  const node = nodes.find((one) => one.tag === tag);
  if (node === undefined) throw new RangeError('no such part in the certificate');
  return node;
}

/** The nodes one after another that fill these bytes. @throws RangeError where they do not fill them exactly */
function contentOf(bytes: Uint8Array): readonly Node[] {
  const nodes: Node[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = byteAt(bytes, at);
    // Tags of more than one byte stand nowhere in a certificate on our way.
    if ((tag & 0x1f) === 0x1f) throw new RangeError('long tag');
    let length = byteAt(bytes, at + 1);
    at += 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3) throw new RangeError('length of a form that DER does not have');
      length = 0;
      for (let n = 0; n < count; n += 1) length = length * 256 + byteAt(bytes, at + n);
      at += count;
    }
    if (at + length > bytes.length) throw new RangeError('longer than what holds it');
    nodes.push({ tag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return nodes;
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError('ends too early');
  return byte;
}
