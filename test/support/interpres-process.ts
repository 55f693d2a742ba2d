import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { askServer } from '../../src/cli/control-client.ts';
import { controlSocketPath } from '../../src/cli/control-socket.ts';
import { entryPoint } from './entry-point.ts';
import { freePort } from './ports.ts';
import { startProcess, type Exit, type TestProcess } from './process.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import { until } from './until.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where a server under test keeps its state. */
export type TestStore = 'folder' | 'redis';

export type InterpresOptions = {
  readonly folder: string;
  /** The configuration but for `data`, `sip.listen` and `http`, which are filled in here. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Where its data is kept; default `<folder>/data`. */
  readonly data?: string;
  /** A Redis of its own is the store, and ends with the server. Default: its data folder. */
  readonly store?: TestStore;
  /** Environment of the process, e.g. NODE_OPTIONS for a profile. */
  readonly env?: Readonly<Record<string, string>>;
};

/** What GET /health says; only what tests look at. */
export type Health = {
  readonly status: string;
  readonly links: Readonly<
    Record<string, { readonly at: string; readonly reason?: string; readonly unconfirmed: number }>
  >;
  readonly queue: { readonly live: number; readonly dead: number };
  readonly presence: { readonly publications: number; readonly subscriptions: number; readonly unanswered: number };
};

/** Our own server in a process of its own, on free loopback ports that stay the same over restarts. */
export interface InterpresProcess {
  readonly sipPort: number;
  readonly httpPort: number;
  readonly configFile: string;
  /** Its Redis, where that is its store. */
  readonly redis?: RedisServer;
  process(): TestProcess;
  /** Starts it and waits for nothing. */
  launch(): Promise<void>;
  /** Starts it; resolves when /health answers 200. */
  start(): Promise<void>;
  /** SIGTERM: it drains. */
  stop(): Promise<Exit>;
  /** SIGKILL. */
  kill(): Promise<void>;
  health(): Promise<Health>;
  /** GET over the control socket; what an operator's command is answered. */
  control(path: string): Promise<unknown>;
  untilLink(name: string, at: string, withinMs?: number): Promise<void>;
  addUser(user: string, domain: string, password: string): Promise<void>;
  /** Runs a command of ours against this configuration; gives its output. @throws Error when it fails. */
  run(args: readonly string[]): Promise<string>;
  /** Waits for a log line with this message; gives its fields. */
  untilLogged(message: RegExp, withinMs?: number): Promise<Readonly<Record<string, unknown>>>;
  /** Log lines, as JSON, oldest first. */
  log(): ReadonlyArray<Readonly<Record<string, unknown>>>;
  changeConfig(config: Readonly<Record<string, unknown>>): void;
}

let commands = 0;

/** Writes the configuration; with `start: false` it is not started yet. */
export async function startInterpres(options: InterpresOptions & { start?: false }): Promise<InterpresProcess> {
  const folder = join(options.folder, 'interpres');
  mkdirSync(folder, { recursive: true });
  const sipPort = await freePort();
  const httpPort = await freePort();
  const configFile = join(folder, 'config.yaml');
  const redis = options.store === 'redis' ? await startRedis({ appendfsync: 'always' }) : undefined;
  const changeConfig = (config: Readonly<Record<string, unknown>>): void => {
    const sip = (config['sip'] ?? {}) as Readonly<Record<string, unknown>>;
    const whole = {
      ...(redis === undefined ? {} : { store: { type: 'redis', url: redis.url } }),
      ...config,
      data: options.data ?? join(folder, 'data'),
      sip: { listen: [`udp://127.0.0.1:${sipPort}`, `tcp://127.0.0.1:${sipPort}`], ...sip },
      http: { listen: `127.0.0.1:${httpPort}` },
    };
    writeFileSync(configFile, stringify(whole));
  };
  changeConfig(options.config);
  let running: TestProcess | undefined;

  const health = async (): Promise<Health> => {
    const { status, body } = await get(httpPort, '/health');
    if (status !== 200) throw new Error(`GET /health: ${status} ${body}`);
    return JSON.parse(body) as Health;
  };
  const log = (): ReadonlyArray<Readonly<Record<string, unknown>>> => logLines(running?.output() ?? '');
  const run = async (args: readonly string[]): Promise<string> => {
    const command = await startProcess({
      name: `command-${++commands}`,
      command: process.execPath,
      args: [...entryPoint(), ...args, '--config', configFile],
      folder,
      cwd: ROOT,
    });
    const { code } = await command.exit();
    if (code !== 0) throw new Error(`interpres ${args.join(' ')}: ${code}\n${command.output()}`);
    return command.output();
  };
  const self: InterpresProcess = {
    sipPort,
    httpPort,
    configFile,
    process: () => running!,
    health,
    async control(path) {
      const answer = await askServer(controlSocketPath(options.data ?? join(folder, 'data')), 'GET', path);
      if (answer?.status !== 200) throw new Error(`GET ${path}: ${JSON.stringify(answer)}`);
      return answer.body;
    },
    log,
    run,
    changeConfig,
    async launch() {
      running = await startProcess({
        name: 'interpres',
        command: process.execPath,
        args: [...entryPoint(), 'serve', '--config', configFile],
        folder,
        cwd: ROOT,
        ...(options.env === undefined ? {} : { env: options.env }),
      });
    },
    async start() {
      await self.launch();
      const started = running!;
      const seen = await until(async () => (started.isRunning() ? health() : 'ended'), {
        what: 'interpres is up',
        withinMs: 20_000,
        everyMs: 10,
        detail: () => started.output().slice(-4_000),
      });
      if (seen === 'ended') throw new Error(`interpres ended at its start\n${started.output().slice(-4_000)}`);
    },
    ...(redis === undefined ? {} : { redis }),
    stop: async () => {
      // One that was never started has nothing to end but its Redis.
      const exit: Exit = running === undefined ? { code: 0, signal: null } : await running.stop(12_000);
      await redis?.stop();
      return exit;
    },
    async kill() {
      await running?.kill();
    },
    async untilLink(name, at, withinMs = 20_000) {
      await until(async () => (await health()).links[name]?.at === at, {
        what: `link ${name} is ${at}`,
        withinMs,
        detail: () => running?.output().slice(-4_000) ?? '',
      });
    },
    async addUser(user, domain, password) {
      await run(['users', 'add', `sip:${user}@${domain}`, '--password', password]);
    },
    untilLogged: (message, withinMs = 10_000) =>
      until(() => log().find((line) => message.test(String(line['msg']))), {
        what: `interpres logs ${String(message)}`,
        withinMs,
        detail: () => running?.output().slice(-4_000) ?? '',
      }),
  };
  if (options.start !== false) await self.start();
  return self;
}

function logLines(output: string): ReadonlyArray<Readonly<Record<string, unknown>>> {
  const lines: Array<Readonly<Record<string, unknown>>> = [];
  for (const line of output.split('\n').slice(0, -1)) {
    if (!line.startsWith('{')) continue;
    lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
  }
  return lines;
}

/** One GET; a connection refused, as while the server starts, rejects. */
function get(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, path, host: '127.0.0.1', agent: false, timeout: 3_000 }, (answer) => {
      let body = '';
      answer.setEncoding('utf8');
      answer.on('data', (text: string) => (body += text));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
      answer.on('error', reject);
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer in 3 s')));
    asked.on('error', reject);
    asked.end();
  });
}
