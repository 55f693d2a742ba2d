import type { AttemptOutcome, QueueEntry } from '../core/ports.ts';
import { letterText } from './redis-entry.ts';

export type AttemptedEntry = {
  readonly entry: QueueEntry;
  readonly position: number;
  /** Attempts before this one. */
  readonly attempts: number;
  /** Whether an attempt had been begun before. */
  readonly wasSent: boolean;
  readonly nowMs: number;
  readonly rememberSeconds: number;
};

/** What came of an attempt, as the scripts take it: six values. */
export function outcomeValues(outcome: AttemptOutcome, attempted: AttemptedEntry): readonly string[] {
  const { entry, position, attempts, wasSent, nowMs, rememberSeconds } = attempted;
  switch (outcome.kind) {
    case 'delivered':
      return sixValues('delivered', entry.id, rememberSeconds);
    case 'dead': {
      const letter = letterText(entry, position, attempts, outcome.code, outcome.reason);
      return sixValues('dead', entry.id, rememberSeconds, letter, nowMs);
    }
    case 'again': {
      const atMs = Math.max(1, Math.ceil(outcome.atMs));
      return sixValues('again', entry.id, attempts + 1, atMs, outcome.code ?? '', outcome.reason ?? '');
    }
    case 'held':
      return sixValues('held', entry.id, wasSent ? 1 : 0);
  }
}

export function sixValues(kind: string, id: string, ...values: ReadonlyArray<string | number>): readonly string[] {
  return [kind, id, ...values.map(String), '', '', '', ''].slice(0, 6);
}
