/**
 * The SIP identities a certificate carries (RFC 5922, sections 7.1 and 7.2).
 */

/** One value of subjectAltName: the type as OpenSSL writes it (`DNS`, `URI`, `IP Address`) and the plain value. */
export type AlternativeName = { readonly type: string; readonly value: string };

/**
 * Reads the text Node makes of a certificate's subjectAltName: `DNS:a.example, URI:sip:b.example, DNS:"odd, name"`.
 *
 * A value with a comma, a quote or anything else that could be taken for the next value is a JSON string in this text
 * (the fix of CVE-2021-44532). Whatever does not read as that form ends the reading with nothing found: a certificate
 * whose names cannot be told apart proves none of them.
 */
export function alternativeNames(text: string | undefined): readonly AlternativeName[] {
  if (text === undefined || text === '') return [];
  const names: AlternativeName[] = [];
  let at = 0;
  while (at < text.length) {
    const colon = text.indexOf(':', at);
    if (colon < 0) return [];
    const type = text.slice(at, colon);
    let end: number;
    let value: string;
    if (text[colon + 1] === '"') {
      end = closingQuote(text, colon + 1);
      if (end < 0) return [];
      const plain = plainString(text.slice(colon + 1, end));
      if (plain === undefined) return [];
      value = plain;
    } else {
      end = text.indexOf(', ', colon);
      if (end < 0) end = text.length;
      value = text.slice(colon + 1, end);
      if (value.includes('"')) return [];
    }
    names.push({ type, value });
    if (end === text.length) break;
    if (!text.startsWith(', ', end)) return [];
    at = end + 2;
  }
  return names;
}

/** Index after the quote that closes the one at `open`; -1 when there is none. */
function closingQuote(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return -1;
}

function plainString(json: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Letters, digits, hyphens, underscores and dots: what a name is compared as. A wildcard is no name here. */
const HOST_NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;

/** What of a certificate names its owner, as Node gives it. */
export type CertificateSubject = {
  readonly subjectaltname?: string | undefined;
  readonly subject?: { readonly CN?: string | readonly string[] | undefined } | undefined;
};

/**
 * The SIP domains a certificate speaks for, lower case: the hosts of its `sip:` URIs without a user part, and its DNS
 * names if and only if it has no such URI (RFC 5922, section 7.1). The common name counts only in a certificate that has
 * no subjectAltName at all, and only where there is one and it is the name of a host.
 */
export function sipIdentities({ subjectaltname, subject }: CertificateSubject): readonly string[] {
  if (subjectaltname === undefined) return nameFromCommon(subject?.CN);
  const fromUris: string[] = [];
  const fromDns: string[] = [];
  for (const { type, value } of alternativeNames(subjectaltname)) {
    if (type === 'DNS') {
      const name = value.toLowerCase();
      if (HOST_NAME.test(name)) fromDns.push(name);
    } else if (type === 'URI' && value.slice(0, 4).toLowerCase() === 'sip:' && !value.includes('@')) {
      const end = value.slice(4).search(/[:;?]/);
      const host = (end < 0 ? value.slice(4) : value.slice(4, 4 + end)).toLowerCase();
      if (HOST_NAME.test(host)) fromUris.push(host);
    }
  }
  return [...new Set(fromUris.length > 0 ? fromUris : fromDns)];
}

/** A word without a dot is more likely what somebody calls a machine than a domain. */
function nameFromCommon(commonName: string | readonly string[] | undefined): readonly string[] {
  if (typeof commonName !== 'string') return [];
  const name = commonName.toLowerCase();
  return name.includes('.') && !isAddress(name) && HOST_NAME.test(name) ? [name] : [];
}

/**
 * Whether a server's certificate is for one of these names: whole names, no wildcards, no suffixes (RFC 5922, section
 * 7.2). An expected name that is an IP address is looked for among the certificate's addresses.
 */
export function certificateIsFor(certificate: CertificateSubject, expected: readonly string[]): boolean {
  const identities = sipIdentities(certificate);
  for (const name of expected) {
    const plain = name.toLowerCase().replace(/\.$/, '');
    if (identities.includes(plain)) return true;
    const alternatives = isAddress(plain) ? alternativeNames(certificate.subjectaltname) : [];
    if (alternatives.some((alternative) => isSameAddress(alternative, plain))) return true;
  }
  return false;
}

function isAddress(text: string): boolean {
  return text.includes(':') || /^[0-9.]+$/.test(text);
}

function isSameAddress(name: AlternativeName, address: string): boolean {
  if (name.type !== 'IP Address') return false;
  return canonicalAddress(name.value) === canonicalAddress(address);
}

/** A host without the brackets of IPv6. */
export function bare(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

/** One spelling for every spelling of an IP address, as the system writes it; other text stays as it is. */
export function canonicalAddress(address: string): string {
  const plain = bare(address);
  if (!plain.includes(':')) return plain;
  try {
    // The host of a URL is written in the one form of RFC 5952.
    return new URL(`http://[${plain}]/`).hostname.slice(1, -1);
  } catch {
    return plain.toLowerCase();
  }
}
