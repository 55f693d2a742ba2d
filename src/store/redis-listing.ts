import type { QueueFilter, QueueItem } from '../core/ports.ts';
import type { Operation } from '../cpim/operation.ts';
import type { RedisCommands } from './redis-commands.ts';
import { entryFromText, itemFromHash, letterFromText } from './redis-entry.ts';
import type { RedisLetter } from './redis-entry.ts';

const PAGE = 500;

/** Live and dead entries as the filter asks for them, oldest first. */
export async function listRedis(
  commands: RedisCommands,
  filter: QueueFilter,
  isUnderWay: (id: string) => boolean,
): Promise<QueueItem[]> {
  const limit = Math.min(10_000, Math.max(1, Math.floor(filter.limit)));
  const isWanted = (item: QueueItem): boolean =>
    (filter.hop ?? item.hop) === item.hop && (filter.owner ?? item.owner) === item.owner;
  const scan = async (set: 'live' | 'dead', read: (ids: string[]) => Promise<QueueItem[]>): Promise<QueueItem[]> => {
    const found: QueueItem[] = [];
    for (let from = 0; found.length < limit; from += PAGE) {
      const ids = await commands.ask((redis) => redis.zrange(commands.key(set), from, String(from + PAGE - 1)));
      if (ids.length > 0) found.push(...(await read(ids)).filter(isWanted));
      if (ids.length < PAGE) break;
    }
    return found;
  };
  const live = async (ids: string[]): Promise<QueueItem[]> => {
    const hashes = await commands.ask((redis) =>
      Promise.all(ids.map((id) => redis.hgetall(commands.key(`entry:${id}`)))),
    );
    return hashes.flatMap((hash, at) => itemFromHash(hash, isUnderWay(ids[at] ?? '')) ?? []);
  };
  const dead = async (ids: string[]): Promise<QueueItem[]> => {
    const texts = await commands.ask((redis) => redis.hmget(commands.key('letters'), ...ids));
    return texts.flatMap((text) => letterFromText(text)?.item ?? []);
  };
  const items = [
    ...(filter.state === 'dead' ? [] : await scan('live', live)),
    ...(filter.state === 'live' ? [] : await scan('dead', dead)),
  ];
  return items.sort((one, other) => one.acceptedAtMs - other.acceptedAtMs).slice(0, limit);
}

/** One entry, live or dead, with its operation. */
export async function showRedis(
  commands: RedisCommands,
  id: string,
  isUnderWay: boolean,
): Promise<(QueueItem & { readonly operation: Operation }) | undefined> {
  const hash = await commands.ask((redis) => redis.hgetall(commands.key(`entry:${id}`)));
  const item = itemFromHash(hash, isUnderWay);
  const entry = entryFromText(hash['data']);
  if (item !== undefined && entry !== undefined) return { ...item, operation: entry.operation };
  const letter = await redisLetter(commands, id);
  return letter === undefined ? undefined : { ...letter.item, operation: letter.entry.operation };
}

export async function redisLetter(commands: RedisCommands, id: string): Promise<RedisLetter | undefined> {
  return letterFromText(await commands.ask((redis) => redis.hget(commands.key('letters'), id)));
}
