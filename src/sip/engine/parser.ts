import { isUtf8 } from 'node:buffer';

import { TOKEN, areControlsQuoted, isIn, parseDigits, skipBlanks, trimBlanks } from '../characters.ts';
import { parseCSeq, parseNameAddr, parseVia, splitList } from '../header-values.ts';
import type { CSeq, NameAddr, SipVia } from '../header-values.ts';
import { SipHeaderList, headerKindAt } from '../headers.ts';
import type { HeaderKind } from '../headers.ts';
import { KNOWN_METHODS, type HeaderField } from '../message.ts';
import { parseSipUri, schemeOf } from '../uri.ts';
import { fault, readStartLine } from './start-line.ts';
import type { Fault, StartLine } from './start-line.ts';

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

/** Fields that say who, where to and which transaction: bytes that are no UTF-8 make them mean nothing. */
const IDENTITY: ReadonlySet<string> = new Set(['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Contact', 'Route']);

const MAGIC_COOKIE_LENGTH = 'z9hG4bK'.length;

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
    const isSound = !this.hasBareLineEnd && !this.hasControls && !this.isFolded;
    const line: StartLine | Fault = isSound
      ? readStartLine(this.text.slice(0, lineEnd))
      : fault('start line has a control character');
    if (line.kind === 'fault') return { ...(this.fault ?? line), kind: 'malformed' };
    const phrase = line.kind === 'response' ? (this.decode(lineEnd - line.reason.length, lineEnd) ?? line.reason) : '';
    if (line.kind === 'request' && line.fault !== undefined) this.fail(line.fault.reason, line.fault.status);
    this.readFields(lineEnd + 2);
    const headers = new SipHeaderList(this.fields, true);
    const body = this.readBody();
    const values = readValues(this.fields, line.kind === 'request' ? line.method : undefined);
    if ('status' in values) return refused(this.fault ?? values, line, headers);
    if (this.fault !== undefined) return refused(this.fault, line, headers);
    const { via, from, to, cseq } = values;
    if (line.kind === 'request') {
      return { kind: 'request', method: line.method, uri: line.uri, headers, body, via, from, to, cseq };
    }
    return { kind: 'response', status: line.status, reason: phrase, headers, body, via, from, to, cseq };
  }

  /** Remembers the first fault; what follows is read on for the sake of the answer. */
  private fail(reason: string, status = 400): void {
    this.fault ??= fault(reason, status);
  }

  /** The place of the CRLF that ends the line or folded lines at `from`; the length of the text when there is none. */
  private endOfLine(from: number): number {
    this.isFolded = false;
    this.isAscii = true;
    this.hasControls = false;
    this.hasBareLineEnd = false;
    const { bytes } = this;
    const end = this.start + this.text.length;
    for (let i = this.start + from; i < end; i++) {
      const code = bytes[i] ?? 0;
      if (code >= 0x20 && code < 0x7f) continue;
      if (code === 0x0d && i + 1 < end && bytes[i + 1] === 0x0a) {
        const next = i + 2 < end ? bytes[i + 2] : undefined;
        if (next !== 0x20 && next !== 0x09) return i - this.start;
        this.isFolded = true;
        i++;
      } else if (code >= 0x80) this.isAscii = false;
      else if (code === 0x0d || code === 0x0a) this.hasBareLineEnd = true;
      else if (code !== 0x09) this.hasControls = true;
    }
    this.hasBareLineEnd = true;
    return this.text.length;
  }

  /** Where the token that begins at `from` ends. */
  private endOfName(from: number): number {
    const { bytes, start } = this;
    const end = start + this.text.length;
    let i = start + from;
    while (i < end && isIn(bytes[i] ?? 0, TOKEN)) i++;
    return i - start;
  }

  private readFields(from: number): void {
    const { text, limits } = this;
    let at = from;
    while (at < text.length) {
      const nameEnd = this.endOfName(at);
      const colon = skipBlanks(text, nameEnd);
      if (nameEnd === at || text.charCodeAt(colon) !== 0x3a) {
        this.fail('header name is no token');
        // Its folds go with it, so that no byte is looked at once per line.
        at = this.endOfLine(at) + 2;
        continue;
      }
      const valueStart = skipBlanks(text, colon + 1);
      const end = this.endOfLine(valueStart);
      if (this.fields.length >= limits.headerCountMax) {
        this.fail('too many header fields');
        return;
      }
      const kind = headerKindAt(this.bytes, this.start + at, this.start + nameEnd);
      const reason = this.readField(kind?.name ?? text.slice(at, nameEnd), kind, valueStart, end);
      if (reason !== undefined) this.fail(reason);
      at = end + 2;
    }
  }

  /** Takes one field in, or says why not. */
  private readField(name: string, kind: HeaderKind | undefined, start: number, end: number): string | undefined {
    if (this.hasBareLineEnd) return 'bare CR or LF in the header';
    let value = trimBlanks(this.text, start, end);
    if (!this.isAscii) {
      const decoded = this.decode(start, end);
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

  /** The text of a range as UTF-8; undefined when it is none. */
  private decode(start: number, end: number): string | undefined {
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

function refused(cause: Fault, line: StartLine, headers: SipHeaderList): ParsedMalformed {
  if (line.kind === 'response') return { ...cause, kind: 'malformed' };
  return { ...cause, kind: 'malformed', request: { method: line.method, headers } };
}

/** Reads what every message must have, or says what is wrong with it. `method` is that of a request. */
function readValues(fields: readonly HeaderField[], method: string | undefined): ReadValues | Fault {
  const viaText = first(fields, 'Via');
  const fromText = first(fields, 'From');
  const toText = first(fields, 'To');
  const callId = first(fields, 'Call-ID');
  const cseqText = first(fields, 'CSeq');
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
    return fault('CSeq names another method', KNOWN_METHODS.has(method) ? 400 : 501);
  }
  return { via, from, to, cseq };
}

/** The first value of a name in its canonical form. */
function first(fields: readonly HeaderField[], name: string): string | undefined {
  for (const field of fields) if (field[0] === name) return field[1];
  return undefined;
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
