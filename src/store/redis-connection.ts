import { EventEmitter } from 'node:events';
import type { Cluster, Redis } from 'ioredis';
import type { StoreConfig } from '../core/config.ts';
import type { HostPort } from '../core/config/values.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { LastingRedis, type LastingRedisOptions as Options } from './redis-client.ts';
import { SlotCluster, type SlotClusterOptions } from './redis-cluster.ts';
import { tellDurability } from './redis-durability.ts';
import { withRemedy } from './redis-remedy.ts';

/** A Redis, or a Cluster of them: the same commands. */
export type RedisClient = Redis | Cluster;

/**
 * What a connection beside the first is for.
 * `waits`: its commands wait until Redis is back, as BullMQ wants it. `listens`: blocking reads of at most two seconds
 * each; its commands fail while Redis is away.
 */
export type RedisUse = 'waits' | 'listens';

/** A command that has no answer by then counts as failed; whether it was carried out is then not known. */
const COMMAND_MS = 3_000;
/** A server that has not let us in by then cannot be used at start. */
export const OPEN_MS = 5_000;
const RECONNECT_MS_MAX = 1_000;
const SILENCE_MS = 4_000;
/** A BullMQ worker waits up to ten seconds for a job. */
const WORKER_SILENCE_MS = 15_000;
/** Slot tables of a Cluster are asked anew this often, so that a failover is noticed without a refused command. */
const SLOTS_MS = 2_000;
const RETRY_AFTER_SECONDS = 30;
/** Its commands fail at once while Redis is away. */
const FAILS: Options = { enableOfflineQueue: false, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false };
/** In the place of PUBLISH, of which a Cluster does not know where it belongs. */
const PUBLISH = `return redis.call('PUBLISH', ARGV[1], ARGV[2])`;

type Events = { ready: []; away: [] };

/**
 * The way to the Redis that is the store: one server, the master behind Sentinels, or a Cluster.
 *
 * On `client` a command fails at once while Redis is away, so that a sender hears of it, and after three seconds
 * without an answer; a server that stops answering is connected to anew. It is never sent a second time by itself:
 * whoever sent it decides.
 *
 * Every key begins with `{prefix}:`, also those of BullMQ. The braces are the hash tag that keeps all of them in one
 * slot of a Cluster, so that one script may touch any of them (redis.io/docs, Cluster specification, hash tags).
 *
 * Events: `ready` when commands can be sent again, `away` when they cannot any more.
 */
export class RedisConnection extends EventEmitter<Events> {
  readonly client: RedisClient;
  /** For logs and faults: the servers, without user and password. */
  readonly where: string;
  readonly log: Log;
  readonly #config: StoreConfig;
  readonly #others = new Set<RedisClient>();
  #isReady = false;
  #isClosed = false;
  #interruptions = 0;
  /** What the connection itself says, where a command says only that it is closed. */
  #lastError: Error | undefined;

