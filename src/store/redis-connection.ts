import { Redis } from 'ioredis';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';

/** A command that has no answer by then counts as failed; whether it was carried out is then not known. */
const COMMAND_MS = 3_000;
const RECONNECT_MS_MAX = 2_000;
const RETRY_AFTER_SECONDS = 30;

/**
 * The connection for our own commands. While Redis is away they fail at once, so that a sender hears of it.
 *
 * @throws GatewayError 'store-unavailable' naming the server, when it cannot be reached now
 */
export async function connectRedis(url: string, log: Log): Promise<Redis> {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_MS,
    connectTimeout: COMMAND_MS,
    retryStrategy: reconnectMs,
  });
  logOutages(redis, url, log);
  try {
    await redis.connect();
    await warnIfNotDurable(redis, log);
    return redis;
  } catch (cause) {
    redis.disconnect();
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new GatewayError('store-unavailable', `Redis at ${withoutSecret(url)} cannot be used: ${said}`, { cause });
  }
}

/** Options of the connections that BullMQ makes: its commands wait for Redis to come back. */
export function bullConnection(url: string, log: Log): Redis {
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: reconnectMs });
  redis.on('error', (error: Error) => log.debug({ error: error.message }, 'redis connection failed'));
  return redis;
}

/** Whatever Redis answers instead of doing it (away, out of memory, read-only): the store is not available. */
export function redisFailure(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const said = cause instanceof Error ? cause.message : String(cause);
  return new GatewayError('store-unavailable', `Redis failed: ${said}`, {
    cause,
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}

function reconnectMs(times: number): number {
  return Math.min(RECONNECT_MS_MAX, 50 * times);
}

function logOutages(redis: Redis, url: string, log: Log): void {
  const where = { redis: withoutSecret(url) };
  let isAway = false;
  redis.on('error', (error: Error) => {
    if (isAway) return;
    isAway = true;
    log.error({ ...where, error: error.message }, 'store cannot be written');
  });
  redis.on('ready', () => {
    if (!isAway) return;
    isAway = false;
    log.info(where, 'store can be written again');
  });
}

/** `add` promises what Redis keeps: with `appendfsync everysec` a power cut may take the last second. */
async function warnIfNotDurable(redis: Redis, log: Log): Promise<void> {
  let settings: string[];
  try {
    settings = await redis.config('GET', 'append*');
  } catch {
    return; // hosted servers often forbid CONFIG
  }
  const valueOf = (name: string): string | undefined => settings[settings.indexOf(name) + 1];
  if (valueOf('appendonly') !== 'yes') {
    log.warn({ appendonly: valueOf('appendonly') }, 'redis loses the queue when it restarts: set appendonly yes');
  } else if (valueOf('appendfsync') === 'no') {
    log.warn({ appendfsync: 'no' }, 'redis leaves it to the system when it writes: set appendfsync everysec or always');
  }
}

function withoutSecret(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return 'the configured address';
  }
}
