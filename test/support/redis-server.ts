import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { StoreConfig } from '../../src/core/config.ts';
import { freePort } from './ports.ts';
import { commandPath } from './peers.ts';
import { startProcess, untilListening } from './process.ts';
import type { TestProcess } from './process.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A redis-server of a test's own: free loopback port, temporary folder, append-only file. */
export type RedisServer = {
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now. */
  pid(): number;
  /** The section `store` of a server that keeps its keys apart by `prefix`. */
  readonly config: (prefix: string) => StoreConfig;
  /** SIGKILL; `start` brings it back with what it had written. */
  kill(): Promise<void>;
  /** SIGSTOP or SIGCONT: it hangs, and goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** While it is stopped: what it has now on its disk. @returns puts that back in the place of what it has then */
  keep(): () => void;
  /** Ends the server in order; `start` brings it back with what it had. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Sends one command as its operator would. */
  command(...words: string[]): Promise<void>;
  /** As `command`; gives the answer. Fails at once while the server is away. */
  call(...words: string[]): Promise<unknown>;
};

export async function startRedis(more: Readonly<Record<string, string>> = {}): Promise<RedisServer> {
  const port = await freePort();
  const folder = temporaryFolder('redis');
  const command = commandPath('redis-server');
  if (command === undefined) throw new Error('redis-server is not installed');
  let server: TestProcess | undefined;
  const start = async (): Promise<void> => {
    const settings = {
      port,
      bind: '127.0.0.1',
      dir: folder,
      appendonly: 'yes',
      save: '',
      'maxmemory-policy': 'noeviction',
      ...more,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    server = await startProcess({ name: 'redis', command, args, folder });
    await untilListening(port, server);
    await server.said('Ready to accept connections');
  };
  await start();
  const call = async (...words: string[]): Promise<unknown> => {
    const client = new Redis({ port, lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined); // the command fails with it
    try {
      return await client.call(words[0] ?? '', ...words.slice(1));
    } finally {
      client.disconnect();
    }
  };
  return {
    url: `redis://127.0.0.1:${port}/0`,
    port,
    pid: () => server?.pid ?? 0,
    config: (prefix) => ({
      type: 'redis',
      servers: { kind: 'one', server: { host: '127.0.0.1', port } },
      database: 0,
      prefix,
    }),
    start,
    kill: async () => {
      await server?.kill();
    },
    signal: (signal) => {
      server?.signal(signal);
    },
    keep: () => {
      const [files, kept] = [join(folder, 'appendonlydir'), join(folder, 'kept')];
      cpSync(files, kept, { recursive: true });
      return () => {
        rmSync(files, { recursive: true });
        cpSync(kept, files, { recursive: true });
      };
    },
    call,
    command: async (...words) => {
      await call(...words);
    },
    stop: async () => {
      await server?.stop();
    },
  };
}
