/**
 * SIP messages as the rest of `src/sip` sees them (RFC 3261, section 7), whichever engine carries them.
 */

/** A header field: the name in its canonical long form (`Call-ID`, `Event`), the value unfolded and trimmed. */
export type HeaderField = readonly [name: string, value: string];

/**
 * The header fields of one message, in the order of the wire.
 *
 * Names are canonical: compact forms are expanded and known names get their usual capitals when the message is read,
 * so that `get('call-id')` and `i:` meet. A field that may hold a list is one field per value after reading for Via,
 * Route, Record-Route, Path and Contact; all others stay as they were sent.
 */
export interface SipHeaders {
  /** First value of this name in any capitals; undefined when there is none. */
  get(name: string): string | undefined;
  /** All values of this name, in order. */
  all(name: string): readonly string[];
  readonly fields: readonly HeaderField[];
}

/** Methods with a specification. */
export const KNOWN_METHODS: ReadonlySet<string> = new Set(
  'INVITE ACK BYE CANCEL OPTIONS REGISTER MESSAGE SUBSCRIBE NOTIFY PUBLISH INFO PRACK UPDATE REFER'.split(' '),
);

/** Max-Forwards of a request that begins its way, or does not say (RFC 3261, sections 8.1.1.6 and 16.6, step 3). */
export const HOPS_START = 70;

/** What this server opens a connection over, or sends to. */
export type DialledTransport = 'udp' | 'tcp' | 'tls';

/** Over a WebSocket (RFC 7118) only who has connected here is reached: nobody can be dialled. */
export type SipTransport = DialledTransport | 'ws' | 'wss';

const TRANSPORTS: ReadonlySet<string> = new Set<SipTransport>(['udp', 'tcp', 'tls', 'ws', 'wss']);

export function isSipTransport(text: string): text is SipTransport {
  return TRANSPORTS.has(text);
}

/** Whether what goes over it is encrypted on this hop (RFC 3261, section 26.2.2; RFC 7118, section 5.2). */
export function isSecureTransport(transport: SipTransport): boolean {
  return transport === 'tls' || transport === 'wss';
}

export function isWebSocketTransport(transport: SipTransport): transport is 'ws' | 'wss' {
  return transport === 'ws' || transport === 'wss';
}

/** What a message came over, and what an answer or a request to the same far end goes over. */
export type SipFlow = {
  readonly transport: SipTransport;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Opaque name; a request sent to this flow fails once the connection is gone. */
  readonly id: string;
  /** Names in the peer's certificate (dNSName and sip: URI hosts, RFC 5922, section 7.1); only when it was verified. */
  readonly peerNames?: readonly string[];
};

export type SipRequest = {
  readonly method: string;
  /** Request-URI as sent. */
  readonly uri: string;
  readonly headers: SipHeaders;
  readonly body: Uint8Array;
  readonly flow: SipFlow;
  readonly receivedAtMs: number;
};

/**
 * The answer to a request. The engine adds Via, From, To (with a tag), Call-ID, CSeq and Content-Length.
 */
export type SipReply = {
  readonly status: number;
  /** Absent: the phrase of RFC 3261, section 21. */
  readonly reason?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: Uint8Array;
  /**
   * The client has been told to say something at least this often over the connection (RFC 5626, section 5.4: Flow-Timer):
   * if it does not, the connection is closed. Without meaning over UDP and WebSocket.
   */
  readonly flowTimerSeconds?: number;
  /** The tag for a To that has none: a token. Absent: the engine makes one. */
  readonly toTag?: string;
};

/**
 * A request to be sent. The engine adds Via, Max-Forwards when missing, and Content-Length; From, To, Call-ID and
 * CSeq must be there. CR, LF and NUL in any value are refused with GatewayError('internal').
 */
export type SipOutgoing = {
  readonly method: string;
  readonly uri: string;
  readonly headers: readonly HeaderField[];
  readonly body?: Uint8Array;
  /**
   * Via values of a request that is handed on as a proxy does, the topmost first: they stand below that of the engine, and
   * the answer must have them, too. An engine that cannot write them sends the request as its own.
   */
  readonly vias?: readonly string[];
  /** Where to send it instead of to the first Route or the Request-URI: a SIP URI (RFC 3263) or an existing flow. */
  readonly nextHop?: { readonly uri: string } | { readonly flow: string };
  /** Names one of which the certificate must carry when it goes over TLS; absent: the host of the next hop. */
  readonly expectNames?: readonly string[];
  /** Gives up after this long, at most the 64*T1 of RFC 3261, section 17.1.2.2; ms. */
  readonly timeoutMs?: number;
};

export type SipResponse = {
  readonly status: number;
  readonly reason: string;
  readonly headers: SipHeaders;
  readonly body: Uint8Array;
  readonly flow: SipFlow;
};
