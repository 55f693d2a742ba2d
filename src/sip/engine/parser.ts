import { isUtf8 } from 'node:buffer';

import {
  TOKEN,
  URI,
  areControlsQuoted,
  isDigit,
  parseDigits,
  skipBlanks,
  skipClass,
  trimBlanks,
} from '../characters.ts';
import { parseCSeq, parseNameAddr, parseVia, splitList } from '../header-values.ts';
import type { CSeq, NameAddr, SipVia } from '../header-values.ts';
import { SipHeaderList, headerKind } from '../headers.ts';
import type { HeaderKind } from '../headers.ts';
import type { HeaderField } from '../message.ts';
import { parseSipUri, schemeOf } from '../uri.ts';

/** What a message may measure; checked before anything is built from it. */
export type SipLimits = {
  /** Header and body together, bytes. */
  readonly messageBytesMax: number;
  /** Start line and header fields, bytes. */
  readonly headerBytesMax: number;
  /** Header fields, after lists were split. */
  readonly headerCountMax: number;
  readonly viaCountMax: number;
  /** Values in one header field that is split on reading. */
  readonly listValuesMax: number;
};

/** Limits for datagrams: the largest there is, and what no honest sender comes near. */
export const SIP_LIMITS: SipLimits = {
  messageBytesMax: 65_535,
  headerBytesMax: 32 * 1024,
  headerCountMax: 256,
  viaCountMax: 70,
  listValuesMax: 128,
};

/** What the parser has read anyway, to make sure of it; nobody needs to read it again. */
type ReadValues = {
  /** The topmost Via. */
  readonly via: SipVia;
  readonly from: NameAddr;
  readonly to: NameAddr;
  readonly cseq: CSeq;
};

export type ParsedRequest = ReadValues & {
  readonly kind: 'request';
  readonly method: string;
  /** Request-URI as sent; a `sip:` or `sips:` one is well-formed and without headers, others are visible ASCII. */
  readonly uri: string;
  readonly headers: SipHeaderList;
  /** A view into the bytes given, cut to Content-Length. */
  readonly body: Buffer;
};

export type ParsedResponse = ReadValues & {
  readonly kind: 'response';
  /** 100 to 699. */
  readonly status: number;
  readonly reason: string;
  readonly headers: SipHeaderList;
  readonly body: Buffer;
};

export type ParsedMalformed = {
  readonly kind: 'malformed';
  /** Constant text, for the log; the first fault met. */
  readonly reason: string;
  /** What to answer: 400, 501, 505 or 513. */
  readonly status: number;
  /**
   * There when it was a request: its method and those header fields that were themselves sound, so that an answer can
   * copy Via, From, To, Call-ID and CSeq as far as they came. A malformed response has none: it is dropped.
   */
  readonly request?: { readonly method: string; readonly headers: SipHeaderList };
};

export type ParsedMessage =
  | ParsedRequest
  | ParsedResponse
  | ParsedMalformed
  /** Nothing but line ends, or nothing at all (RFC 5626, section 4.4.1). */
  | { readonly kind: 'keep-alive' };

const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Methods with a specification; a request of another one is 501 rather than 400 when its CSeq disagrees. */
const METHODS: ReadonlySet<string> = new Set(
  'INVITE ACK BYE CANCEL OPTIONS REGISTER MESSAGE SUBSCRIBE NOTIFY PUBLISH INFO PRACK UPDATE REFER'.split(' '),
);

/** Fields that say who, where to and which transaction: bytes that are no UTF-8 make them mean nothing. */
const IDENTITY: ReadonlySet<string> = new Set(['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Contact', 'Route']);

const MAGIC_COOKIE_LENGTH = 'z9hG4bK'.length;

type Fault = { readonly reason: string; readonly status: number };

type StartLine =
  | { readonly kind: 'request'; readonly method: string; readonly uri: string; readonly fault?: Fault }
  | { readonly kind: 'response'; readonly status: number; readonly reason: string }
  | Fault;

/**
 * Reads one SIP message: a datagram, or what `StreamFramer` cut out of a stream (RFC 3261, section 7).
 *
 * Total: every input has one of the four results, and nothing is thrown. One pass over the header bytes, linear in
 * their number; values other than Via, From, To, CSeq and Content-Length are not looked into.
 *
 * Strict where two readers could disagree: lines end with CRLF only; a bare CR or LF, a control character outside a
 * quoted pair, a name that is no token, or a second From, To, Call-ID, CSeq, Max-Forwards, Content-Type, Expires,
 * Event or differing Content-Length is a fault. Values are unfolded, trimmed and decoded as UTF-8; where that is
 * impossible, a field that names nobody is kept with one character per byte (latin1).
 */
