import { type ErrorCode, type ErrorDetails, GatewayError } from '../core/errors.ts';
import { textOf, type XmlElement } from '../cpim/xml.ts';
import { type Jid } from './jid.ts';

export const STANZA_ERRORS_NAMESPACE = 'urn:ietf:params:xml:ns:xmpp-stanzas';

/** The defined conditions of RFC 6120, section 8.3.3. */
export type Condition =
  | 'bad-request'
  | 'conflict'
  | 'feature-not-implemented'
  | 'forbidden'
  | 'gone'
  | 'internal-server-error'
  | 'item-not-found'
  | 'jid-malformed'
  | 'not-acceptable'
  | 'not-allowed'
  | 'not-authorized'
  | 'policy-violation'
  | 'recipient-unavailable'
  | 'redirect'
  | 'registration-required'
  | 'remote-server-not-found'
  | 'remote-server-timeout'
  | 'resource-constraint'
  | 'service-unavailable'
  | 'subscription-required'
  | 'undefined-condition'
  | 'unexpected-request';

export type ErrorType = 'auth' | 'cancel' | 'continue' | 'modify' | 'wait';

/** The error of a stanza of type `error`. */
export type StanzaError = {
  readonly condition: Condition;
  readonly type: ErrorType;
  readonly text?: string;
  /** Where else to go: the content of `gone` and `redirect`, a URI. */
  readonly address?: string;
};

type Row = { readonly condition: Condition; readonly type: ErrorType };

/**
 * What an XMPP peer is told for each failure. Read after `sip/status.ts`, the rows give RFC 7247, section 7.2; the types
 * are those of RFC 6120, section 8.3.3.
 */
export const STANZA_ERRORS = {
  'request-malformed': { condition: 'bad-request', type: 'modify' },
  'request-unexpected': { condition: 'unexpected-request', type: 'wait' },
  'address-malformed': { condition: 'jid-malformed', type: 'modify' },
  'scheme-unsupported': { condition: 'not-acceptable', type: 'modify' },
  'content-malformed': { condition: 'bad-request', type: 'modify' },
  'content-unsupported': { condition: 'not-acceptable', type: 'modify' },
  'content-too-large': { condition: 'policy-violation', type: 'modify' },
  'extension-unsupported': { condition: 'feature-not-implemented', type: 'cancel' },
  'feature-unsupported': { condition: 'feature-not-implemented', type: 'cancel' },
  'hops-exhausted': { condition: 'not-acceptable', type: 'modify' },
  'loop-detected': { condition: 'not-acceptable', type: 'modify' },
  'interval-too-brief': { condition: 'resource-constraint', type: 'wait' },
  'event-unsupported': { condition: 'policy-violation', type: 'modify' },
  'precondition-failed': { condition: 'bad-request', type: 'modify' },
  'dialog-unknown': { condition: 'item-not-found', type: 'cancel' },
  'sender-unauthenticated': { condition: 'not-authorized', type: 'auth' },
  'sender-forbidden': { condition: 'forbidden', type: 'auth' },
  'registration-required': { condition: 'registration-required', type: 'auth' },
  'subscription-required': { condition: 'subscription-required', type: 'auth' },
  'rate-exceeded': { condition: 'resource-constraint', type: 'wait' },
  'recipient-unknown': { condition: 'item-not-found', type: 'cancel' },
  'recipient-gone': { condition: 'gone', type: 'cancel' },
  'recipient-moved': { condition: 'gone', type: 'cancel' },
  'recipient-redirected': { condition: 'redirect', type: 'modify' },
  'recipient-unavailable': { condition: 'recipient-unavailable', type: 'wait' },
  'recipient-refused': { condition: 'recipient-unavailable', type: 'wait' },
  'not-acceptable': { condition: 'not-acceptable', type: 'modify' },
  'not-allowed': { condition: 'not-allowed', type: 'cancel' },
  'policy-violated': { condition: 'policy-violation', type: 'modify' },
  conflict: { condition: 'conflict', type: 'cancel' },
  'peer-unknown': { condition: 'forbidden', type: 'auth' },
  'peer-not-found': { condition: 'remote-server-not-found', type: 'cancel' },
  'peer-unreachable': { condition: 'remote-server-timeout', type: 'wait' },
  'peer-timeout': { condition: 'remote-server-timeout', type: 'wait' },
  'peer-failed': { condition: 'internal-server-error', type: 'cancel' },
  'peer-undefined': { condition: 'undefined-condition', type: 'cancel' },
  'service-refused': { condition: 'service-unavailable', type: 'cancel' },
  'lifetime-over': { condition: 'remote-server-timeout', type: 'wait' },
  'queue-full': { condition: 'resource-constraint', type: 'wait' },
  'store-unavailable': { condition: 'resource-constraint', type: 'wait' },
  'shutting-down': { condition: 'resource-constraint', type: 'wait' },
  internal: { condition: 'internal-server-error', type: 'cancel' },
} as const satisfies Record<ErrorCode, Row>;

