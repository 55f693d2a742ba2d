import { loadConfig } from './load-config.ts';

/** Reads a configuration as `serve` would and says what it understood; a wrong file ends with all its faults. */
export function check(configPath: string): void {
  const config = loadConfig(configPath);
  const lines = [
    `${configPath}: in order`,
    `  our domains: ${config.domains.map((domain) => domain.name).join(', ')}`,
    `  SIP listens: ${config.sip.listen.map((listener) => `${listener.transport}://${listener.address}:${listener.port}`).join(', ')}`,
    `  links: ${Object.keys(config.links).join(', ') || 'none'}`,
    `  peers: ${config.peers.map((peer) => `${peer.domain} over ${peer.link}`).join(', ') || 'none'}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
