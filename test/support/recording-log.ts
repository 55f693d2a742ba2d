import type { Log, LogFields } from '../../src/core/log.ts';

export type LogLine = {
  readonly level: keyof Omit<Log, 'child'>;
  readonly fields: LogFields;
  readonly message: string;
};

/** A log that keeps its lines. */
export class RecordingLog implements Log {
  readonly lines: LogLine[];
  readonly #fields: LogFields;

  constructor(lines: LogLine[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  readonly error = this.#at('error');
  readonly warn = this.#at('warn');
  readonly info = this.#at('info');
  readonly debug = this.#at('debug');
  readonly trace = this.#at('trace');

  child(fields: LogFields): Log {
    return new RecordingLog(this.lines, { ...this.#fields, ...fields });
  }

  /** The messages of a level, in order. */
  said(level: LogLine['level']): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }

  #at(level: LogLine['level']): (fields: LogFields, message: string) => void {
    return (fields, message) => {
      this.lines.push({ level, fields: { ...this.#fields, ...fields }, message });
    };
  }
}
