import { GatewayError, type ErrorCode } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { parseDigits } from './characters.ts';
import { parseNameAddr, quoteString } from './header-values.ts';
import { contactUriFrom } from './map-address.ts';
import {
  HOPS_START,
  isSecureTransport,
  KNOWN_METHODS,
  type HeaderField,
  type SipReply,
  type SipRequest,
} from './message.ts';
import type { SipHandler } from './stack.ts';
import { statusFromError } from './status.ts';
import { schemeOf } from './uri.ts';

export type DispatchOptions = {
  /** By method; their names are what Allow says. */
  readonly handlers: Readonly<Record<string, SipHandler>>;
  /** Media ranges that a 415 offers instead. */
  readonly accept: readonly string[];
  /** Content codings that a 415 offers instead. */
  readonly acceptEncoding: readonly string[];
  /** Event packages that a 489 offers instead; none where nothing may be subscribed to. */
  readonly allowEvents: readonly string[];
  /** Words for a human, without anything internal. */
  readonly textOf: (code: ErrorCode) => string;
  /** Whether somebody is to be found here by his telephone number. */
  readonly servesNumbers?: boolean;
  /** Host name that signs warnings: a domain of ours. */
  readonly warnAgent: string;
  readonly log: Log;
};

/** Answered by us as the last hop, so that their Max-Forwards does not matter (RFC 3261, section 16.3, step 3). */
const ENDS_HERE: ReadonlySet<string> = new Set(['OPTIONS', 'REGISTER', 'PUBLISH', 'NOTIFY']);
/** A presentity may be asked for by its pres URI (RFC 3856, section 5). */
const OF_PRESENCE: ReadonlySet<string> = new Set(['SUBSCRIBE', 'PUBLISH']);
/** Who may be asked for by a telephone number. */
const BY_NUMBER: ReadonlySet<string> = new Set(['SUBSCRIBE', 'MESSAGE']);
/** Without a handler each of them is about a dialog that is none of ours (RFC 6665, section 4.1.3). */
const DIALOG_ONLY: ReadonlySet<string> = new Set(['NOTIFY', 'BYE']);

/** Answers that may say when to try again (RFC 3261, section 20.33). */
const MAY_BE_RETRIED: ReadonlySet<number> = new Set([404, 413, 480, 486, 500, 503, 600, 603]);
const RETRY_AFTER_SECONDS = 10;
const TEXT_LENGTH_MAX = 200;

/** A refusal that is about the method or the dialog alone; no error of the core fits it. */
type Refusal = { readonly status: number; readonly reason?: string; readonly allow?: true };

/**
 * The one entrance for SIP requests: checks what concerns all of them, chooses the handler by method, and turns
 * whatever it throws into the reply for it. The one place on the SIP side that catches.
 *
 * Each refusal carries what its status asks for: Allow with 405, Accept and Accept-Encoding with 415, Unsupported with
 * 420, Min-Expires with 423, Allow-Events with 489, Retry-After with 503, Contact with 301 and 302; and a Warning for a human.
 */
export function dispatcher(options: DispatchOptions): SipHandler {
  const allow = Object.keys(options.handlers).sort().join(', ');
  return async (request): Promise<SipReply> => {
    try {
      const refusal = refusalOf(request, options);
      if (refusal !== undefined) {
        options.log.info({ ...fieldsOf(request), status: refusal.status }, 'request refused');
        return replyTo(refusal, allow);
      }
      const unsupported = unsupportedOptions(request);
      if (unsupported.length > 0) {
        options.log.info({ ...fieldsOf(request), status: 420, unsupported }, 'request refused');
        return { status: 420, headers: [['Unsupported', unsupported.join(', ')]] };
      }
      const handler = options.handlers[request.method];
      if (handler === undefined) throw new GatewayError('internal', 'method without handler');
      const reply = await handler(request);
      options.log.trace({ ...fieldsOf(request), status: reply.status, bytes: request.body.length }, 'request answered');
      return reply;
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      const status = statusFromError(error);
      const fields = { ...fieldsOf(request), code: error.code, status };
      // A store that fails says so itself, once; each request that it refuses is no more news.
      if (error.code === 'internal') options.log.error({ ...fields, error }, 'request failed');
      else {
        // Without a stack, which would let a stranger write ten bytes of log with each of his own.
        options.log.info({ ...fields, reason: error.message.slice(0, TEXT_LENGTH_MAX) }, 'request refused');
      }
      return { status, headers: headersOf(error, status, options, allow) };
    }
  };
}

function fieldsOf(request: SipRequest): { method: string; callId: string; peer: string } {
  return {
    method: request.method,
    callId: (request.headers.get('Call-ID') ?? '').slice(0, TEXT_LENGTH_MAX),
    peer: request.flow.remoteAddress,
  };
}

