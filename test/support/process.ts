import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from './until.ts';

export type StartOptions = {
  /** Names the log file and the failure. */
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
  /** Where the log goes: `<folder>/<name>.log`. */
  readonly folder: string;
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Keeps standard input open for `write`; absent: it reads nothing. */
  readonly input?: boolean;
};

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A program of somebody else (or ours), started by a test: its own process group, its output in a file. */
export interface TestProcess {
  readonly name: string;
  readonly pid: number;
  /** Resolves when it has ended by itself or otherwise. */
  exit(): Promise<Exit>;
  isRunning(): boolean;
  /** All it has written so far, both outputs. */
  output(): string;
  write(text: string): void;
  /** Waits for this in the output, from offset `from` on; gives the match. Fails at once when the process has ended. */
  said(pattern: RegExp | string, options?: { withinMs?: number; from?: number }): Promise<RegExpExecArray>;
  signal(name: NodeJS.Signals): void;
  /** Waits for it to end by itself, at most so long; says whether it has. */
  ended(withinMs: number): Promise<boolean>;
  /** Ends it: SIGTERM, after `graceMs` SIGKILL for the whole group. Safe to call again. */
  stop(graceMs?: number): Promise<Exit>;
  /** SIGKILL for the whole group, at once. */
  kill(): Promise<Exit>;
}

const running = new Set<ChildProcess>();
let watchdog: ChildProcess | undefined;

/**
 * Starts a program. Whatever happens to the test, the program does not outlive it: its group is killed when this
 * process exits, and by a watchdog when this process is killed.
 */
export async function startProcess(options: StartOptions): Promise<TestProcess> {
  mkdirSync(options.folder, { recursive: true });
  const logFile = join(options.folder, `${options.name}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(options.command, [...(options.args ?? [])], {
    cwd: options.cwd ?? options.folder,
    env: { ...process.env, ...options.env },
    stdio: [options.input === true ? 'pipe' : 'ignore', log, log],
    detached: true,
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.stdin?.on('error', () => undefined);
  watch(child);
  child.unref(); // a test that forgets to stop it still ends, and then so does the program
  return processOf(options.name, logFile, child, child.pid!);
}

function processOf(name: string, logFile: string, child: ChildProcess, pid: number): TestProcess {
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { code, signal };
      unwatch(child);
      resolve(exit);
    });
  });
  const output = (): string => readFileSync(logFile, 'utf8');
  const kill = async (): Promise<Exit> => {
    child.ref();
    signalGroup(pid, 'SIGKILL');
    return exited;
  };
  return {
    name,
    pid,
    exit: () => {
      if (exit === undefined) child.ref();
      return exited;
    },
    output,
    kill,
    isRunning: () => exit === undefined,
    write: (text) => void child.stdin?.write(text),
    signal: (signal) => void child.kill(signal),
    async ended(withinMs) {
      const endsAtMs = Date.now() + withinMs;
      while (exit === undefined && Date.now() < endsAtMs) await pause(10);
      return exit !== undefined;
    },
    async said(pattern, { withinMs = 10_000, from = 0 } = {}) {
      const wanted = typeof pattern === 'string' ? new RegExp(escapeForRegExp(pattern)) : pattern;
      const found = await until(
        () => {
          const match = wanted.exec(output().slice(from));
          return match ?? (exit === undefined ? undefined : 'ended');
        },
        { what: `${name} says ${String(wanted)}`, withinMs, detail: () => lastLines(output()) },
      );
      if (found === 'ended') {
        throw new Error(
          `${name} ended (${exit?.signal ?? exit?.code}) before it said ${String(wanted)}\n${lastLines(output())}`,
        );
      }
      return found;
    },
    async stop(graceMs = 5_000) {
      if (exit !== undefined) return exit;
      child.ref();
      child.stdin?.end();
      child.kill('SIGTERM');
      const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs);
      const ended = await exited;
      clearTimeout(timer);
      signalGroup(pid, 'SIGKILL'); // what its children left
      return ended;
    },
  };
}

/** Waits until somebody accepts TCP connections on this loopback port. */
export async function untilListening(port: number, by: TestProcess, withinMs = 15_000): Promise<void> {
  await untilOrEnded(() => isListening(port), by, `listens on TCP port ${port}`, withinMs);
}

/** Whether a TCP connection to this loopback port is accepted now. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Waits until a UDP socket is bound to this port, by the kernel's own table. */
export async function untilBound(port: number, by: TestProcess, withinMs = 15_000): Promise<void> {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  const isBound = (): boolean =>
    ['/proc/net/udp', '/proc/net/udp6'].some((table) => readFileSync(table, 'utf8').includes(hex));
  await untilOrEnded(isBound, by, `has UDP port ${port}`, withinMs);
}

async function untilOrEnded(
  probe: () => boolean | Promise<boolean>,
  by: TestProcess,
  does: string,
  withinMs: number,
): Promise<void> {
  const detail = (): string => lastLines(by.output());
  const seen = await until(async () => (!by.isRunning() ? 'ended' : (await probe()) ? 'so' : undefined), {
    what: `${by.name} ${does}`,
    withinMs,
    detail,
  });
  if (seen === 'ended') throw new Error(`${by.name} ended before it ${does}\n${detail()}`);
}

/** The end of a log, for the text of a failure. */
export function lastLines(text: string, count = 30): string {
  return text.split('\n').slice(-count).join('\n');
}

function escapeForRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    return; // nobody is left in it
  }
}

// Reads `+ pid` and `- pid`; at the end of its input, that is of this process, it kills the groups that are left.
const WATCHDOG = `trap '' INT TERM HUP
left=""
while read -r what pid; do
  case $what in
    +) left="$left $pid" ;;
    -) kept=""; for p in $left; do [ "$p" = "$pid" ] || kept="$kept $p"; done; left=$kept ;;
  esac
done
for p in $left; do kill -s KILL -- "-$p" 2>/dev/null; done`;

function watch(child: ChildProcess): void {
  if (watchdog === undefined) {
    const dog = spawn('/bin/sh', ['-c', WATCHDOG], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    dog.stdin.on('error', () => undefined);
    dog.unref();
    (dog.stdin as unknown as { unref(): void }).unref();
    watchdog = dog;
    // Before their folders are removed.
    process.prependOnceListener('exit', () => {
      for (const left of running) signalGroup(left.pid!, 'SIGKILL');
    });
    // A test runner ends a file that takes too long with SIGTERM.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
  }
  running.add(child);
  watchdog.stdin?.write(`+ ${child.pid}\n`);
}

function unwatch(child: ChildProcess): void {
  running.delete(child);
  watchdog?.stdin?.write(`- ${child.pid}\n`);
}
