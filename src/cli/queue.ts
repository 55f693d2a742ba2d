import type { DeliveryQueue, QueueFigures, QueueFilter, QueueItem } from '../core/ports.ts';
import type { Operation } from '../cpim/operation.ts';
import { contentText } from './content-text.ts';
import { CommandError } from './command-error.ts';
import { askServer, refusalOf } from './control-client.ts';
import { controlSocketPath } from './control-socket.ts';
import { loadConfig } from './load-config.ts';
import { printableJson } from './printable.ts';
import { table } from './table.ts';

type Listing = { readonly figures: QueueFigures; readonly items: readonly QueueItem[] };
type Shown = QueueItem & { readonly operation: Operation };
type Done = { readonly done: boolean };
type ListOptions = {
  readonly dead?: true;
  readonly hop?: string;
  readonly sender?: string;
  readonly limit: string;
  readonly json?: true;
};

const LIST_MAX = 10_000;
const HEAD = ['id', 'state', 'next hop', 'from -> to', 'accepted', 'tries', 'why'];

/** Prints entries of the queue, of the running server where there is one, of the store itself where there is none. */
export async function listQueue(configPath: string, options: ListOptions): Promise<void> {
  const limit = /^[0-9]{1,5}$/.test(options.limit) ? Number(options.limit) : 0;
  if (limit < 1 || limit > LIST_MAX) {
    throw new CommandError(`--limit takes a number from 1 to ${LIST_MAX}, not ${options.limit}`, 2);
  }
  const filter: QueueFilter = {
    state: options.dead === true ? 'dead' : 'live',
    limit,
    ...(options.hop === undefined ? {} : { hop: options.hop }),
    ...(options.sender === undefined ? {} : { owner: options.sender }),
  };
  const query = new URLSearchParams(
    Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]),
  );
  const listing = await either<Listing>(configPath, 'GET', `/queue?${query.toString()}`, async (queue) => ({
    figures: queue.figures(),
    items: await queue.list(filter),
  }));
  // Only a question about one entry can be about none.
  if (listing === undefined) throw new CommandError('the server does not know this command: is it of another version?');
  if (options.json === true) {
    process.stdout.write(`${printableJson(listing)}\n`);
    return;
  }
  process.stdout.write(table(HEAD, listing.items.map(rowOf)));
  const { figures } = listing;
  process.stdout.write(`${figures.live} live, ${figures.underWay} under way, ${figures.dead} dead\n`);
}

/** Shows, retries or drops one entry. */
export async function onEntry(configPath: string, what: 'show' | 'retry' | 'drop', id: string): Promise<void> {
  const path = `/queue/${encodeURIComponent(id)}`;
  if (what === 'show') {
    const item = await either<Shown>(configPath, 'GET', path, (queue) => queue.show(id));
    if (item === undefined) throw new CommandError(`no entry ${id} in the queue`);
    const { operation, ...rest } = item;
    const readable = operation.op === 'message' ? { ...operation, content: contentText(operation.content) } : operation;
    process.stdout.write(`${printableJson({ ...rest, operation: readable })}\n`);
    return;
  }
  const done = await either<Done>(
    configPath,
    what === 'retry' ? 'POST' : 'DELETE',
    what === 'retry' ? `${path}/retry` : path,
    async (queue) => ({ done: what === 'retry' ? await queue.retry(id) : await queue.drop(id) }),
  );
  if (done?.done !== true) throw new CommandError(`no entry ${id} in the queue`);
  process.stdout.write(what === 'retry' ? `${id}: will be tried now\n` : `${id}: dropped\n`);
}

/**
 * The running server owns its queue: while it runs it is asked; while it does not, the store is opened here.
 *
 * @returns undefined when there is no such entry.
 */
async function either<T>(
  configPath: string,
  method: string,
  path: string,
  offline: (queue: DeliveryQueue) => Promise<T | undefined>,
): Promise<T | undefined> {
  const config = loadConfig(configPath);
  const answer = await askServer(controlSocketPath(config.data), method, path);
  if (answer !== undefined) {
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refusalOf(answer);
    return answer.body as T;
  }
  const { openStoppedQueue } = await import('./offline-queue.ts');
  const store = await openStoppedQueue(config);
  try {
    return await offline(store.queue);
  } finally {
    await store.close();
  }
}

function rowOf(item: QueueItem): string[] {
  return [
    item.id,
    item.state,
    item.hop,
    item.lane.replace('\n', ' -> '),
    new Date(item.acceptedAtMs).toISOString(),
    String(item.attempts),
    [item.code, item.reason].filter((part) => part !== undefined).join(': '),
  ];
}
