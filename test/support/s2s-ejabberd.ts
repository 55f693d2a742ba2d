import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDns } from './dns-server.ts';
import { startEjabberdProcess } from './ejabberd-process.ts';
import { freePort } from './ports.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { filled } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/ejabberd-s2s.yml.in', import.meta.url), 'utf8');

/** Starts ejabberd as a server of another domain that federates with us; it finds us by a name server of its own. */
export async function startEjabberdS2s(options: S2sServerOptions): Promise<S2sServer> {
  const folder = join(options.folder, `ejabberd-${options.domain}`);
  const [c2sPort, s2sPort, s2sTlsPort] = [await freePort(), await freePort(), await freePort()];
  const { tls } = options;
  // It asks this name server for SRV records, and the system for the addresses of what it finds there.
  const dns = await startDns(
    Object.entries(options.routes).map(
      ([domain, { port, isTls }]) =>
        `--srv-host=${isTls === true ? '_xmpps-server' : '_xmpp-server'}._tcp.${domain},localhost,${port},1,0`,
    ),
  );
  mkdirSync(folder, { recursive: true });
  const inetrc = join(folder, 'inetrc');
  writeFileSync(inetrc, `{resolv_conf, ""}.\n{lookup, [dns]}.\n{nameserver, {127,0,0,1}, ${dns.port}}.\n`);
  const certificates = join(folder, 'both.pem');
  if (tls !== undefined) {
    writeFileSync(certificates, readFileSync(tls.certificate, 'utf8') + readFileSync(tls.key, 'utf8'));
  }
  const roots = tls?.ca === undefined ? '' : `s2s_cafile: "${tls.ca}"\nca_file: "${tls.ca}"\n`;
  const config = (): string =>
    filled(TEMPLATE, {
      DOMAIN: options.domain,
      C2S_PORT: c2sPort,
      S2S_PORT: s2sPort,
      STARTTLS: tls === undefined ? 'false' : 'required',
      TLS: tls === undefined ? '' : `${roots}certfiles:\n  - "${certificates}"`,
      TLS_LISTENER:
        tls === undefined
          ? ''
          : `  -\n    port: ${s2sTlsPort}\n    ip: "127.0.0.1"\n    module: ejabberd_s2s_in\n    tls: true\n    shaper: none`,
      DIALBACK: options.wantsCertificate === true ? '' : '  mod_s2s_dialback: {}',
    });
  const { domain, users } = options;
  const env = { ERL_INETRC: inetrc };
  const server = await startEjabberdProcess({ folder, domain, users, ports: [c2sPort, s2sPort], config, env });
  return {
    ...server,
    domain,
    c2sPort,
    s2sPort,
    s2sTlsPort,
    async kill() {
      await server.kill();
      await dns.stop();
    },
  };
}
