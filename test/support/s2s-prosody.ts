import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.ts';
import { startProsodyProcess } from './prosody-process.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { filled } from './xmpp-server.ts';

const PEERS = fileURLToPath(new URL('./peers/', import.meta.url));
const TEMPLATE = readFileSync(join(PEERS, 'prosody-s2s.cfg.lua'), 'utf8');

/** Starts Prosody as a server of another domain that federates with us. */
export async function startProsodyS2s(options: S2sServerOptions): Promise<S2sServer> {
  const folder = join(options.folder, `prosody-${options.domain}`);
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
  const config = (): string =>
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
    });
  const { domain, users } = options;
  return {
    ...(await startProsodyProcess({ folder, domain, users, ports: [c2sPort, s2sPort], config })),
    domain,
    c2sPort,
    s2sPort,
    s2sTlsPort,
  };
}
