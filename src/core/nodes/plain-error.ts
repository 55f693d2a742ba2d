import { type ErrorCode, ERROR_CODES, type ErrorDetails, GatewayError } from '../errors.ts';

/** A GatewayError as plain data, for another node. */
export type PlainError = { readonly code: string; readonly message: string; readonly details: ErrorDetails };

export function plainError(thrown: unknown): PlainError {
  const { code, message, details } = GatewayError.of(thrown);
  return { code, message, details };
}

export function isPlainError(value: unknown): value is PlainError {
  if (typeof value !== 'object' || value === null) return false;
  const { code, message, details } = value as Readonly<Record<string, unknown>>;
  return typeof code === 'string' && typeof message === 'string' && typeof details === 'object' && details !== null;
}

/** A code of another version is 'internal'. */
export function errorFrom({ code, message, details }: PlainError): GatewayError {
  const known = ERROR_CODES.includes(code as ErrorCode) ? (code as ErrorCode) : 'internal';
  return new GatewayError(known, message, { details });
}
