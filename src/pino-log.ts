import { destination, pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import type { Log, LogFields } from './core/log.ts';
import { LogOutput } from './log-output.ts';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Standard output in gathered writes, so that a busy server does not pay a system call a line. */
export function logDestination(): DestinationStream & { flushSync(): void } {
  // Not pino's own: its flushSync never returns once its reader is gone.
  const output = new LogOutput(1);
  process.once('exit', () => output.flushSync());
  return output;
}

/** Standard error, line by line: for commands, whose output is their answer. */
export function errorDestination(): DestinationStream {
  return destination({ fd: 2, sync: true });
}

/**
 * The log as JSON lines: `level` in words, `time` in ISO form, `msg` a constant, the rest fields of `core/log.ts`.
 */
export function createPinoLog(level: LogLevel, destination: DestinationStream): Log {
  const root = pino(
    {
      level,
      base: null,
      timestamp,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.errWithCause },
      hooks: { streamWrite: harmless },
    },
    destination,
  );
  return wrap(root);
}

let stampedMs = 0;
let stamp = '';

/** Many lines of a busy server bear the same millisecond. */
function timestamp(): string {
  const nowMs = Date.now();
  if (nowMs !== stampedMs) {
    stampedMs = nowMs;
    stamp = `,"time":"${new Date(nowMs).toISOString()}"`;
  }
  return stamp;
}

/**
 * What JSON lets through and a terminal or a viewer obeys: DEL, the C1 controls, line separators, and the marks that turn
 * text round. A stranger's names are in the log, too.
 */
const OBEYED = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** The line with those written as escapes, which mean the same in JSON. */
function harmless(line: string): string {
  // `replace` first looks for one without allocating anything; nearly every line has none.
  return line.replace(OBEYED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** So much of a field a line shows, characters: a stranger's address may be as long as his stanza. */
const FIELD_MAX = 2_000;

/** The fields with those cut that are longer than anything that helps. */
function bounded(fields: LogFields): LogFields {
  let cut: Record<string, unknown> | undefined;
  for (const name in fields) {
    const value = fields[name];
    if (typeof value !== 'string' || value.length <= FIELD_MAX) continue;
    cut ??= { ...fields };
    cut[name] = `${value.slice(0, FIELD_MAX)}… (${value.length} characters)`;
  }
  return cut ?? fields;
}

function wrap(logger: Logger): Log {
  const at = (level: LogLevel) => (fields: LogFields, message: string) => logger[level](bounded(fields), message);
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    trace: at('trace'),
    child: (fields) => wrap(logger.child(fields)),
  };
}
