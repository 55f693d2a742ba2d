import { GatewayError } from '../core/errors.ts';
import { type NodeBus, NodeGone } from '../core/nodes/node-bus.ts';

/**
 * Has another node send a stanza over a link that only it runs.
 *
 * @param call what the other node serves for it, and how long it may take, ms
 * @throws GatewayError as `XmppLink.send`, also where the node is gone
 */
export async function sendAtNode(
  bus: Pick<NodeBus, 'call'>,
  node: string,
  call: { readonly what: string; readonly value: unknown; readonly withinMs: number },
): Promise<void> {
  try {
    await bus.call(node, call.what, call.value, call.withinMs);
  } catch (thrown) {
    // That nobody knows whether it was sent is so with every link that is lost.
    if (!(thrown instanceof NodeGone)) throw thrown;
    throw new GatewayError('peer-unreachable', thrown.message, { cause: thrown });
  }
}