function refusalOf(request: SipRequest, { handlers, servesNumbers }: DispatchOptions): Refusal | undefined {
  const { method } = request;
  if (!Object.hasOwn(handlers, method)) {
    if (DIALOG_ONLY.has(method)) return { status: 481 };
    // What is in no specification is 501 (RFC 3261, 21.4.6, 21.5.2).
    return KNOWN_METHODS.has(method) ? { status: isInDialog(request) ? 481 : 405, allow: true } : { status: 501 };
  }
  const scheme = schemeOf(request.uri);
  const isServed =
    scheme === 'sip' ||
    scheme === 'sips' ||
    (scheme === 'pres' && OF_PRESENCE.has(method)) ||
    (scheme === 'tel' && servesNumbers === true && BY_NUMBER.has(method));
  if (!isServed) return { status: 416 };
  // RFC 3261, section 26.2.2: every hop of it over TLS. One that was not cannot be mended by those that follow.
  if (scheme === 'sips' && !isSecureTransport(request.flow.transport)) return { status: 400, reason: 'SIPS Needs TLS' };
  const hops = maxForwards(request);
  if (hops === undefined) return { status: 400, reason: 'Bad Max-Forwards' };
  if (hops === 0 && !ENDS_HERE.has(method) && !isInDialog(request)) return { status: 483 };
  // A dialog of ours is one of a subscription, so that this tag is somebody else's (RFC 3261, section 12.2.2).
  if (method === 'MESSAGE' && isInDialog(request)) return { status: 481 };
  return undefined;
}

function replyTo(refusal: Refusal, allow: string): SipReply {
  return {
    status: refusal.status,
    ...(refusal.reason === undefined ? {} : { reason: refusal.reason }),
    ...(refusal.allow === true ? { headers: [['Allow', allow]] } : {}),
  };
}

/** Whether a request is one within a dialog: its To has a tag (RFC 3261, section 12.2). */
export function isInDialog(request: SipRequest): boolean {
  return parseNameAddr(request.headers.get('To') ?? '')?.params.has('tag') === true;
}

/** The hops that a request may still make; undefined where what it says is no number. */
export function maxForwards(request: SipRequest): number | undefined {
  const value = request.headers.get('Max-Forwards');
  return value === undefined ? HOPS_START : parseDigits(value, 255);
}

/** Extensions that a REGISTER may ask for (RFC 3327, section 5.1; RFC 5626, section 4.2.1; RFC 5627, section 5.1). */
const OF_REGISTER: ReadonlySet<string> = new Set(['path', 'outbound', 'gruu']);

/** Option tags that whoever answers or forwards must know, and that we do not. */
function unsupportedOptions(request: SipRequest): string[] {
  const tags = [...request.headers.all('Require'), ...request.headers.all('Proxy-Require')]
    .flatMap((value) => value.split(','))
    .map((tag) => tag.trim().slice(0, 64))
    .filter((tag) => tag !== '' && !(request.method === 'REGISTER' && OF_REGISTER.has(tag.toLowerCase())));
  return [...new Set(tags)].slice(0, 16);
}

function headersOf(error: GatewayError, status: number, options: DispatchOptions, allow: string): HeaderField[] {
  const { details, code } = error;
  const headers: HeaderField[] = [];
  switch (status) {
    case 301:
    case 302: {
      const contact = details.alternative === undefined ? undefined : contactUriFrom(details.alternative);
      if (contact !== undefined) headers.push(['Contact', `<${contact}>`]);
      break;
    }
    case 405:
      headers.push(['Allow', allow]);
      break;
    case 415:
      headers.push(
        ['Accept', details.accept ?? options.accept.join(', ')],
        ['Accept-Encoding', options.acceptEncoding.join(', ')],
      );
      break;
    case 423:
      headers.push(['Min-Expires', String(details.minExpiresSeconds ?? 3_600)]);
      break;
    case 489:
      headers.push(['Allow-Events', options.allowEvents.join(', ')]);
      break;
    default:
      break;
  }
  const retryAfterSeconds = details.retryAfterSeconds ?? (status === 503 ? RETRY_AFTER_SECONDS : undefined);
  if (retryAfterSeconds !== undefined && MAY_BE_RETRIED.has(status)) {
    headers.push(['Retry-After', String(Math.ceil(retryAfterSeconds))]);
  }
  const text = (details.text ?? options.textOf(code)).slice(0, TEXT_LENGTH_MAX);
  headers.push(['Warning', `399 ${options.warnAgent} ${quoteString(text)}`]);
  return headers;
}
