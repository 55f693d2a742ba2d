import { isIPv4 } from 'node:net';

/** RFC 5389, section 6. */
const HEADER_BYTES = 20;
const COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const BINDING_ERROR = 0x0111;
const XOR_MAPPED_ADDRESS = 0x0020;
const ERROR_CODE = 0x0009;
const UNKNOWN_ATTRIBUTES = 0x000a;
const UNKNOWN = 'Unknown Attribute';
/** A keep-alive needs no attributes at all (RFC 5626, section 8); more than this is none; bytes. */
const REQUEST_BYTES_MAX = 548;
const UNKNOWN_MAX = 8;
/** What credentials would be in: understood, and of no use here. */
const UNDERSTOOD: ReadonlySet<number> = new Set([0x0006, 0x0008, 0x0014, 0x0015]);

/** Whether a datagram is STUN rather than SIP, by its first octet (RFC 5626, section 8). */
export function isStun(bytes: Buffer): boolean {
  return (bytes[0] ?? 0xff) < 2;
}

/**
 * Answers a Binding request with the address that it came from, so that a phone keeps its way through a NAT open and
 * notices when it has changed (RFC 5626, section 8; RFC 5389, sections 7.3 and 10). Nothing else of STUN is served.
 *
 * @returns undefined for what is no Binding request; nobody is told
 */
export function stunAnswer(bytes: Buffer, address: string, port: number): Buffer | undefined {
  if (bytes.length < HEADER_BYTES || bytes.length > REQUEST_BYTES_MAX) return undefined;
  const isRequest = bytes.readUInt16BE(0) === BINDING_REQUEST && bytes.readUInt32BE(4) === COOKIE;
  if (!isRequest || bytes.readUInt16BE(2) !== bytes.length - HEADER_BYTES) return undefined;
  const unknown = unknownAttributes(bytes);
  if (unknown === undefined) return undefined;
  const transaction = bytes.subarray(4, HEADER_BYTES);
  if (unknown.length > 0) return unknownAnswer(unknown, transaction);
  return message(BINDING_SUCCESS, transaction, [[XOR_MAPPED_ADDRESS, xorAddress(address, port, transaction)]]);
}

/** Those that must be understood and are not (section 7.3.1); undefined where attributes do not end with the message. */
function unknownAttributes(bytes: Buffer): number[] | undefined {
  const unknown: number[] = [];
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) return undefined;
    const type = bytes.readUInt16BE(at);
    if (type < 0x8000 && !UNDERSTOOD.has(type) && unknown.length < UNKNOWN_MAX) unknown.push(type);
    at += 4 + padded(bytes.readUInt16BE(at + 2));
  }
  return at === bytes.length ? unknown : undefined;
}

function unknownAnswer(unknown: readonly number[], transaction: Buffer): Buffer {
  const types = Buffer.alloc(unknown.length * 2);
  for (const [at, type] of unknown.entries()) types.writeUInt16BE(type, at * 2);
  // Class 4, number 20.
  const code = Buffer.concat([Buffer.from([0, 0, 4, 20]), Buffer.from(UNKNOWN)]);
  return message(BINDING_ERROR, transaction, [
    [ERROR_CODE, code],
    [UNKNOWN_ATTRIBUTES, types],
  ]);
}

/** Section 15.2; `transaction` begins with the cookie. */
function xorAddress(address: string, port: number, transaction: Buffer): Buffer {
  const octets = isIPv4(address) ? address.split('.').map(Number) : ipv6Octets(address);
  const value = Buffer.alloc(4 + octets.length);
  value[1] = octets.length === 4 ? 1 : 2;
  value.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  for (const [at, octet] of octets.entries()) value[4 + at] = octet ^ (transaction[at] ?? 0);
  return value;
}

function ipv6Octets(address: string): number[] {
  const [before = '', after = ''] = (address.split('%', 1)[0] ?? '').split('::');
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)));
  const head = groups(before);
  const tail = groups(after);
  const middle = new Array<number>(Math.max(0, 8 - head.length - tail.length)).fill(0);
  return [...head, ...middle, ...tail].flatMap((group) => [group >> 8, group & 0xff]);
}

function message(type: number, transaction: Buffer, attributes: ReadonlyArray<readonly [number, Buffer]>): Buffer {
  const parts = attributes.map(([attribute, value]) => {
    const part = Buffer.alloc(4 + padded(value.length));
    part.writeUInt16BE(attribute, 0);
    part.writeUInt16BE(value.length, 2);
    value.copy(part, 4);
    return part;
  });
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(
    parts.reduce((sum, part) => sum + part.length, 0),
    2,
  );
  return Buffer.concat([head, transaction, ...parts]);
}

function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}
