import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEjabberdProcess } from './ejabberd-process.ts';
import { freePort } from './ports.ts';
import { filled, type ComponentHost, type XmppServerOptions } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/ejabberd.yml.in', import.meta.url), 'utf8');

/** Starts ejabberd with these accounts and one component name. */
export async function startEjabberd(options: XmppServerOptions): Promise<ComponentHost> {
  const { domain, users, component } = options;
  const folder = join(options.folder, 'ejabberd');
  const c2sPort = await freePort();
  const componentPort = await freePort();
  let secret = options.secret;
  const config = (): string =>
    filled(TEMPLATE, {
      DOMAIN: domain,
      COMPONENT: component,
      SECRET: secret,
      C2S_PORT: c2sPort,
      COMPONENT_PORT: componentPort,
    });
  return {
    ...(await startEjabberdProcess({ folder, domain, users, ports: [c2sPort, componentPort], config })),
    domain,
    component,
    c2sPort,
    componentPort,
    setSecret: (changed) => void (secret = changed),
  };
}
