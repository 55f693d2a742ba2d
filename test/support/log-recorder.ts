import type { Log, LogFields } from '../../src/core/log.ts';

export type LogLine = { readonly level: string; readonly message: string; readonly fields: LogFields };

/** A log that keeps its lines for a test to look at. */
export class LogRecorder implements Log {
  readonly lines: LogLine[];
  readonly #fields: LogFields;

  constructor(lines: LogLine[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  /** Messages of the lines at this level. */
  at(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message);
  }

  error(fields: LogFields, message: string): void {
    this.#add('error', fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.#add('warn', fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#add('info', fields, message);
  }

  debug(fields: LogFields, message: string): void {
    this.#add('debug', fields, message);
  }

  trace(fields: LogFields, message: string): void {
    this.#add('trace', fields, message);
  }

  child(fields: LogFields): Log {
    return new LogRecorder(this.lines, { ...this.#fields, ...fields });
  }

  #add(level: string, fields: LogFields, message: string): void {
    this.lines.push({ level, message, fields: { ...this.#fields, ...fields } });
  }
}
