import { advertisedStack } from '../sip/advertised-stack.ts';
import { createEmbeddedStack } from '../sip/stack-embedded.ts';
import { parseCidrs } from '../core/cidr.ts';
import type { RegisterSettings } from '../sip/registrar/register-handler.ts';
import type { SipStack } from '../sip/stack.ts';
import { NodeStack } from '../sip/stack-nodes.ts';
import type { Nodes } from './nodes.ts';
import type { Config } from '../core/config.ts';
import type { Log } from '../core/log.ts';
import type { AppOptions } from './options.ts';

/** @param onUp SIP can be sent again after it could not */
export type SipStackEvents = { readonly onUp: () => void };

/** The SIP engine that the configuration wants; it does not listen yet. */
export async function createSipStack(
  options: AppOptions,
  events: SipStackEvents,
  nodes: Nodes | undefined,
): Promise<SipStack> {
  const stack = advertisedStack(await createEngine(options, events), options.config.sip.advertise);
  // Flows over a drachtio server are that one's, and every node may use them.
  return nodes === undefined || options.config.sip.engine === 'drachtio'
    ? stack
    : new NodeStack({
        stack,
        node: nodes.members.name,
        bus: nodes.bus,
        isThere: (name) => nodes.members.node(name) !== undefined,
      });
}

async function createEngine(options: AppOptions, events: SipStackEvents): Promise<SipStack> {
  const { config, version, clock, random, log } = options;
  const serverName = `Interpres/${version}`;
  if (config.sip.engine === 'drachtio') {
    // Loaded when wanted: a server with the embedded engine does not pay for the library at its start.
    const { createDrachtioStack } = await import('../sip/stack-drachtio.ts');
    sayWhoIsNotBelieved(config, log);
    return createDrachtioStack({ servers: config.sip.drachtio, clock, random, log, serverName, onUp: events.onUp });
  }
  return createEmbeddedStack({
    listeners: config.sip.listen,
    ...(config.sip.tls === undefined ? {} : { tls: config.sip.tls }),
    webSocketOrigins: config.sip.websocket?.origins ?? [],
    dnsServers: config.dns.servers,
    clock,
    log,
    serverName,
  });
}

/** A peer that only a certificate would prove can be sent to, and nothing is taken from it. */
function sayWhoIsNotBelieved({ peers }: Config, log: Log): void {
  const domains = peers.filter(({ link, trust }) => link === 'sip' && trust.length === 0).map(({ domain }) => domain);
  if (domains.length === 0) return;
  log.warn(
    { domains },
    'nothing is taken from these peers: a drachtio server does not tell whose certificate it was shown; give their addresses in `trust`',
  );
}

/** What the configuration says about registration, beside its limits. */
export function registerSettings(registration: Config['registration']): RegisterSettings {
  const { serviceRoute, flowTimerSeconds, edges } = registration;
  return {
    serviceRoute,
    ...(flowTimerSeconds === undefined ? {} : { flowTimerSeconds }),
    edges: parseCidrs(edges),
  };
}
