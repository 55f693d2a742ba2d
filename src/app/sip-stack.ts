import { createEmbeddedStack } from '../sip/stack-embedded.ts';
import type { SipStack } from '../sip/stack.ts';
import type { AppOptions } from './options.ts';

/** The SIP engine that the configuration wants; it does not listen yet. */
export function createSipStack({ config, version, clock, log }: AppOptions): SipStack {
  return createEmbeddedStack({
    listeners: config.sip.listen,
    ...(config.sip.tls === undefined ? {} : { tls: config.sip.tls }),
    webSocketOrigins: config.sip.websocket?.origins ?? [],
    dnsServers: config.dns.servers,
    clock,
    log,
    serverName: `Interpres/${version}`,
  });
}
