import { startInterpres, type InterpresProcess, type TestStore } from './interpres-process.ts';
import { startProsody } from './prosody.ts';
import type { SippTarget, SippUser } from './sipp.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { passwordOf, type ComponentHost, type XmppServerOptions } from './xmpp-server.ts';

/** Our SIP domain, its name on the XMPP side, and the XMPP domain. */
export const SIP_DOMAIN = 'sip.example';
export const COMPONENT = 'sip.xmpp.example';
export const XMPP_DOMAIN = 'xmpp.example';
export const SECRET = 'only for tests';

export type FederationOptions = {
  readonly name: string;
  readonly startXmppServer?: (options: XmppServerOptions) => Promise<ComponentHost>;
  readonly xmppUsers?: readonly string[];
  /** Our SIP domain; default `SIP_DOMAIN`. */
  readonly domain?: string;
  /** Accounts of our SIP domain; passwords by `passwordOf`. */
  readonly sipUsers?: readonly string[];
  /** Merged over that of the link. */
  readonly link?: Readonly<Record<string, unknown>>;
  /** Merged over the configuration, key by key. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly store?: TestStore;
  /** Default `<folder>/interpres/data`. */
  readonly data?: string;
};

/** Two domains and us between them. */
export type Federation = {
  readonly folder: string;
  readonly xmpp: ComponentHost;
  readonly interpres: InterpresProcess;
  sippTarget(transport: 'udp' | 'tcp'): SippTarget;
  stop(): Promise<void>;
};

/** Starts an XMPP server and us with a component link to it; resolves when the link is up. */
export async function startFederation(options: FederationOptions): Promise<Federation> {
  const folder = temporaryFolder(options.name);
  const startXmppServer = options.startXmppServer ?? startProsody;
  const xmpp = await startXmppServer({
    folder,
    domain: XMPP_DOMAIN,
    component: COMPONENT,
    secret: SECRET,
    users: options.xmppUsers ?? ['juliet', 'romeo'],
  });
  const interpres = await startInterpres({
    folder,
    config: { ...federationConfig(xmpp.componentPort, SECRET, options.domain, options.link), ...options.config },
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.store === undefined ? {} : { store: options.store }),
    ...(options.data === undefined ? {} : { data: options.data }),
    start: false,
  });
  for (const user of options.sipUsers ?? []) await interpres.addUser(user, SIP_DOMAIN, passwordOf(user));
  await interpres.start();
  await interpres.untilLink('office', 'up');
  return {
    folder,
    xmpp,
    interpres,
    sippTarget: (transport) => ({ port: interpres.sipPort, transport, folder }),
    async stop() {
      await interpres.stop();
      await xmpp.kill();
    },
  };
}

/** The configuration of a federation whose XMPP server takes components on this port. */
export function federationConfig(
  componentPort: number,
  secret = SECRET,
  domain = SIP_DOMAIN,
  link: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    domains: [domain],
    links: {
      office: {
        type: 'xmpp-component',
        host: '127.0.0.1',
        port: componentPort,
        name: COMPONENT,
        domain,
        secret,
        ...link,
      },
    },
    peers: [{ domain: XMPP_DOMAIN, link: 'office' }],
  };
}

/** A SIP account as SIPp wants it. */
export function sipUser(user: string): SippUser {
  return { user, domain: SIP_DOMAIN, password: passwordOf(user) };
}
