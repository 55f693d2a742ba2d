import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess } from './process.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type DnsServer = { readonly port: number; stop(): Promise<void> };

/** A name server (dnsmasq) that knows these records and nothing else; each as its command line takes them. */
export async function startDns(records: readonly string[]): Promise<DnsServer> {
  const port = await freePort();
  const server = await startProcess({
    name: 'dnsmasq',
    command: commandPath('dnsmasq') ?? 'dnsmasq',
    args: [
      ...['--no-daemon', '--conf-file=/dev/null', '--pid-file=', '--no-resolv', '--no-hosts', '--local=/example/'],
      ...['--listen-address=127.0.0.1', '--bind-interfaces', `--port=${port}`, '--user=root', '--local-ttl=60'],
      ...records,
    ],
    folder: temporaryFolder('dnsmasq'),
  });
  await server.said('started');
  return { port, stop: () => server.stop().then(() => undefined) };
}