export function parseSipMessage(bytes: Buffer, limits: SipLimits = SIP_LIMITS): ParsedMessage {
  let start = 0;
  // RFC 3261, section 7.5: CRLF before the start line is ignored.
  while (bytes[start] === 0x0d && bytes[start + 1] === 0x0a) start += 2;
  if (start === bytes.length) return { kind: 'keep-alive' };
  return new Reading(bytes, start, limits).message();
}

class Reading {
  private readonly bytes: Buffer;
  private readonly limits: SipLimits;
  private readonly fields: HeaderField[] = [];
  private readonly bodyStart: number;
  /** Start line and header fields with their line ends, one character per byte. */
  private readonly text: string;
  /** Where `text` begins in `bytes`. */
  private readonly start: number;
  private fault: Fault | undefined;
  private viaCount = 0;
  private onceSeen = 0;
  private contentLength: number | undefined;
  /** What `endOfLine` saw on its way. */
  private isFolded = false;
  private isAscii = true;
  private hasControls = false;
  private hasBareLineEnd = false;

  constructor(bytes: Buffer, start: number, limits: SipLimits) {
    this.bytes = bytes;
    this.start = start;
    this.limits = limits;
    const end = bytes.indexOf(END_OF_HEAD, start);
    let headEnd = end + 2;
    if (bytes.length - start > limits.messageBytesMax) this.fail('message is too large', 513);
    if (end === -1) {
      this.fail('header does not end');
      headEnd = bytes.length;
    }
    if (headEnd - start > limits.headerBytesMax) {
      this.fail('header is too large', 513);
      headEnd = start + limits.headerBytesMax;
    }
    this.bodyStart = end + 4;
    this.text = bytes.toString('latin1', start, headEnd);
  }

  message(): ParsedMessage {
    const lineEnd = this.endOfLine(0);
    const line = this.startLine(lineEnd);
    if (!('kind' in line)) return { kind: 'malformed', ...(this.fault ?? line) };
    if (line.kind === 'request' && line.fault !== undefined) this.fail(line.fault.reason, line.fault.status);
    this.readFields(lineEnd + 2);
    const headers = new SipHeaderList(this.fields);
    const values = readValues(headers, line.kind === 'request' ? line.method : undefined);
    if ('status' in values) this.fail(values.reason, values.status);
    const body = this.readBody();
    if ('status' in values || this.fault !== undefined) {
      const fault = this.fault ?? MALFORMED;
      if (line.kind === 'response') return { kind: 'malformed', ...fault };
      return { kind: 'malformed', ...fault, request: { method: line.method, headers } };
    }
    const { via, from, to, cseq } = values;
    if (line.kind === 'request') {
      return { kind: 'request', method: line.method, uri: line.uri, headers, body, via, from, to, cseq };
    }
    return { kind: 'response', status: line.status, reason: line.reason, headers, body, via, from, to, cseq };
  }

  /** Remembers the first fault; what follows is read on for the sake of the answer. */
  private fail(reason: string, status = 400): void {
    this.fault ??= { reason, status };
  }

