import { hostPort } from './engine/channel.ts';
import type { SipTransport } from './message.ts';
import type { SipStack } from './stack.ts';

/** A place where this server is reached, whatever it listens on. */
export type AdvertisedPlace = { readonly transport: SipTransport; readonly address: string; readonly port: number };

/**
 * An engine that is reached at other places than those it listens on: behind a load balancer, which leads to any of
 * several nodes, so that a Contact outlives the node that has given it. Transports that are not named lead nowhere.
 */
export function advertisedStack(stack: SipStack, places: readonly AdvertisedPlace[]): SipStack {
  if (places.length === 0) return stack;
  return {
    start: (handler) => stack.start(handler),
    request: (outgoing) => stack.request(outgoing),
    stop: (graceMs) => stack.stop(graceMs),
    isFlowOpen: (flow) => stack.isFlowOpen(flow),
    ...optionalOf(stack),
    reachableAt: (transport) => {
      const place = places.find((one) => one.transport === transport);
      return Promise.resolve(place === undefined ? undefined : hostPort(place.address, place.port));
    },
  };
}

/** The methods that not every engine has. */
function optionalOf(stack: SipStack): Pick<SipStack, 'servers' | 'takesRoutes' | 'answersKeepAlives'> {
  return {
    ...(stack.servers === undefined ? {} : { servers: () => stack.servers?.() ?? {} }),
    takesRoutes: (routes) => stack.takesRoutes?.(routes) ?? true,
    answersKeepAlives: (transport) => stack.answersKeepAlives?.(transport) ?? true,
  };
}
