import type { NodesReport } from '../http/routes-nodes.ts';
import { CommandError } from './command-error.ts';
import { refusalOf } from './control-client.ts';
import { loadConfig } from './load-config.ts';
import { printableJson } from './printable.ts';
import { askRunningServer } from './running-server.ts';
import { table } from './table.ts';

const HEAD = ['node', 'since', 'version', 'listens', 'owns'];

/** Prints the nodes on the Redis of this one. */
export async function listNodes(configPath: string, options: { json?: true }): Promise<void> {
  const config = loadConfig(configPath);
  const answer = await askRunningServer({ config, configPath, whatIs: 'nodes are known to' }, 'GET', '/nodes');
  if (answer.status === 404) {
    throw new CommandError('this server keeps everything in its own folder: nodes need a Redis, the section `store`');
  }
  if (answer.status !== 200) throw refusalOf(answer);
  const report = answer.body as NodesReport;
  if (options.json === true) {
    process.stdout.write(`${printableJson(report)}\n`);
    return;
  }
  process.stdout.write(nodesText(report));
}

/** As an operator reads it: a line for each node, then what else there is to say. */
export function nodesText({ nodes, handOvers, isHeard }: NodesReport): string {
  let text = table(HEAD, nodes.map(rowOf));
  const last = handOvers?.last;
  if (last !== undefined) {
    const when = new Date(last.atMs).toISOString();
    text += `last handed over: ${last.lease} from ${last.from} to ${last.to}, ${when}: ${last.reason}\n`;
  }
  if (!isHeard) text += 'Redis does not answer: this is as it was when it last did\n';
  return text;
}

function rowOf(node: NodesReport['nodes'][number]): string[] {
  return [
    node.isLeaving ? `${node.name} (leaving)` : node.name,
    new Date(node.startedAtMs).toISOString(),
    node.version,
    node.addresses.join(' '),
    node.owns.join(' '),
  ];
}