  /** The place of the CRLF that ends the line or folded lines at `from`; the length of the text when there is none. */
  private endOfLine(from: number): number {
    this.isFolded = false;
    this.isAscii = true;
    this.hasControls = false;
    this.hasBareLineEnd = false;
    const { text } = this;
    const length = text.length;
    for (let i = from; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x20 && code < 0x7f) continue;
      if (code === 0x0d && text.charCodeAt(i + 1) === 0x0a) {
        const next = text.charCodeAt(i + 2);
        if (next !== 0x20 && next !== 0x09) return i;
        this.isFolded = true;
        i++;
      } else if (code >= 0x80) this.isAscii = false;
      else if (code === 0x0d || code === 0x0a) this.hasBareLineEnd = true;
      else if (code !== 0x09) this.hasControls = true;
    }
    this.hasBareLineEnd = true;
    return length;
  }

  private startLine(end: number): StartLine {
    if (this.hasBareLineEnd || this.hasControls || this.isFolded) {
      return fault('start line has a control character');
    }
    const line = this.text.slice(0, end);
    if (line.startsWith('SIP/') || line.slice(0, 4).toUpperCase() === 'SIP/') return this.statusLine(line, end);
    const methodEnd = skipClass(line, 0, TOKEN);
    const method = line.slice(0, methodEnd);
    const uriEnd = line.lastIndexOf(' ');
    if (methodEnd === 0 || line.charCodeAt(methodEnd) !== 0x20 || !line.includes(' SIP/')) {
      return fault('start line is not one of SIP');
    }
    const version = line.slice(uriEnd + 1);
    const uri = line.slice(methodEnd + 1, uriEnd);
    const reason = version === 'SIP/2.0' ? requestUriFault(uri) : versionFault(version);
    if (reason === undefined) return { kind: 'request', method, uri };
    return { kind: 'request', method, uri, fault: fault(reason, reason === UNKNOWN_VERSION ? 505 : 400) };
  }

  private statusLine(line: string, end: number): StartLine {
    const code = line.slice(8, 11);
    const status = parseDigits(code, 699);
    const space = line.charCodeAt(11);
    if (line.slice(0, 8).toUpperCase() !== 'SIP/2.0 ' || code.length !== 3) return STATUS_LINE_FAULT;
    if (status === undefined || status < 100 || (line.length > 11 && space !== 0x20)) return STATUS_LINE_FAULT;
    return { kind: 'response', status, reason: this.decode(12, end, line.slice(12)) ?? line.slice(12) };
  }

  private readFields(from: number): void {
    const { text, limits } = this;
    let at = from;
    while (at < text.length) {
      const nameEnd = skipClass(text, at, TOKEN);
      const colon = skipBlanks(text, nameEnd);
      const valueStart = skipBlanks(text, colon + 1);
      const end = this.endOfLine(valueStart < text.length ? valueStart : at);
      if (nameEnd === at || text.charCodeAt(colon) !== 0x3a) {
        this.fail('header name is no token');
        // The line may end before `valueStart`: go on after the first line end there is.
        const next = text.indexOf('\r\n', at);
        at = next === -1 ? text.length : next + 2;
        continue;
      }
      if (this.fields.length >= limits.headerCountMax) {
        this.fail('too many header fields');
        return;
      }
      const name = text.slice(at, nameEnd);
      const reason = this.readField(name, headerKind(name), valueStart, end);
      if (reason !== undefined) this.fail(reason);
      at = end + 2;
    }
  }

  /** Takes one field in, or says why not. */
  private readField(name: string, kind: HeaderKind | undefined, start: number, end: number): string | undefined {
    if (this.hasBareLineEnd) return 'bare CR or LF in the header';
    let value = trimBlanks(this.text, start, end);
    if (!this.isAscii) {
      const decoded = this.decode(start, end, value);
      if (decoded === undefined && kind !== undefined && IDENTITY.has(kind.name)) return 'header value is not UTF-8';
      value = trimBlanks(decoded ?? value);
    }
    if (this.isFolded) value = unfold(value);
    if (this.hasControls && !areControlsQuoted(value)) return 'control character in a header value';
    if (kind === undefined) {
      this.fields.push([name, value]);
      return undefined;
    }
    if (kind.isList) return this.readList(kind.name, value);
    const isRepeated = (this.onceSeen & kind.onceBit) !== 0;
    this.onceSeen |= kind.onceBit;
    if (kind.name === 'Content-Length') return this.readContentLength(value);
    // Kept even when it comes twice: an answer to the malformed request copies the first.
    this.fields.push([kind.name, value]);
    return isRepeated ? 'header field comes twice' : undefined;
  }

  private readList(name: string, value: string): string | undefined {
    let count = 1;
    if (!value.includes(',')) this.fields.push([name, value]);
    else {
      const values = splitList(value);
      if (values === undefined) return 'header list has an empty value or an open quote';
      if (values.length > this.limits.listValuesMax) return 'too many values in a header field';
      for (const item of values) this.fields.push([name, item]);
      count = values.length;
    }
    if (this.fields.length > this.limits.headerCountMax) return 'too many header fields';
    if (name !== 'Via') return undefined;
    this.viaCount += count;
    return this.viaCount > this.limits.viaCountMax ? 'too many Via values' : undefined;
  }

  private readContentLength(value: string): string | undefined {
    const length = parseDigits(value, Number.MAX_SAFE_INTEGER);
    if (length === undefined) return 'Content-Length is no number';
    if (this.contentLength !== undefined) {
      return length === this.contentLength ? undefined : 'Content-Length values differ';
    }
    this.contentLength = length;
    this.fields.push(['Content-Length', value]);
    return undefined;
  }

  /** The text of a range of bytes as UTF-8; undefined when it is none. `ascii` is returned where nothing needs it. */
  private decode(start: number, end: number, ascii: string): string | undefined {
    if (this.isAscii) return ascii;
    const from = this.start + start;
    const to = this.start + end;
    return isUtf8(this.bytes.subarray(from, to)) ? this.bytes.toString('utf8', from, to) : undefined;
  }

  private readBody(): Buffer {
    const { bytes, bodyStart, contentLength } = this;
    // Without a length, a datagram's body is all that follows (RFC 3261, section 18.3).
    if (contentLength === undefined) return bytes.subarray(bodyStart);
    if (bodyStart + contentLength > bytes.length) this.fail('Content-Length is larger than the message');
    return bytes.subarray(bodyStart, bodyStart + contentLength);
  }
}

