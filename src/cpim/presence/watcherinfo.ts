import { type Address, parseAddress } from '../address.ts';
import { ContentError } from '../content-error.ts';
import { parseImUri } from '../im-uri.ts';
import { WATCHERINFO_BYTES_MAX, WATCHERS_MAX } from '../limits.ts';
import { type XmlElement, writeXml } from '../xml.ts';
import { WATCHERINFO } from './namespaces.ts';
import { readPresenceXml, tokenOf, type Writable } from './reading.ts';
import { type Child, childIn, Scope } from './scope.ts';
import { DECLARATION } from './writing.ts';

const STATUSES = ['pending', 'active', 'waiting', 'terminated'] as const;
// prettier-ignore
const EVENTS = [
  'subscribe', 'approved', 'deactivated', 'probation', 'rejected', 'timeout', 'giveup', 'noresource',
] as const;

/** One watcher as the owner sees him (RFC 3858, section 3). */
export type WatcherEntry = {
  /** Of the subscription; unique in the list. A token (RFC 3261, section 25.1). */
  readonly id: string;
  readonly watcher: Address;
  readonly status: (typeof STATUSES)[number];
  /** What brought it there. */
  readonly event: (typeof EVENTS)[number];
  readonly displayName?: string;
  /** Seconds left. */
  readonly expirationSeconds?: number;
  readonly subscribedForSeconds?: number;
};

export type WatcherList = {
  readonly presentity: Address;
  readonly package: 'presence';
  /** `full`: all there are; `partial`: those that have changed since the last one. */
  readonly state: 'full' | 'partial';
  readonly watchers: readonly WatcherEntry[];
};

/** What one watcher information document says. */
export type WatcherInfo = {
  readonly version: number;
  readonly state: WatcherList['state'];
  /** Of the package `presence`; others are left out. */
  readonly lists: readonly WatcherList[];
};