  /**
   * Connects, and says in the log what this Redis survives.
   *
   * @throws GatewayError 'store-unavailable' naming the server, when it cannot be reached now
   */
  static async open(config: StoreConfig, log: Log): Promise<RedisConnection> {
    const connection = new RedisConnection(config, log);
    try {
      // Sentinels that cannot be reached are asked for ever.
      await within(OPEN_MS, connection.client.connect(), '');
      await connection.client.ping();
    } catch (cause) {
      connection.close();
      const said = withRemedy(lastCause(connection.#lastError ?? cause));
      throw new GatewayError('store-unavailable', `Redis at ${connection.where} cannot be used: ${said}`, { cause });
    }
    await tellDurability(connection.client, log);
    return connection;
  }

  private constructor(config: StoreConfig, log: Log) {
    super();
    this.#config = config;
    this.log = log;
    this.where = placesOf(config);
    this.client = this.#connect({ ...FAILS, commandTimeout: COMMAND_MS });
    this.#follow();
  }

  /** Whether a command would be sent now. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Grows whenever a command had no answer, or was refused. Whoever answers the next may be another server, and not have all that was
   * confirmed before.
   */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** Whether it is a Cluster, where a server knows only its own listeners. */
  get isCluster(): boolean {
    return this.#config.servers.kind === 'cluster';
  }

  /** What BullMQ's keys begin with; BullMQ puts the ':' itself. */
  get tag(): string {
    return `{${this.#config.prefix}}`;
  }

  /** The key of that name, `queue:live` for example. */
  key(name: string): string {
    return `${this.tag}:${name}`;
  }

  /** A further connection, closed with this one. */
  another(use: RedisUse): RedisClient {
    return this.#begun(
      this.#connect(use === 'waits' ? { maxRetriesPerRequest: null, socketTimeout: WORKER_SILENCE_MS } : FAILS),
    );
  }

  /** A further connection for subscriptions, closed with this one. Of a Cluster any server tells what is published. */
  listener(): Redis {
    const options = this.#options(FAILS);
    if (this.#config.servers.kind !== 'cluster') return this.#begun(this.#connectOne(this.#config.servers, options));
    const { nodes } = this.#config.servers;
    let last: HostPort | undefined;
    const place = (): HostPort | undefined => {
      const others = [...this.#knownServers(), ...nodes].filter(
        ({ host, port }) => host !== last?.host || port !== last.port,
      );
      return (last = oneOf(others) ?? last);
    };
    // It ends with each connection, so that it begins anew at another server.
    const retryStrategy = (): null => null;
    return this.#begun(new LastingRedis({ ...options, ...place(), retryStrategy }, place));
  }

  /**
   * Publishes a text; what one process publishes is told in the order of its calls. @returns how many listen, of a
   * Cluster those at one server only. @throws GatewayError 'store-unavailable'; it may have been done all the same
   */
  async publish(channel: string, text: string): Promise<number> {
    // A Cluster takes PUBLISH at any server, and what was sent to two of them may be told in either order.
    const told = await this.ask((client) =>
      this.isCluster ? client.eval(PUBLISH, 1, this.key(''), channel, text) : client.publish(channel, text),
    );
    return Number(told);
  }

  /** Sends commands. @throws GatewayError 'store-unavailable' whatever fails. */
  async ask<T>(ask: (client: RedisClient) => Promise<T>): Promise<T> {
    try {
      return await ask(this.client);
    } catch (error) {
      this.#interruptions += 1;
      throw redisFailure(error);
    }
  }

  /** Makes a script known under a name of its own, for `run`. Its first key is the tag, which all its keys begin with. */
  define(name: string, lua: string): void {
    this.client.defineCommand(`interpres-${name}`, { numberOfKeys: 1, lua });
  }

  /** Runs a script. KEYS[1] is what `key('')` gives; a list stands for its values. @throws GatewayError 'store-unavailable' whatever fails. */
  run(name: string, ...values: ReadonlyArray<string | number | readonly string[]>): Promise<unknown> {
    const commands = this.client as unknown as Record<string, (...values: unknown[]) => Promise<unknown>>;
    return this.ask(async () => commands[`interpres-${name}`]?.(this.key(''), ...values));
  }

  /** Lets go of Redis at once. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const client of [this.client, ...this.#others]) client.disconnect();
  }

  #begun<Client extends RedisClient>(client: Client): Client {
    client.on('error', (error: Error) => this.log.debug({ error: error.message }, 'redis connection failed'));
    client.connect().catch(() => undefined); // it goes on trying
    this.#others.add(client);
    return client;
  }

  #options(more: Options): Options {
    const { username, password, tls } = this.#config;
    return {
      lazyConnect: true,
      connectTimeout: COMMAND_MS,
      // A server that is there and says nothing is as good as away.
      socketTimeout: SILENCE_MS,
      // A master that became a replica, and says so only to those who write.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls: { ...tls } }),
      ...more,
    };
  }

  #connect(more: Options): RedisClient {
    const { servers } = this.#config;
    const options = this.#options(more);
    if (servers.kind !== 'cluster') return this.#connectOne(servers, options);
    return new SlotCluster([...servers.nodes], clusterOptions(options));
  }

  #connectOne(servers: Exclude<StoreConfig['servers'], { kind: 'cluster' }>, options: Options): LastingRedis {
    const { database, tls } = this.#config;
    if (servers.kind === 'one') return new LastingRedis({ ...options, ...servers.server, db: database, retryStrategy });
    return new LastingRedis({
      ...options,
      db: database,
      retryStrategy,
      sentinels: [...servers.sentinels],
      name: servers.name,
      sentinelRetryStrategy: retryStrategy,
      sentinelCommandTimeout: COMMAND_MS,
      // A failover that the Sentinels have decided is followed at once, also when the old master still answers.
      failoverDetector: true,
      ...(servers.password === undefined ? {} : { sentinelPassword: servers.password }),
      ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: { ...tls } }),
    });
  }

  #knownServers(): readonly HostPort[] {
    const { client } = this;
    if (!client.isCluster) return [];
    const places = (client as Cluster).nodes().map(({ options }) => options);
    return places.flatMap(({ host, port }) => (host === undefined || port === undefined ? [] : [{ host, port }]));
  }

  #follow(): void {
    const where = { redis: this.where };
    let wasReady = false;
    const away = (fields: object): void => {
      if (this.#isClosed || !this.#isReady) return;
      this.#isReady = false;
      this.log.error({ ...where, ...fields }, 'store cannot be written');
      this.emit('away');
    };
    this.client.on('error', (error: Error) => {
      this.#lastError = error;
      // Before the first connection, whoever opens it says what is wrong.
      away({ error: withRemedy(error.message) });
    });
    this.client.on('close', () => away({ error: 'the connection was closed' }));
    this.client.on('ready', () => {
      if (this.#isReady || this.#isClosed) return;
      this.#isReady = true;
      this.#lastError = undefined;
      if (wasReady) {
        this.log.info(where, 'store can be written again');
        void tellDurability(this.client, this.log);
      }
      wasReady = true;
      this.emit('ready');
    });
  }
}

/** Whatever Redis answers instead of doing it (away, out of memory, read-only): the store is not available. */
export function redisFailure(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new GatewayError('store-unavailable', `Redis failed: ${withRemedy(lastCause(cause))}`, {
    cause,
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}

/** Whether Redis has surely not done it: it has said so, or was never asked. */
export function wasRefused(thrown: unknown): boolean {
  const cause = thrown instanceof GatewayError ? thrown.cause : thrown;
  if (!(cause instanceof Error)) return false;
  return cause.name === 'ReplyError' || cause.message.includes("isn't writeable");
}

function retryStrategy(times: number): number {
  return Math.min(RECONNECT_MS_MAX, 50 * times);
}

function oneOf<T>(some: readonly T[]): T | undefined {
  return some[Math.floor(Math.random() * some.length)];
}

function clusterOptions(options: Options): SlotClusterOptions {
  const { enableOfflineQueue = true, maxRetriesPerRequest, ...redisOptions } = options;
  const waits = maxRetriesPerRequest === null;
  return {
    lazyConnect: true,
    enableOfflineQueue,
    clusterRetryStrategy: retryStrategy,
    slotsRefreshTimeout: COMMAND_MS,
    slotsRefreshInterval: SLOTS_MS,
    // Where a command must fail rather than wait, only what moved with its slot is sent again.
    ...(waits ? {} : { retryDelayOnFailover: 0, retryDelayOnClusterDown: 0 }),
    redisOptions: { ...redisOptions, maxRetriesPerRequest: maxRetriesPerRequest ?? 0 },
  };
}

/** Waits for a connection. @throws Error that says what there was none for, when the time is over */
export async function within(ms: number, connected: Promise<void>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no connection${what} within ${ms / 1_000} s`)), ms);
  });
  await Promise.race([connected, tooLong]).finally(() => clearTimeout(timer));
}

function placesOf({ servers, tls }: StoreConfig): string {
  const places =
    servers.kind === 'one' ? [servers.server] : servers.kind === 'cluster' ? servers.nodes : servers.sentinels;
  const scheme = tls === undefined ? 'redis' : 'rediss';
  const all = places.map(({ host, port }) => `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`);
  return servers.kind === 'sentinels' ? `${servers.name} of ${all.join(', ')}` : all.join(', ');
}

/** What went wrong in the end: a Cluster says only that nothing could be had, and why in `lastNodeError`. */
function lastCause(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { lastNodeError } = thrown as { lastNodeError?: unknown };
  return lastNodeError instanceof Error ? `${thrown.message} (${lastNodeError.message})` : thrown.message;
}