/** What a peer's condition means to us. Read before `sip/status.ts`, the rows give RFC 7247, section 7.1. */
const CODES = {
  'bad-request': 'request-malformed',
  conflict: 'conflict',
  'feature-not-implemented': 'feature-unsupported',
  forbidden: 'sender-forbidden',
  gone: 'recipient-gone',
  'internal-server-error': 'peer-failed',
  'item-not-found': 'recipient-unknown',
  'jid-malformed': 'address-malformed',
  'not-acceptable': 'not-acceptable',
  'not-allowed': 'not-allowed',
  'not-authorized': 'sender-unauthenticated',
  'policy-violation': 'policy-violated',
  'recipient-unavailable': 'recipient-unavailable',
  redirect: 'recipient-redirected',
  'registration-required': 'registration-required',
  'remote-server-not-found': 'peer-not-found',
  'remote-server-timeout': 'peer-timeout',
  // 500 and not 503, which would say that this whole server is busy.
  'resource-constraint': 'peer-failed',
  'service-unavailable': 'service-refused',
  'subscription-required': 'subscription-required',
  'undefined-condition': 'peer-undefined',
  'unexpected-request': 'request-unexpected',
} as const satisfies Record<Condition, ErrorCode>;

/** Conditions for which RFC 7247, section 7.1 tells an error about the whole user from one about an instance. */
const SPEAKS_FOR_USER: ReadonlySet<Condition> = new Set([
  'feature-not-implemented',
  'forbidden',
  'item-not-found',
  'not-acceptable',
  'recipient-unavailable',
]);

/** Longest text that is handed on, characters. */
const TEXT_MAX = 256;

/** The error that tells an XMPP peer of a failure. Takes from it only what is meant for the wire. */
export function stanzaErrorFrom(code: ErrorCode, details: ErrorDetails = {}): StanzaError {
  const { condition, type } = STANZA_ERRORS[code];
  const { alternative, text } = details;
  // RFC 7247, section 7.2: 301 names the new address, 410 must not.
  const hasAddress = alternative !== undefined && (code === 'recipient-moved' || code === 'recipient-redirected');
  return {
    condition,
    type,
    ...(text === undefined || text === '' ? {} : { text: text.slice(0, TEXT_MAX) }),
    ...(hasAddress ? { address: alternative } : {}),
  };
}

/**
 * What a peer's error means to us.
 *
 * @param from whom the error is about: a bare JID speaks for the whole user
 */
export function failureFrom(error: StanzaError, from: Jid): GatewayError {
  const { condition, address, text } = error;
  const code = condition === 'gone' && address !== undefined ? 'recipient-moved' : CODES[condition];
  const isWholeUser = from.resource === undefined && SPEAKS_FOR_USER.has(condition);
  return new GatewayError(code, `error stanza from the recipient's side: ${condition}`, {
    details: {
      ...(text === undefined ? {} : { text }),
      ...(address === undefined ? {} : { alternative: address }),
      ...(isWholeUser ? { wholeUser: true } : {}),
    },
  });
}

/** Reads the error out of a stanza of type `error`; one without a condition we know is an undefined condition. */
export function readStanzaError(error: XmlElement | undefined): StanzaError {
  let condition: Condition = 'undefined-condition';
  let text: string | undefined;
  let address: string | undefined;
  for (const child of error?.children ?? []) {
    if (typeof child === 'string' || child.attrs['xmlns'] !== STANZA_ERRORS_NAMESPACE) continue;
    const words = textOf(child).trim();
    if (child.name === 'text') {
      text ??= words === '' ? undefined : words.slice(0, TEXT_MAX);
    } else if (isCondition(child.name)) {
      condition = child.name;
      if (words !== '' && (child.name === 'gone' || child.name === 'redirect')) address = words.slice(0, 2048);
    }
  }
  const type = error?.attrs['type'];
  return {
    condition,
    type: isErrorType(type) ? type : 'cancel',
    ...(text === undefined ? {} : { text }),
    ...(address === undefined ? {} : { address }),
  };
}

/** The error that a stanza of type `error` carries. */
export function stanzaErrorIn(stanza: XmlElement): StanzaError {
  return readStanzaError(
    stanza.children.find((child): child is XmlElement => typeof child !== 'string' && child.name === 'error'),
  );
}

/** The `<error/>` element (RFC 6120, section 8.3.2). */
export function elementFromStanzaError(error: StanzaError): XmlElement {
  const attrs = { xmlns: STANZA_ERRORS_NAMESPACE };
  const condition = { name: error.condition, attrs, children: error.address === undefined ? [] : [error.address] };
  const text = error.text === undefined ? [] : [{ name: 'text', attrs, children: [error.text] }];
  return { name: 'error', attrs: { type: error.type }, children: [condition, ...text] };
}

function isCondition(name: string): name is Condition {
  return Object.hasOwn(CODES, name);
}

function isErrorType(type: string | undefined): type is ErrorType {
  return type === 'auth' || type === 'cancel' || type === 'continue' || type === 'modify' || type === 'wait';
}
