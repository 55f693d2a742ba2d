import { TOKEN, URI, isDigit, parseDigits, skipClass } from '../characters.ts';
import { parseSipUri, schemeOf } from '../uri.ts';

/** Why a message is refused: a constant text for the log, and the status of the answer. */
export type Fault = { readonly kind: 'fault'; readonly reason: string; readonly status: number };

export function fault(reason: string, status = 400): Fault {
  return { kind: 'fault', reason, status };
}

/** What the first line says. A request line with a fault still names its method, for the answer. */
export type StartLine =
  | { readonly kind: 'request'; readonly method: string; readonly uri: string; readonly fault?: Fault }
  | { readonly kind: 'response'; readonly status: number; readonly reason: string };

const UNKNOWN_VERSION = fault('SIP version is not 2.0', 505);
const STATUS_LINE = fault('status line is malformed');
const REQUEST_LINE = fault('request line is malformed');
const REQUEST_URI = fault('Request-URI is malformed');

/**
 * Reads a Request-Line or Status-Line without its CRLF (RFC 3261, sections 7.1 and 7.2).
 *
 * Single blanks between the parts and none at the end; the version in any capitals. A status line may end after its
 * code (RFC 4475, section 3.1.1.13). A `sip:` or `sips:` Request-URI is well-formed and without headers (RFC 3261,
 * section 19.1.1, table 1), any other has a scheme and is visible ASCII.
 *
 * @returns a fault alone when it is not even known to be a request.
 */
export function readStartLine(line: string): StartLine | Fault {
  // A method is a token and holds no slash: this can only be a version.
  if (line.startsWith('SIP/') || line.slice(0, 4).toUpperCase() === 'SIP/') return readStatusLine(line);
  const methodEnd = skipClass(line, 0, TOKEN);
  if (methodEnd === 0 || line.charCodeAt(methodEnd) !== 0x20 || !hasVersion(line)) {
    return fault('start line is not one of SIP');
  }
  const method = line.slice(0, methodEnd);
  const uriEnd = line.lastIndexOf(' ');
  const uri = line.slice(methodEnd + 1, uriEnd);
  const version = line.slice(uriEnd + 1);
  const found = version === 'SIP/2.0' ? requestUriFault(uri) : (versionFault(version) ?? requestUriFault(uri));
  return found === undefined ? { kind: 'request', method, uri } : { kind: 'request', method, uri, fault: found };
}

function hasVersion(line: string): boolean {
  return line.includes(' SIP/') || line.toUpperCase().includes(' SIP/');
}

function readStatusLine(line: string): StartLine | Fault {
  const code = line.slice(8, 11);
  const status = parseDigits(code, 699);
  if (line.slice(0, 8).toUpperCase() !== 'SIP/2.0 ' || code.length !== 3) return STATUS_LINE;
  if (status === undefined || status < 100 || (line.length > 11 && line.charCodeAt(11) !== 0x20)) return STATUS_LINE;
  return { kind: 'response', status, reason: line.slice(12) };
}

/** `SIP/` and two numbers of another version are 505; blanks at the end or anything else is 400. */
function versionFault(version: string): Fault | undefined {
  const upper = version.toUpperCase();
  if (upper === 'SIP/2.0') return undefined;
  const point = upper.indexOf('.');
  const isVersion =
    point !== -1 && upper.startsWith('SIP/') && isNumber(upper.slice(4, point)) && isNumber(upper.slice(point + 1));
  return isVersion ? UNKNOWN_VERSION : REQUEST_LINE;
}

function isNumber(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return false;
  return text.length > 0;
}

function requestUriFault(uri: string): Fault | undefined {
  const scheme = schemeOf(uri);
  if (scheme === undefined || skipClass(uri, 0, URI) !== uri.length) return REQUEST_URI;
  if (scheme !== 'sip' && scheme !== 'sips') return undefined;
  const parsed = parseSipUri(uri);
  if (parsed === undefined) return REQUEST_URI;
  return parsed.headers === undefined ? undefined : fault('Request-URI has headers');
}
