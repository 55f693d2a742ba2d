import type { Config } from '../core/config.ts';
import type { Health } from '../http/routes-health.ts';
import { CommandError } from './command-error.ts';
import { loadConfig } from './load-config.ts';
import { printableJson } from './printable.ts';
import { askRunningServer } from './running-server.ts';
import { table } from './table.ts';

const WAY_HEAD = ['link', 'state', 'since', 'node', 'why'];
const PEER_HEAD = ['peer', 'over', 'state', 'waiting'];

type Shown = Pick<Health, 'links' | 'peers'> & Partial<Pick<Health, 'sipServers'>>;

/** Prints how links and peers of the running server stand, and why one cannot be reached. */
export async function listPeers(configPath: string, options: { json?: true }): Promise<void> {
  const config = loadConfig(configPath);
  const answer = await askRunningServer(
    { config, configPath, whatIs: 'how peers stand is known to' },
    'GET',
    '/health',
  );
  // 503 while it starts or ends, with the same in it.
  const body = answer.body as Partial<Health>;
  const { links, peers, sipServers } = body;
  if (links === undefined || peers === undefined) throw new CommandError(`the server answered ${answer.status}`);
  const shown: Shown = { links, peers, ...(sipServers === undefined ? {} : { sipServers }) };
  process.stdout.write(options.json === true ? `${printableJson(shown)}\n` : textOf(shown, config));
}

function textOf({ links, peers, sipServers = {} }: Shown, config: Config): string {
  const ways = [
    ...Object.entries(links).map(([name, { at, sinceMs, node, reason }]) => ({ name, at, sinceMs, node, reason })),
    ...Object.entries(sipServers).map(([name, { at, sinceMs, reason }]) => ({
      name: `drachtio ${name}`,
      at,
      sinceMs,
      node: undefined,
      reason,
    })),
  ];
  const over = (domain: string): string => {
    const named = config.peers.filter((peer) => peer.domain === domain).map(({ link }) => link);
    return named.length === 0 ? 'sip' : named.join(', ');
  };
  const tables = [
    table(
      WAY_HEAD,
      ways.map((way) => [way.name, way.at, new Date(way.sinceMs).toISOString(), way.node ?? '', way.reason ?? '']),
    ),
    table(
      PEER_HEAD,
      Object.entries(peers).map(([domain, { reachable, waiting }]) => [
        domain,
        over(domain),
        reachable ? 'reachable' : 'not reachable',
        String(waiting),
      ]),
    ),
  ].filter((text) => text !== '');
  return tables.length === 0 ? 'no peers: give them in `peers` of the configuration\n' : tables.join('\n');
}
