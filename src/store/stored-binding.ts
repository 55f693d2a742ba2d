import type { Binding } from '../core/ports.ts';

/** Reads the bindings of a user. What cannot be read is left out: its owner registers again within the hour. */
export function bindingsFromText(text: string): Binding[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter(isBinding) : [];
  } catch {
    return [];
  }
}

function isBinding(value: unknown): value is Binding {
  if (typeof value !== 'object' || value === null) return false;
  const { contact, q, expiresAtMs, callId, cseq, ...optional } = value as Record<string, unknown>;
  const { instance, flow, userAgent, regId, gruusSinceMs, refreshedAtMs, isFlowOnly, hasGruu, path } = optional;
  return (
    typeof contact === 'string' &&
    typeof callId === 'string' &&
    [q, expiresAtMs, cseq].every((number) => typeof number === 'number') &&
    [instance, flow, userAgent].every((text) => text === undefined || typeof text === 'string') &&
    [regId, gruusSinceMs, refreshedAtMs].every((number) => number === undefined || typeof number === 'number') &&
    [isFlowOnly, hasGruu].every((mark) => mark === undefined || mark === true) &&
    (path === undefined || (Array.isArray(path) && path.every((route) => typeof route === 'string')))
  );
}
