import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import type { Log, LogFields } from './core/log.ts';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The log as JSON lines: `level` in words, `time` in ISO form, `msg` a constant, the rest fields of `core/log.ts`.
 *
 * Lines are written in batches of up to 4 KiB or one second, so that a busy server does not pay a system call a line;
 * errors are flushed at once, and what is left when the process ends is written by pino's exit hook.
 */
export function createPinoLog(level: LogLevel, destination: DestinationStream): Log {
  const root = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.errWithCause },
    },
    destination,
  );
  return wrap(root);
}

function wrap(logger: Logger): Log {
  const at = (level: LogLevel) => (fields: LogFields, message: string) => logger[level](fields, message);
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    trace: at('trace'),
    child: (fields) => wrap(logger.child(fields)),
  };
}
