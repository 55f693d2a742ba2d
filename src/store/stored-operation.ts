import type { Operation } from '../cpim/operation.ts';

/**
 * Reads an operation back from the text a store kept.
 *
 * @returns undefined when the text is not JSON, or not of the shape that `cpim/operation.ts` describes: a store is a
 * boundary, and what stands behind it may have been damaged or edited
 */
export function operationFromText(text: unknown): Operation | undefined {
  if (typeof text !== 'string') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isOperation(value) ? value : undefined;
}

export function isOperation(value: unknown): value is Operation {
  if (!isObject(value)) return false;
  const { op, id, source, destination, acceptedAtMs, expiresAtMs } = value;
  if (typeof id !== 'string' || !isEntity(source) || !isEntity(destination)) return false;
  if (typeof acceptedAtMs !== 'number' || !isOptional(expiresAtMs, 'number')) return false;
  if (op === 'message') {
    return (
      typeof value['hops'] === 'number' &&
      isContent(value['content']) &&
      (value['wants'] === undefined || isAsked(value['wants'])) &&
      isOptional(value['sentAtMs'], 'number') &&
      isOptional(value['thread'], 'string') &&
      isOptional(value['senderId'], 'string') &&
      isOptional(value['language'], 'string') &&
      (value['subjects'] === undefined || isArrayOf(value['subjects'], isLocalizedText)) &&
      (value['extras'] === undefined || isArrayOf(value['extras'], isHeaderField))
    );
  }
  if (op === 'disposition') return typeof expiresAtMs === 'number' && isDisposition(value);
  if (op !== 'report') return false;
  const { about, code, text, alternative } = value;
  if (!isOptional(text, 'string') || !isOptional(alternative, 'string')) return false;
  return isObject(about) && typeof about['id'] === 'string' && typeof code === 'string';
}

function isDisposition({ status, about }: Record<string, unknown>): boolean {
  return (status === 'delivered' || status === 'displayed') && isAsked(about);
}

/** How an author named the message of which he asks to be told. */
function isAsked(value: unknown): boolean {
  return (
    isObject(value) && isWay(value['as']) && typeof value['id'] === 'string' && isOptional(value['dateTime'], 'string')
  );
}

function isWay(value: unknown): boolean {
  return value === 'stanza' || value === 'imdn';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOptional(value: unknown, type: 'string' | 'number'): boolean {
  return value === undefined || typeof value === type;
}

function isEntity(value: unknown): boolean {
  return isObject(value) && typeof value['address'] === 'string' && isOptional(value['instance'], 'string');
}

function isContent(value: unknown): boolean {
  if (!isObject(value) || typeof value['type'] !== 'string') return false;
  return typeof value['text'] === 'string' || typeof value['base64'] === 'string';
}

function isLocalizedText(value: unknown): boolean {
  return isObject(value) && typeof value['text'] === 'string' && isOptional(value['language'], 'string');
}

function isHeaderField(value: unknown): boolean {
  return isArrayOf(value, (part) => typeof part === 'string') && (value as unknown[]).length === 2;
}

function isArrayOf(value: unknown, test: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(test);
}
