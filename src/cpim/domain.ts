import { DOMAIN_BYTES_MAX, LABEL_BYTES_MAX } from './limits.ts';

/**
 * The canonical form of a domain: A-labels in lower case (IDNA as in UTS 46, non-transitional), an IPv4 address as a
 * dotted quad, an IPv6 address in brackets and shortest form. One trailing dot is dropped (RFC 7622, section 3.2).
 *
 * Refused: ports, zone ids, empty or overlong labels, hyphens at a label's end, underscores, numbers that only look
 * like IPv4 (`127.1`, `0x7f.1`, `01.2.3.4`), labels that begin with `xn--` and are no Punycode.
 *
 * @returns undefined when `domain` is none; never throws.
 */
export function domainInCanonicalForm(domain: string): string | undefined {
  // Before IDNA: no U-label has more units than four times what its A-label may have.
  if (domain === '' || domain.length > 4 * DOMAIN_BYTES_MAX) return undefined;
  if (domain.charCodeAt(0) === 0x5b) return bracketedIpv6(domain);
  const kind = asciiKind(domain);
  if (kind === 'bad') return undefined;
  if (kind === 'plain') return checkedLabels(domain);
  const lower = kind === 'mixed-case' ? domain.toLowerCase() : hostByIdna(domain);
  return lower === undefined ? undefined : checkedLabels(lower);
}

/** Looks at each character once: what may stand in a host, and what must be done to it. */
function asciiKind(domain: string): 'plain' | 'mixed-case' | 'unicode' | 'bad' {
  let upper = false;
  let unicode = false;
  for (let at = 0; at < domain.length; at += 1) {
    const code = domain.charCodeAt(at);
    if ((code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e) continue;
    if (code >= 0x41 && code <= 0x5a) upper = true;
    else if (code >= 0x80) unicode = true;
    else return 'bad';
  }
  // Labels already in Punycode are checked by decoding them, which the IDNA code does.
  if (unicode || /(^|\.)xn--/i.test(domain)) return 'unicode';
  return upper ? 'mixed-case' : 'plain';
}

function hostByIdna(domain: string): string | undefined {
  const host = URL.canParse(`http://${domain}/`) ? new URL(`http://${domain}/`).hostname : '';
  // The result is judged again: IDNA maps some characters to ones that no host has.
  return host !== '' && /^[a-z0-9.-]+$/.test(host) ? host : undefined;
}

function bracketedIpv6(domain: string): string | undefined {
  if (domain.length > 50 || !/^\[[0-9A-Fa-f:.]+\]$/.test(domain)) return undefined;
  return URL.canParse(`http://${domain}/`) ? new URL(`http://${domain}/`).hostname : undefined;
}

/** Checks lengths and label ends of a lower-case ASCII host and drops one trailing dot. */
function checkedLabels(host: string): string | undefined {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  if (name === '' || name.length > DOMAIN_BYTES_MAX) return undefined;
  let start = 0;
  for (;;) {
    const dot = name.indexOf('.', start);
    const end = dot < 0 ? name.length : dot;
    if (end === start || end - start > LABEL_BYTES_MAX) return undefined;
    if (name.charCodeAt(start) === 0x2d || name.charCodeAt(end - 1) === 0x2d) return undefined;
    if (dot < 0) break;
    start = dot + 1;
  }
  // A last label of digits is an IPv4 address or nothing (RFC 3261, section 25.1: toplabel begins with a letter).
  const first = name.charCodeAt(start);
  if (first < 0x30 || first > 0x39 || !/^[0-9]+$/.test(name.slice(start))) return name;
  return isIpv4(name) ? name : undefined;
}

function isIpv4(name: string): boolean {
  const quads = name.split('.');
  return quads.length === 4 && quads.every((quad) => /^(0|[1-9][0-9]{0,2})$/.test(quad) && Number(quad) <= 255);
}
