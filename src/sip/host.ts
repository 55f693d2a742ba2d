import { HOST, isDigit, isHexDigit, isIn } from './characters.ts';

/** RFC 1035, section 2.3.4: 255 octets on the wire are 253 characters, and one for a closing dot. */
const HOST_NAME_LENGTH_MAX = 254;
const LABEL_LENGTH_MAX = 63;

/**
 * Reads the host of a SIP URI or of a Via (RFC 3261, section 25.1, `host`).
 *
 * Accepts host names, IPv4 addresses and IPv6 addresses in brackets. An underscore in a label is let pass, since
 * private networks use it. The extra colon of `[2001:db8:::192.0.2.1]` is dropped (RFC 5118, section 4.10).
 *
 * @returns the host in lower case, IPv6 with its brackets; undefined when `text` is none.
 */
export function parseHost(text: string): string | undefined {
  if (text.charCodeAt(0) === 0x5b) {
    if (text.charCodeAt(text.length - 1) !== 0x5d) return undefined;
    const address = withoutExtraColon(text.slice(1, -1));
    return ipv6Groups(address) === undefined ? undefined : `[${address.toLowerCase()}]`;
  }
  const { length } = text;
  if (length === 0 || length > HOST_NAME_LENGTH_MAX) return undefined;
  let labelStart = 0;
  let isUpper = false;
  let isNumber = true;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (!isLabel(text, labelStart, i)) return undefined;
      labelStart = i + 1;
      // A name may end with a dot, which ends no number.
      if (labelStart < length) isNumber = true;
    } else if (!isIn(code, HOST)) return undefined;
    else if (code > 0x39 || code === 0x2d) {
      isNumber = false;
      if (code <= 0x5a) isUpper = true;
    }
  }
  if (labelStart < length && !isLabel(text, labelStart, length)) return undefined;
  // A name cannot end in a number (RFC 3261, `toplabel`): this is an IPv4 address or nothing.
  if (isNumber) return isIpv4(text) ? text : undefined;
  return isUpper ? text.toLowerCase() : text;
}

function isLabel(text: string, start: number, end: number): boolean {
  if (end === start || end - start > LABEL_LENGTH_MAX) return false;
  return text.charCodeAt(start) !== 0x2d && text.charCodeAt(end - 1) !== 0x2d;
}

/** Four numbers of 0 to 255, at most three digits each. */
export function isIpv4(text: string): boolean {
  if (text.length > 15) return false;
  let dots = 0;
  let digits = 0;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (digits === 0) return false;
      dots++;
      digits = value = 0;
    } else {
      if (!isDigit(code) || digits === 3) return false;
      digits++;
      value = value * 10 + code - 0x30;
      if (value > 255) return false;
    }
  }
  return dots === 3 && digits > 0;
}

function withoutExtraColon(address: string): string {
  const at = address.indexOf(':::');
  return at === -1 ? address : address.slice(0, at) + address.slice(at + 1);
}

/**
 * The eight 16-bit groups of an IPv6 address without brackets, so that two spellings of it can be compared
 * (RFC 5954, section 4.2); undefined when it is none.
 */
export function ipv6Groups(text: string): readonly number[] | undefined {
  // 45 characters is the longest spelling; beyond it nothing needs to be looked at.
  if (text.length < 2 || text.length > 45) return undefined;
  const gap = text.indexOf('::');
  if (gap === -1) return groupsOf(text, 8, true);
  if (text.includes('::', gap + 1)) return undefined;
  const head = gap === 0 ? [] : groupsOf(text.slice(0, gap), undefined, false);
  const rest = text.slice(gap + 2);
  const tail = rest === '' ? [] : groupsOf(rest, undefined, true);
  if (head === undefined || tail === undefined || head.length + tail.length > 7) return undefined;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function groupsOf(text: string, count: number | undefined, mayEndInIpv4: boolean): number[] | undefined {
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] ?? '';
    if (mayEndInIpv4 && i === parts.length - 1 && part.includes('.')) {
      if (!isIpv4(part)) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
      groups.push(a * 256 + b, c * 256 + d);
    } else {
      if (part.length === 0 || part.length > 4) return undefined;
      for (let j = 0; j < part.length; j++) if (!isHexDigit(part.charCodeAt(j))) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return count === undefined || groups.length === count ? groups : undefined;
}

/** Whether two hosts as `parseHost` returns them are the same, spellings of IPv6 aside. */
export function sameHost(a: string, b: string): boolean {
  if (a === b) return true;
  if (!a.startsWith('[') || !b.startsWith('[')) return false;
  const groupsOfA = ipv6Groups(a.slice(1, -1));
  const groupsOfB = ipv6Groups(b.slice(1, -1));
  return groupsOfA !== undefined && groupsOfB !== undefined && groupsOfA.every((group, i) => group === groupsOfB[i]);
}

/** Whether the host of a URI is an IP address as a flow has it, without brackets. */
export function isAtAddress(host: string, address: string): boolean {
  return sameHost(host, address.includes(':') && !address.startsWith('[') ? `[${address}]` : address);
}

/** Whether an address, without brackets, is of this machine. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** Names that no name server will ever know (RFC 2606, section 2): clients without an address of their own use them. */
export function isNowhere(host: string): boolean {
  return /(^|\.)invalid\.?$/i.test(host);
}
