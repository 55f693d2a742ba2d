import { uncertifiedDomains } from '../app/certificate-domains.ts';
import { certificateEndMs, watchedCertificates } from '../app/certificate-watch.ts';
import type { Config } from '../core/config.ts';
import { loadConfig } from './load-config.ts';

/**
 * Reads a configuration as `serve` would and says what it understood, with notes about certificates that are in order for
 * us and not for peers; a wrong file ends with all its faults.
 */
export function check(configPath: string): void {
  const config = loadConfig(configPath);
  const lines = [
    `${configPath}: in order`,
    `  our domains: ${config.domains.map((domain) => domain.name).join(', ')}`,
    `  ${sipLine(config)}`,
    `  links: ${Object.keys(config.links).join(', ') || 'none'}`,
    `  peers: ${config.peers.map((peer) => `${peer.domain} over ${peer.link}`).join(', ') || 'none'}`,
    ...notes(config).map((note) => `  note: ${note}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function sipLine({ sip }: Config): string {
  if (sip.engine === 'embedded') {
    return `SIP listens: ${sip.listen.map(({ transport, address, port }) => `${transport}://${address}:${port}`).join(', ')}`;
  }
  const servers = sip.drachtio.map((server) => {
    if ('host' in server) return `${server.host}:${server.port}${server.tls === undefined ? '' : ' (TLS)'}`;
    const { transport, address, port } = server.listen;
    return `whoever connects to ${transport}://${address}:${port}`;
  });
  return `SIP is carried by drachtio: ${servers.join(', ')}; no Route headers, no bodies that are no text, no messages above 11 kB`;
}

/** What the log says at the start as well, said before it. */
function notes(config: Config): string[] {
  const over = watchedCertificates(config).flatMap(({ key, pem }) => {
    const endMs = certificateEndMs(pem);
    if (endMs === undefined || endMs > Date.now()) return [];
    return [
      `the certificate of ${key} is over since ${new Date(endMs).toISOString()}: peers refuse it, put a new one in place`,
    ];
  });
  const missing = uncertifiedDomains(config).map(
    ({ key, domain }) => `${key} is not for ${domain}: to peers it proves nothing, put one in place that names it`,
  );
  return [...missing, ...over];
}
