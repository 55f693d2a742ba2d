import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening, type TestProcess } from './process.ts';
import { filled, passwordOf, type XmppServer, type XmppServerOptions } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/prosody.cfg.lua', import.meta.url), 'utf8');

/** Starts Prosody with these accounts and one component name. */
export async function startProsody(options: XmppServerOptions): Promise<XmppServer> {
  const folder = join(options.folder, 'prosody');
  const accounts = join(folder, 'data', options.domain.replaceAll('.', '%2e').replaceAll('-', '%2d'), 'accounts');
  mkdirSync(accounts, { recursive: true });
  for (const user of options.users) {
    writeFileSync(join(accounts, `${user}.dat`), `return {\n\t["password"] = "${passwordOf(user)}";\n};\n`);
  }
  const c2sPort = await freePort();
  const componentPort = await freePort();
  let secret = options.secret;
  let running: TestProcess | undefined;

  const start = async (): Promise<void> => {
    const config = join(folder, 'prosody.cfg.lua');
    writeFileSync(
      config,
      filled(TEMPLATE, {
        FOLDER: folder,
        DOMAIN: options.domain,
        COMPONENT: options.component,
        SECRET: secret,
        C2S_PORT: c2sPort,
        COMPONENT_PORT: componentPort,
      }),
    );
    running = await startProcess({
      name: 'prosody',
      command: commandPath('prosody')!,
      args: ['--config', config, '-F'],
      folder,
    });
    await untilListening(c2sPort, running);
    await untilListening(componentPort, running);
  };
  await start();
  return {
    domain: options.domain,
    component: options.component,
    c2sPort,
    componentPort,
    process: () => running!,
    start,
    async stop() {
      await running?.stop();
    },
    async kill() {
      await running?.kill();
    },
    setSecret: (changed) => void (secret = changed),
  };
}
