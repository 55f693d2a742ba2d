/** A block of IP addresses. IPv4 has 4 octets, IPv6 has 16; an IPv4-mapped IPv6 address counts as IPv4. */
export type Cidr = { readonly octets: readonly number[]; readonly bits: number };

const ADDRESS_LENGTH_MAX = 45;

/**
 * Reads an IP address, v4 or v6, v6 also in brackets.
 *
 * @returns its 4 or 16 octets, or undefined when `text` is none; an IPv4-mapped IPv6 address gives 4.
 */
export function parseIpAddress(text: string): readonly number[] | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (bare.length === 0 || bare.length > ADDRESS_LENGTH_MAX) return undefined;
  return bare.includes(':') ? parseIpv6(bare) : parseIpv4(bare);
}

/** Reads an IP address or a block of them in CIDR notation: `192.0.2.0/24`, `2001:db8::/32`. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const octets = parseIpAddress(slash < 0 ? text : text.slice(0, slash));
  if (octets === undefined) return undefined;
  const bitsMax = octets.length * 8;
  if (slash < 0) return { octets, bits: bitsMax };
  const bits = decimal(text.slice(slash + 1), 3);
  return bits === undefined || bits > bitsMax ? undefined : { octets, bits };
}

/** Those of these texts that are blocks. */
export function parseCidrs(texts: readonly string[]): readonly Cidr[] {
  return texts.map(parseCidr).filter((block) => block !== undefined);
}

/** Whether an address is in one of these blocks; false for a text that is no address. */
export function isAmong(text: string, blocks: readonly Cidr[]): boolean {
  const address = blocks.length === 0 ? undefined : parseIpAddress(text);
  return address !== undefined && blocks.some((block) => cidrHolds(block, address));
}

/** Whether the block holds the address; false for an address that is none. */
export function cidrHolds(cidr: Cidr, address: readonly number[]): boolean {
  if (address.length !== cidr.octets.length) return false;
  const whole = cidr.bits >> 3;
  for (let at = 0; at < whole; at++) if (cidr.octets[at] !== address[at]) return false;
  const rest = cidr.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((cidr.octets[whole] ?? 0) & mask) === ((address[whole] ?? 0) & mask);
}

/**
 * What one host has of addresses: one of IPv4, a /64 of IPv6, in which it takes another one whenever it likes (RFC 4862,
 * section 5.5). Who counts what comes from an address counts by this. Of a text that is no address, the text.
 */
export function hostNetwork(text: string): string {
  const octets = parseIpAddress(text);
  if (octets === undefined) return text;
  return octets.length === 4 ? octets.join('.') : `${octets.slice(0, 8).join('.')}/64`;
}

function parseIpv4(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const octets: number[] = [];
  for (const part of parts) {
    const octet = decimal(part, 3);
    if (octet === undefined || octet > 255) return undefined;
    octets.push(octet);
  }
  return octets;
}

function parseIpv6(text: string): readonly number[] | undefined {
  // A zone names an interface of this machine and says nothing about who the far end is.
  const zone = text.indexOf('%');
  const bare = zone < 0 ? text : text.slice(0, zone);
  const halves = bare.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  const octets = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const mapped = octets.slice(0, 10).every((octet) => octet === 0) && octets[10] === 0xff && octets[11] === 0xff;
  return mapped ? octets.slice(12) : octets;
}

/** The octets of groups between colons; the last one may be an IPv4 address where `ipv4Last` says so. */
function groups(text: string, ipv4Last: boolean): number[] | undefined {
  if (text === '') return [];
  const octets: number[] = [];
  const parts = text.split(':');
  for (const [at, part] of parts.entries()) {
    if (ipv4Last && at === parts.length - 1 && part.includes('.')) {
      const last = parseIpv4(part);
      if (last === undefined) return undefined;
      octets.push(...last);
      continue;
    }
    if (part.length === 0 || part.length > 4 || !/^[0-9a-f]+$/i.test(part)) return undefined;
    const group = Number.parseInt(part, 16);
    octets.push(group >> 8, group & 0xff);
  }
  return octets;
}

function decimal(text: string, digitsMax: number): number | undefined {
  if (text.length === 0 || text.length > digitsMax || !/^[0-9]+$/.test(text)) return undefined;
  // A leading zero is octal to some readers and decimal to others: neither is meant here.
  if (text.length > 1 && text.startsWith('0')) return undefined;
  return Number(text);
}