/** Reads what every message must have, or says what is wrong with it. `method` is that of a request. */
function readValues(headers: SipHeaderList, method: string | undefined): ReadValues | Fault {
  const viaText = headers.get('Via');
  const fromText = headers.get('From');
  const toText = headers.get('To');
  const callId = headers.get('Call-ID');
  const cseqText = headers.get('CSeq');
  if (viaText === undefined || fromText === undefined || toText === undefined)
    return fault('Via, From or To is missing');
  if (callId === undefined || cseqText === undefined) return fault('Call-ID or CSeq is missing');
  const via = parseVia(viaText);
  if (via === undefined || !isSoundBranch(via)) return fault('Via is malformed');
  const from = parseNameAddr(fromText);
  if (from === undefined || !isSoundParty(from)) return fault('From is malformed');
  const to = parseNameAddr(toText);
  if (to === undefined || !isSoundParty(to)) return fault('To is malformed');
  if (!isCallId(callId)) return fault('Call-ID is malformed');
  const cseq = parseCSeq(cseqText);
  if (cseq === undefined) return fault('CSeq is malformed');
  if (method !== undefined && cseq.method !== method) {
    // RFC 4475, section 3.1.2.18: 501 is the answer that still holds when the method is known one day.
    return fault('CSeq names another method', METHODS.has(method) ? 400 : 501);
  }
  return { via, from, to, cseq };
}

function fault(reason: string, status = 400): Fault {
  return { reason, status };
}

const UNKNOWN_VERSION = 'SIP version is not 2.0';
const STATUS_LINE_FAULT = fault('status line is malformed');
const MALFORMED = fault('message is malformed');

/** `SIP/` and two numbers of another version are 505; blanks at the end or anything else is 400. */
function versionFault(version: string): string | undefined {
  const upper = version.toUpperCase();
  if (upper === 'SIP/2.0') return undefined;
  const point = upper.indexOf('.');
  const isVersion = upper.startsWith('SIP/') && isNumber(upper.slice(4, point)) && isNumber(upper.slice(point + 1));
  return isVersion && point !== -1 ? UNKNOWN_VERSION : 'request line is malformed';
}

function isNumber(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return false;
  return text.length > 0;
}

function requestUriFault(uri: string): string | undefined {
  const scheme = schemeOf(uri);
  if (scheme === undefined || skipClass(uri, 0, URI) !== uri.length) return 'Request-URI is malformed';
  if (scheme !== 'sip' && scheme !== 'sips') return undefined;
  const parsed = parseSipUri(uri);
  if (parsed === undefined) return 'Request-URI is malformed';
  // RFC 3261, section 19.1.1, table 1: no headers in a Request-URI.
  return parsed.headers === undefined ? undefined : 'Request-URI has headers';
}

/** Each fold with the blanks around it becomes one blank (RFC 3261, section 7.3.1). */
function unfold(value: string): string {
  let text = '';
  for (const line of value.split('\r\n')) {
    const part = trimBlanks(line);
    if (part !== '') text += text === '' ? part : ` ${part}`;
  }
  return text;
}

/** A branch may be missing (RFC 2543) or be anything, but not the cookie alone (RFC 4475, section 3.2.1). */
function isSoundBranch(via: SipVia): boolean {
  const branch = via.params.get('branch');
  if (branch === undefined) return true;
  return branch !== true && (branch.length !== MAGIC_COOKIE_LENGTH || branch.toLowerCase() !== 'z9hg4bk');
}

/** Who a request is from or to: a tag is a token, a SIP URI is one. */
function isSoundParty(party: NameAddr): boolean {
  const tag = party.params.get('tag');
  if (tag === true || tag === '') return false;
  const scheme = schemeOf(party.uri);
  return (scheme !== 'sip' && scheme !== 'sips') || parseSipUri(party.uri) !== undefined;
}

/** Visible ASCII: wider than `callid`, narrow enough to be compared and copied. */
function isCallId(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return value.length > 0;
}
