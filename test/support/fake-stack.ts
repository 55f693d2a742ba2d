import { GatewayError, type ErrorCode } from '../../src/core/errors.ts';
import { SipHeaderList } from '../../src/sip/headers.ts';
import type { HeaderField, SipOutgoing, SipResponse, SipTransport } from '../../src/sip/message.ts';
import { serializeRequest } from '../../src/sip/engine/serializer.ts';
import { NoWayOut, type SipListener, type SipStack } from '../../src/sip/stack.ts';
import { A_FLOW } from './sip-request.ts';

/** What a scripted peer does with a request: a status, a status with header fields, an error of the engine, or silence. */
export type Answer =
  number | readonly [status: number, ...headers: HeaderField[]] | ErrorCode | 'no-way-out' | 'silence';

/** A SIP stack without a network: requests are kept and answered by a script. */
export class FakeStack implements SipStack {
  readonly sent: SipOutgoing[] = [];
  readonly #script: (outgoing: SipOutgoing) => Answer;

  constructor(script: (outgoing: SipOutgoing) => Answer) {
    this.#script = script;
  }

  start(): Promise<readonly SipListener[]> {
    return Promise.resolve([]);
  }

  request(outgoing: SipOutgoing): Promise<SipResponse> {
    // As the engine does: what cannot be written is refused.
    serializeRequest(outgoing);
    this.sent.push(outgoing);
    const answer = this.#script(outgoing);
    if (answer === 'silence') return new Promise<SipResponse>(() => undefined);
    if (answer === 'no-way-out') return Promise.reject(new NoWayOut('scripted'));
    if (typeof answer === 'string') return Promise.reject(new GatewayError(answer, 'scripted'));
    const [status, ...headers] = typeof answer === 'number' ? [answer] : answer;
    const flow = { ...A_FLOW, remoteAddress: '192.0.2.77' };
    return Promise.resolve({ status, reason: '', headers: new SipHeaderList(headers), body: new Uint8Array(), flow });
  }

  reachableAt(transport: SipTransport): Promise<string | undefined> {
    return Promise.resolve(transport === 'tls' ? undefined : '192.0.2.10:5060');
  }

  isFlowOpen(): boolean {
    return true;
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}
