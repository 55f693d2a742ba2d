import type { NodeBus } from '../core/nodes/node-bus.ts';
import type { SipOutgoing, SipResponse, SipTransport } from './message.ts';
import { outgoingFrom, plainOutgoing, plainResponse, responseFrom, type Plain } from './plain-messages.ts';
import type { SipHandler, SipListener, SipStack } from './stack.ts';

export type NodeStackOptions = {
  /** The engine of this node. */
  readonly stack: SipStack;
  /** The name of this node: no `!` in it. */
  readonly node: string;
  readonly bus: Pick<NodeBus, 'call' | 'serve'>;
  /** Whether a node of this name is there. */
  readonly isThere: (node: string) => boolean;
};

const SERVICE = 'sip:request';
/** A transaction has ended by then (RFC 3261, section 17.1.2.2: 64*T1), with a margin for the way. */
const REQUEST_MS = 40_000;

/**
 * The SIP engine of one node among several: its flows have the node's name before them, `a!udp,...`, so that whoever has
 * one from the store knows where it is held, and a request for a flow of another node goes out there.
 *
 * Keeps the promises of `SipStack`, but for 11: a flow of another node counts as open as long as that node is there; a
 * request over it says what is so. A flow of a node that is not there any more is one that is gone.
 */
export class NodeStack implements SipStack {
  readonly #options: NodeStackOptions;
  readonly servers?: NonNullable<SipStack['servers']>;

  constructor(options: NodeStackOptions) {
    this.#options = options;
    const { stack } = options;
    if (stack.servers !== undefined) this.servers = () => stack.servers?.() ?? {};
    options.bus.serve(SERVICE, async (outgoing) =>
      plainResponse(await options.stack.request(outgoingFrom(outgoing as Plain<SipOutgoing>))),
    );
  }

  start(handler: SipHandler): Promise<readonly SipListener[]> {
    const { stack, node } = this.#options;
    return stack.start((request) =>
      handler({ ...request, flow: { ...request.flow, id: `${node}!${request.flow.id}` } }),
    );
  }

  async request(outgoing: SipOutgoing): Promise<SipResponse> {
    const { stack, node, bus } = this.#options;
    const { nextHop } = outgoing;
    if (nextHop === undefined || !('flow' in nextHop)) return stack.request(outgoing);
    const { holder, flow } = this.#parts(nextHop.flow);
    const held: SipOutgoing = { ...outgoing, nextHop: { flow } };
    if (holder === node) return stack.request(held);
    return responseFrom((await bus.call(holder, SERVICE, plainOutgoing(held), REQUEST_MS)) as Plain<SipResponse>);
  }

  reachableAt(transport: SipTransport, remoteAddress: string): Promise<string | undefined> {
    return this.#options.stack.reachableAt(transport, remoteAddress);
  }

  isFlowOpen(text: string): boolean {
    const { stack, node, isThere } = this.#options;
    const { holder, flow } = this.#parts(text);
    return holder === node ? stack.isFlowOpen(flow) : isThere(holder);
  }

  stop(graceMs: number): Promise<void> {
    return this.#options.stack.stop(graceMs);
  }

  /** A flow without a name is from before there were several nodes. */
  #parts(text: string): { readonly holder: string; readonly flow: string } {
    const at = text.indexOf('!');
    return { holder: at < 0 ? this.#options.node : text.slice(0, at), flow: text.slice(at + 1) };
  }
}
