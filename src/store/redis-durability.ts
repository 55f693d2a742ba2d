import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import type { Log } from '../core/log.ts';
import type { RedisClient } from './redis-connection.ts';

/**
 * Says in the log what this Redis survives: `add` and `put` promise that and no more.
 *
 * Never fails: hosted servers often forbid CONFIG, and what they survive is in their contract.
 */
export async function tellDurability(client: RedisClient, log: Log): Promise<void> {
  const servers: readonly Redis[] = client instanceof Cluster ? client.nodes('master') : [client];
  try {
    await Promise.all(servers.map((server) => tellOne(server, log)));
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    log.info({ error: said }, 'redis does not tell its settings, see there what it survives');
  }
}

async function tellOne(server: Redis, log: Log): Promise<void> {
  const settings = new Map<string, string>();
  for (const pattern of ['append*', 'maxmemory*']) {
    const pairs = await server.config('GET', pattern);
    if (!Array.isArray(pairs)) continue;
    for (let at = 0; at + 1 < pairs.length; at += 2) settings.set(String(pairs[at]), String(pairs[at + 1]));
  }
  const { host, port } = server.options;
  const where = { redis: `${host ?? ''}:${port ?? ''}` };
  const appendfsync = settings.get('appendfsync');
  if (settings.get('appendonly') !== 'yes') {
    log.warn(
      { ...where, appendonly: settings.get('appendonly') },
      'redis loses the store when it restarts: set appendonly yes',
    );
  } else if (appendfsync === 'always') {
    log.info({ ...where, appendfsync }, 'what redis has confirmed survives its crash and a power cut');
  } else if (appendfsync === 'everysec') {
    log.info(
      { ...where, appendfsync },
      'what redis has confirmed survives its crash; a power cut may take the last second',
    );
  } else {
    log.warn(
      { ...where, appendfsync },
      'redis leaves it to the system when it writes: set appendfsync everysec or always',
    );
  }
  const policy = settings.get('maxmemory-policy');
  if (policy !== undefined && policy !== 'noeviction') {
    log.warn({ ...where, policy }, 'redis may throw away what is stored: set maxmemory-policy noeviction');
  }
}
