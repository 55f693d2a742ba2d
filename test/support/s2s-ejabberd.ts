import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDns } from './dns-server.ts';
import { ejabberdLibraries } from './ejabberd.ts';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening, type TestProcess } from './process.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { until } from './until.ts';
import { filled, passwordOf } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/ejabberd-s2s.yml.in', import.meta.url), 'utf8');

/** Starts ejabberd as a server of another domain that federates with us; it finds us by a name server of its own. */
export async function startEjabberdS2s(options: S2sServerOptions): Promise<S2sServer> {
  const folder = join(options.folder, `ejabberd-${options.domain}`);
  mkdirSync(join(folder, 'db'), { recursive: true });
  const [c2sPort, s2sPort, s2sTlsPort] = [await freePort(), await freePort(), await freePort()];
  const distributionPort = await freePort();
  const cookie = join(folder, '.erlang.cookie');
  writeFileSync(cookie, 'interprestest');
  chmodSync(cookie, 0o400);
  const { tls } = options;
  // It asks this name server for SRV records, and the system for the addresses of what it finds there.
  const dns = await startDns(
    Object.entries(options.routes).map(
      ([domain, { port, isTls }]) =>
        `--srv-host=${isTls === true ? '_xmpps-server' : '_xmpp-server'}._tcp.${domain},localhost,${port},1,0`,
    ),
  );
  const inetrc = join(folder, 'inetrc');
  writeFileSync(inetrc, `{resolv_conf, ""}.\n{lookup, [dns]}.\n{nameserver, {127,0,0,1}, ${dns.port}}.\n`);
  const certificates = join(folder, 'both.pem');
  if (tls !== undefined) {
    writeFileSync(certificates, readFileSync(tls.certificate, 'utf8') + readFileSync(tls.key, 'utf8'));
  }
  const roots = tls?.ca === undefined ? '' : `s2s_cafile: "${tls.ca}"\nca_file: "${tls.ca}"\n`;
  let running: TestProcess | undefined;

  const start = async (): Promise<void> => {
    const config = join(folder, 'ejabberd.yml');
    const ready = join(folder, 'ready');
    rmSync(ready, { force: true });
    writeFileSync(
      config,
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
      }),
    );
    const users = options.users.map((user) => `{<<"${user}">>,<<"${passwordOf(user)}">>}`).join(',');
    const begin = [
      '{ok,_}=application:ensure_all_started(ejabberd)',
      `[ejabberd_auth:try_register(U,<<"${options.domain}">>,P) || {U,P} <- [${users}]]`,
      `ok=file:write_file("${ready}",<<"1">>).`,
    ].join(', ');
    running = await startProcess({
      name: 'ejabberd',
      command: commandPath('erl')!,
      args: [
        ...['-noinput', '-name', `ejabberd${distributionPort}@127.0.0.1`],
        ...['-start_epmd', 'false', '-erl_epmd_port', String(distributionPort)],
        ...['-kernel', 'inet_dist_use_interface', '{127,0,0,1}'],
        ...['-mnesia', 'dir', `"${join(folder, 'db')}"`],
        ...['-s', 'ejabberd', '-eval', begin],
      ],
      folder,
      env: {
        ERL_LIBS: ejabberdLibraries(),
        ERL_INETRC: inetrc,
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(folder, 'ejabberd-own.log'),
        HOME: folder,
      },
    });
    await until(() => existsSync(ready), {
      what: 'ejabberd has its accounts',
      withinMs: 40_000,
      detail: () => running?.output() ?? '',
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
      await running?.stop(2_000); // its own way out takes longer than its data needs
    },
    async kill() {
      await running?.kill();
      await dns.stop();
    },
    setSecret: () => undefined,
  };
}
