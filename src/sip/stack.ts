import { GatewayError } from '../core/errors.ts';
import { isAtAddress } from './host.ts';
import type { SipOutgoing, SipReply, SipRequest, SipResponse, SipTransport } from './message.ts';

/** Answers one request. Returning is answering: there is no second way to reply, and no way to forget. */
export type SipHandler = (request: SipRequest) => Promise<SipReply>;

export type SipListener = {
  readonly transport: SipTransport;
  readonly address: string;
  /** The port in use: the one the system chose where the configuration says 0. */
  readonly port: number;
};

/**
 * Whether the host of a URI is where a listener is found: at its address, or at that by which a request has come in where it
 * listens on all of them.
 */
export function isAtListener(host: string, listener: SipListener, localAddress: string): boolean {
  if (isAtAddress(host, listener.address)) return true;
  const isAnywhere = listener.address === '0.0.0.0' || listener.address === '::';
  return isAnywhere && isAtAddress(host, localAddress);
}

/** No request can leave at present, to nobody: 'peer-unreachable', and it says nothing about the far end. */
export class NoWayOut extends GatewayError {
  constructor(message: string) {
    super('peer-unreachable', message);
  }
}

/** How a server that carries SIP for this one stands. */
export type SipServerState = {
  /** `listening`: it is the server that connects; see `connections`. */
  readonly at: 'connecting' | 'up' | 'down' | 'listening';
  readonly sinceMs: number;
  /** Why it is down and what to do about it. */
  readonly reason?: string;
  readonly version?: string;
  /** How many servers are connected. */
  readonly connections?: number;
};

/**
 * Carries SIP requests and their final responses; transactions are inside.
 *
 * Promises of every implementation, checked by `test/contract/sip-stack.ts`:
 *  1. A well-formed request reaches the handler once: retransmissions are absorbed, and answered again with the same
 *     response (RFC 3261, section 17.2.2). A request that is not well-formed is answered 400 where its Via can be
 *     read and is never seen by the handler (RFC 4475).
 *  2. What the handler returns is sent, with Via, From, To, Call-ID and CSeq copied and a To tag added when the
 *     request had none (the handler's where it gives one), to where RFC 3261, section 18.2.2 and RFC 3581 say. A handler that rejects is answered 500.
 *  3. A handler that takes long costs no retransmission storm: a provisional answer is sent as RFC 4320 allows, and no
 *     408 is ever sent to a non-INVITE request.
 *  4. `request` resolves with the final response, 2xx to 6xx, first one only; a response matches by branch, sent-by,
 *     CSeq method and where it came from, and needs no To tag.
 *  5. `request` rejects with GatewayError: 'peer-unreachable' when no target could be reached (all of RFC 3263 tried),
 *     'peer-timeout' when one was reached and did not answer in time.
 *  6. Bytes of a body arrive as they were sent, both ways, NUL and non-UTF-8 included; Content-Length counts bytes.
 *  7. A request of more than 1300 bytes does not leave over UDP unless nothing else is offered (RFC 3261, section
 *     18.1.1); over a stream any number of messages may be under way at once, in the order they were given.
 *  8. No value given by a caller can add a header field or a message: CR, LF and NUL are refused.
 *  9. `stop` refuses new requests with 503, waits for handlers under way at most `graceMs`, then closes everything.
 * 10. `reachableAt` gives the host and port at which a far end reaches this server over a transport, the same after a
 *     restart, for a Contact; undefined when no listener of that transport is there for it.
 * 11. `isFlowOpen` says whether a request could go over a flow now: false the moment its connection is gone, and for
 *     connections of an earlier process; true over UDP as long as its listener is there.
 * 12. `SipOutgoing.vias` stand below the Via of the engine, in their order, and the answer counts that has them, too (RFC
 *     3261, sections 16.6 and 16.7): a request can be handed on. `SipReply.flowTimerSeconds` ends a connection on which
 *     nothing comes for that long and a little more.
 *
 * Where a drachtio server carries SIP (`stack-drachtio`) its own stack does, and these are not kept:
 *  2. An answer goes to the port a request came from, also without rport.
 *  3. No provisional answer is sent to other requests than INVITE: the first answer ends the server's transaction.
 *  4. How a response is matched is the server's ground.
 *  5. Requests are repeated over UDP once less, and `expectNames` is the server's to check.
 *  6. Bodies are UTF-8 without NUL: others are refused by the server on their way in (400), here on their way out
 *     ('content-unsupported'). A message of more than about 11 kB is refused ('content-too-large').
 *  9. New requests go to other applications of the server; where there is none the server refuses them itself,
 *     without Retry-After. Connections of far ends are the server's.
 * 11. A flow counts as open as long as the server that it came to is connected and no request over it has failed: of
 *     connections nobody is told.
 * 12. Neither has an effect; the configuration refuses what would need them.
 * A route set of its own cannot be written either: such a request goes to its one loose router without it, or is
 * refused ('feature-unsupported'). Requests of methods without a specification never arrive. A flow is the place a
 * request came from and the server it came to; `peerNames` is never there.
 */
export interface SipStack {
  /** The list is kept up to date where listeners come and go. */
  start(handler: SipHandler): Promise<readonly SipListener[]>;
  request(outgoing: SipOutgoing): Promise<SipResponse>;
  reachableAt(transport: SipTransport, remoteAddress: string): Promise<string | undefined>;
  isFlowOpen(flow: string): boolean;
  stop(graceMs: number): Promise<void>;
  /** Whether a request with these Route values can be sent; absent: whatever they are. */
  takesRoutes?(routes: readonly string[]): boolean;
  /** Whether signs of life of phones are answered over a transport (RFC 5626, section 4.4); absent: over each. */
  answersKeepAlives?(transport: SipTransport): boolean;
  /** The servers that carry SIP for this one, by name; absent where it does so itself. */
  servers?(): Readonly<Record<string, SipServerState>>;
}
