import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening, type TestProcess } from './process.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { filled, passwordOf } from './xmpp-server.ts';

const PEERS = fileURLToPath(new URL('./peers/', import.meta.url));
const TEMPLATE = readFileSync(join(PEERS, 'prosody-s2s.cfg.lua'), 'utf8');

/** Starts Prosody as a server of another domain that federates with us. */
export async function startProsodyS2s(options: S2sServerOptions): Promise<S2sServer> {
  const folder = join(options.folder, `prosody-${options.domain}`);
  const accounts = join(folder, 'data', options.domain.replaceAll('.', '%2e').replaceAll('-', '%2d'), 'accounts');
  mkdirSync(accounts, { recursive: true });
  for (const user of options.users) {
    writeFileSync(join(accounts, `${user}.dat`), `return {\n\t["password"] = "${passwordOf(user)}";\n};\n`);
  }
  const [c2sPort, s2sPort, s2sTlsPort] = [await freePort(), await freePort(), await freePort()];
  const { tls } = options;
  const routes = Object.entries(options.routes).map(
    ([domain, { port, isTls }]) => `["${domain}"] = { port = ${port}, direct = ${String(isTls === true)} }`,
  );
  const ca = tls?.ca === undefined ? '' : ` cafile = "${tls.ca}";`;
  const modules = [
    ...(tls === undefined ? [] : ['tls']),
    ...(options.bidi === true ? ['s2s_bidi'] : []),
    ...(options.sm === false ? [] : ['smacks']),
  ];
  let running: TestProcess | undefined;

  const start = async (): Promise<void> => {
    const config = join(folder, 'prosody.cfg.lua');
    writeFileSync(
      config,
      filled(TEMPLATE, {
        FOLDER: folder,
        PLUGINS: join(dirname(PEERS), 'peers', 'prosody-plugins'),
        DOMAIN: options.domain,
        C2S_PORT: c2sPort,
        S2S_PORT: s2sPort,
        S2S_TLS_PORT: tls === undefined ? '' : s2sTlsPort,
        REQUIRE_ENCRYPTION: String(tls !== undefined),
        SECURE_AUTH: String(options.wantsCertificate === true),
        MODULES: modules.map((name) => `"${name}";`).join(' '),
        DISABLED: tls === undefined ? '"tls";' : '',
        ROUTES: `{ ${routes.join('; ')} }`,
        TLS: tls === undefined ? '' : `ssl = { certificate = "${tls.certificate}"; key = "${tls.key}";${ca} }`,
      }),
    );
    running = await startProcess({
      name: 'prosody',
      command: commandPath('prosody')!,
      args: ['--config', config, '-F'],
      folder,
    });
    await untilListening(c2sPort, running);
    await untilListening(s2sPort, running);
  };
  await start();
  return {
    domain: options.domain,
    component: '',
    componentPort: 0,
    c2sPort,
    s2sPort,
    s2sTlsPort,
    process: () => running!,
    start,
    async stop() {
      await running?.stop();
    },
    async kill() {
      await running?.kill();
    },
    setSecret: () => undefined,
  };
}