const FORMAT = 'watcher information';
const TOKEN = /^[A-Za-z0-9\-.!%*_+`'~]{1,255}$/;
/** A version fits into 32 bits and does not wrap (RFC 3858, section 3). */
const VERSION_MAX = 2_147_483_647;

/**
 * Writes watcher information (RFC 3858). Addresses are written as `sip:` URIs. The same list and version give the same
 * bytes.
 *
 * @param version 0 in the first document of a subscription, one more in each
 * @throws ContentError 'malformed' for an id that is no token, a version or a time that is none
 */
export function writeWatcherInfo(list: WatcherList, version: number): string {
  if (!Number.isInteger(version) || version < 0 || version > VERSION_MAX) throw fault('root', 'a version that is none');
  const watchers = list.watchers.map(watcherElement);
  const attrs = { resource: `sip:${list.presentity}`, package: list.package };
  const root: XmlElement = {
    name: 'watcherinfo',
    attrs: { xmlns: WATCHERINFO, version: String(version), state: list.state },
    children: [{ name: 'watcher-list', attrs, children: watchers }],
  };
  return DECLARATION + writeXml(root);
}

function watcherElement(entry: WatcherEntry): XmlElement {
  const { id, displayName, expirationSeconds, subscribedForSeconds } = entry;
  if (!TOKEN.test(id)) throw fault('watcher', 'an id that is no token');
  const attrs: Record<string, string> = {};
  if (displayName !== undefined) attrs['display-name'] = displayName;
  attrs['status'] = entry.status;
  attrs['event'] = entry.event;
  if (expirationSeconds !== undefined) attrs['expiration'] = secondsText(expirationSeconds);
  attrs['id'] = id;
  if (subscribedForSeconds !== undefined) attrs['duration-subscribed'] = secondsText(subscribedForSeconds);
  return { name: 'watcher', attrs, children: [`sip:${entry.watcher}`] };
}

function secondsText(seconds: number): string {
  if (!Number.isSafeInteger(seconds) || seconds < 0) throw fault('watcher', 'seconds that are none');
  return String(seconds);
}

/**
 * Reads watcher information (RFC 3858). Watchers and resources whose URI is no address (`tel:`, a URI without user) are
 * left out, and so are lists of other packages.
 *
 * @throws ContentError 'malformed', naming place and fault
 */
export function readWatcherInfo(text: string): WatcherInfo {
  const { element, local, namespace, scope } = childIn(
    Scope.outside(),
    readPresenceXml(text, FORMAT, WATCHERINFO_BYTES_MAX),
  );
  if (local !== 'watcherinfo' || namespace !== WATCHERINFO)
    throw fault('root', `expected watcherinfo of ${WATCHERINFO}`);
  const version = numberOf(element.attrs['version']);
  if (version === undefined || version > VERSION_MAX) throw fault('watcherinfo', 'has no version');
  const state = element.attrs['state'];
  if (state !== 'full' && state !== 'partial') throw fault('watcherinfo', 'has no state of full or partial');
  const lists: WatcherList[] = [];
  for (const child of scope.childrenOf(element)) {
    if (child.namespace !== WATCHERINFO || child.local !== 'watcher-list') continue;
    const { resource, package: eventPackage } = child.element.attrs;
    if (resource === undefined || eventPackage === undefined) {
      throw fault('watcher-list', 'has no resource or no package');
    }
    const presentity = addressOf(resource);
    if (eventPackage !== 'presence' || presentity === undefined) continue;
    lists.push({ presentity, package: 'presence', state, watchers: readWatchers(child) });
  }
  return { version, state, lists };
}

function readWatchers(list: Child): WatcherEntry[] {
  const watchers: WatcherEntry[] = [];
  const ids = new Set<string>();
  let position = 0;
  for (const child of list.scope.childrenOf(list.element)) {
    if (child.namespace !== WATCHERINFO || child.local !== 'watcher') continue;
    position += 1;
    const where = `watcher ${position}`;
    if (position > WATCHERS_MAX) throw fault(where, `more than ${WATCHERS_MAX} watchers`);
    const { attrs } = child.element;
    const { id, status, event } = attrs;
    if (id === undefined || !TOKEN.test(id)) throw fault(where, 'has no id, or one that is no token');
    if (ids.has(id)) throw fault(where, 'has an id that stands in the list already');
    ids.add(id);
    if (!isStatus(status)) throw fault(where, 'has no status, or one that is not known');
    if (!isEvent(event)) throw fault(where, 'has no event, or one that is not known');
    const watcher = addressOf(tokenOf(child));
    if (watcher === undefined) continue;
    const entry: Writable<WatcherEntry> = { id, watcher, status, event };
    const displayName = attrs['display-name'];
    if (displayName !== undefined) entry.displayName = displayName;
    const expiration = numberOf(attrs['expiration']);
    if (expiration !== undefined) entry.expirationSeconds = expiration;
    const subscribed = numberOf(attrs['duration-subscribed']);
    if (subscribed !== undefined) entry.subscribedForSeconds = subscribed;
    watchers.push(entry);
  }
  return watchers;
}

function isStatus(text: string | undefined): text is WatcherEntry['status'] {
  return text !== undefined && (STATUSES as readonly string[]).includes(text);
}

function isEvent(text: string | undefined): text is WatcherEntry['event'] {
  return text !== undefined && (EVENTS as readonly string[]).includes(text);
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\+?\d{1,15}\s*$/.test(text) ? Number(text) : undefined;
}

/** The address of a `sip:`, `sips:`, `pres:` or `im:` URI, its parameters, port and headers left out. */
function addressOf(uri: string): Address | undefined {
  const trimmed = uri.trim();
  const rest = /^sips?:(.*)$/is.exec(trimmed)?.[1];
  if (rest === undefined) return parseImUri(trimmed)?.address;
  const host = rest.indexOf('@') + 1;
  const end = rest.slice(host).search(/[;?]/);
  const bare = end < 0 ? rest : rest.slice(0, host + end);
  return parseAddress(bare.replace(/:\d{1,5}$/, ''));
}

function fault(where: string, what: string): ContentError {
  return new ContentError('malformed', `${FORMAT}, ${where}: ${what}`);
}
