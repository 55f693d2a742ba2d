/**
 * The log as the core sees it: a constant message in lower case, everything that varies in fields.
 *
 * error: the operator must act. warn: a peer broke the standard or something was dropped. info: one line per accepted
 * operation and one per outcome. debug: decisions. trace: the wire, bodies cut to type and length, credentials never.
 */
export type LogFields = {
  readonly messageId?: string;
  readonly operation?: string;
  readonly watcher?: string;
  readonly presentity?: string;
  readonly aor?: string;
  readonly jid?: string;
  readonly callId?: string;
  readonly stanzaId?: string;
  readonly peer?: string;
  readonly link?: string;
  readonly nextHop?: string;
  readonly attempt?: number;
  readonly code?: string;
  readonly status?: number;
  readonly durationMs?: number;
  readonly error?: unknown;
  readonly [field: string]: unknown;
};

type Write = (fields: LogFields, message: string) => void;

export interface Log {
  error: Write;
  warn: Write;
  info: Write;
  debug: Write;
  trace: Write;
  /** A log that adds these fields to every line. */
  child(fields: LogFields): Log;
}
