import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { entryPoint } from './entry-point.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIMIT_MS = 30_000;

export type CommandResult = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
};

export type CommandOptions = {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Whoever reads standard output goes away after the first piece of it, as `head -1` does. */
  readonly closeOutput?: true;
};

/** Runs our program as an operator does, to its end. */
export function command(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...entryPoint(), ...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout.push(chunk);
    if (options.closeOutput === true) child.stdout.destroy();
  });
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => undefined); // it may end without reading
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
        ms: performance.now() - startedMs,
      });
    });
  });
}
