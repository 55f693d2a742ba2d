import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { startProsodyProcess } from './prosody-process.ts';
import { filled, type ComponentHost, type XmppServerOptions } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/prosody.cfg.lua', import.meta.url), 'utf8');

/** Starts Prosody with these accounts and one component name. */
export async function startProsody(options: XmppServerOptions): Promise<ComponentHost> {
  const { domain, users, component } = options;
  const folder = join(options.folder, 'prosody');
  const c2sPort = await freePort();
  const componentPort = await freePort();
  let secret = options.secret;
  const config = (): string =>
    filled(TEMPLATE, {
      FOLDER: folder,
      DOMAIN: domain,
      COMPONENT: component,
      SECRET: secret,
      C2S_PORT: c2sPort,
      COMPONENT_PORT: componentPort,
    });
  return {
    ...(await startProsodyProcess({ folder, domain, users, ports: [c2sPort, componentPort], config })),
    domain,
    component,
    c2sPort,
    componentPort,
    setSecret: (changed) => void (secret = changed),
  };
}
