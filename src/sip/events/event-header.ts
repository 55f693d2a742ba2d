import type { Pace } from '../../core/presence/pace.ts';
import type { EventPackage } from '../../core/presence/subscription.ts';
import { TOKEN, skipClass, trimBlanks } from '../characters.ts';
import { compactText } from '../compact-text.ts';
import { parseParams, type Params } from '../header-values.ts';

/** What Allow-Events says (RFC 6665, section 4.4.4). */
export const EVENT_PACKAGES: readonly EventPackage[] = ['presence', 'presence.winfo'];

/** An Event header field as far as it tells subscriptions apart (RFC 6665, section 8.2.1). */
export type EventName = {
  /** With its templates, as sent: names are compared to the letter. */
  readonly package: string;
  readonly id?: string;
  /** What `max-rate` and `min-rate` wish for (RFC 6446, section 9). */
  readonly pace?: Pace;
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
  const event = { package: trimBlanks(value, 0, end), ...paceFrom(params) };
  if (id === undefined) return event;
  // A quoted string would not survive being written as a token again.
  if (id === true || id.length > ID_LENGTH_MAX || skipClass(id, 0, TOKEN) !== id.length) return undefined;
  return { ...event, id: compactText(id) };
}

/** RFC 6446, section 9.2: one or two digits, and at most ten decimals. */
const RATE = /^\d{1,2}(?:\.\d{1,10})?$/;

function paceFrom(params: Params): { readonly pace?: Pace } {
  const shortestMs = intervalFrom(params.get('max-rate'));
  const longestMs = intervalFrom(params.get('min-rate'));
  if (shortestMs === undefined && longestMs === undefined) return {};
  return {
    pace: {
      ...(shortestMs === undefined ? {} : { shortestMs }),
      ...(longestMs === undefined ? {} : { longestMs }),
    },
  };
}

/** The time between two notifications at a rate, ms; a rate that is none is no wish. */
function intervalFrom(rate: string | true | undefined): number | undefined {
  if (typeof rate !== 'string' || !RATE.test(rate)) return undefined;
  const perSecond = Number(rate);
  return perSecond === 0 ? undefined : 1_000 / perSecond;
}

/** Writes the rates of a pace, as parameters of Subscription-State (RFC 6446, section 9.2). */
export function paceParams({ shortestMs, longestMs }: Pace): string {
  const most = shortestMs === undefined || shortestMs === 0 ? '' : `;max-rate=${rateText(shortestMs)}`;
  const least = longestMs === undefined ? '' : `;min-rate=${rateText(longestMs)}`;
  return most + least;
}

function rateText(intervalMs: number): string {
  // Never nothing, which is no rate, and no decimals that say nothing.
  return Math.max(1e-10, Math.min(99, 1_000 / intervalMs))
    .toFixed(10)
    .replace(/\.?0+$/, '');
}

/** The package that a name stands for; undefined for one that is not served. */
export function servedPackage(name: string): EventPackage | undefined {
  return EVENT_PACKAGES.find((served) => served === name);
}

/** Writes an Event value. */
export function formatEvent(name: EventPackage, id: string | undefined): string {
  return id === undefined ? name : `${name};id=${id}`;
}
