import type { EventPackage } from '../../core/presence/subscription.ts';
import { TOKEN, skipClass, trimBlanks } from '../characters.ts';
import { compactText } from '../compact-text.ts';
import { parseParams } from '../header-values.ts';

/** What Allow-Events says (RFC 6665, section 4.4.4). */
export const EVENT_PACKAGES: readonly EventPackage[] = ['presence', 'presence.winfo'];

/** An Event header field as far as it tells subscriptions apart (RFC 6665, section 8.2.1). */
export type EventName = {
  /** With its templates, as sent: names are compared to the letter. */
  readonly package: string;
  readonly id?: string;
};

const ID_LENGTH_MAX = 128;

/** Reads an Event value; undefined when it is none, or its id is longer than anybody needs. */
export function parseEvent(value: string): EventName | undefined {
  // The usual form, which every SUBSCRIBE has, without a detour.
  if (value === 'presence') return { package: 'presence' };
  const end = skipClass(value, 0, TOKEN);
  const params = parseParams(value.slice(end));
  if (end === 0 || params === undefined) return undefined;
  const id = params.get('id');
  const name = trimBlanks(value, 0, end);
  if (id === undefined) return { package: name };
  // A quoted string would not survive being written as a token again.
  if (id === true || id.length > ID_LENGTH_MAX || skipClass(id, 0, TOKEN) !== id.length) return undefined;
  return { package: name, id: compactText(id) };
}

/** The package that a name stands for; undefined for one that is not served. */
export function servedPackage(name: string): EventPackage | undefined {
  return EVENT_PACKAGES.find((served) => served === name);
}

/** Writes an Event value. */
export function formatEvent(name: EventPackage, id: string | undefined): string {
  return id === undefined ? name : `${name};id=${id}`;
}
