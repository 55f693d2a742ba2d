import type { PresenceStanza } from '../stanza.ts';
import { type ResourcePresence, sameContent } from './map-presence.ts';
import type { Caps } from './presence-content.ts';

/** A resource as it is known: what it said, and what it can do. Plain data. */
export type KnownResource = ResourcePresence & { readonly caps?: Caps };

/** Resources of one user that are available at once; over it the one that was silent longest is forgotten. */
const AVAILABLE_MAX = 16;
/** Of those that are there no more: beside available ones the newest, else the very last one. */
const CLOSED_MAX = 2;

/** What one user lets another know of his resources. Bounded, whatever he sends. */
export class KnownResources {
  /** Oldest change first. */
  #resources: KnownResource[];
  /** Those that have not been heard of since somebody asked; undefined: nobody has. */
  #unconfirmed: Set<string> | undefined;

  constructor(resources: readonly KnownResource[] = []) {
    this.#resources = [...resources];
  }

  get all(): readonly KnownResource[] {
    return this.#resources;
  }

  get available(): readonly KnownResource[] {
    return this.#resources.filter(({ isAvailable }) => isAvailable);
  }

  get isAnyAvailable(): boolean {
    return this.#resources.some(({ isAvailable }) => isAvailable);
  }

  /**
   * Takes what an available or unavailable presence says. `unavailable` from the bare JID is about all resources: so a
   * server answers a probe for one who is not there (RFC 6121, section 4.3.2).
   *
   * @returns whether anything has changed
   */
  heard(stanza: PresenceStanza, nowMs: number): boolean {
    const resource = stanza.from.resource ?? '';
    this.#unconfirmed?.delete(resource);
    const known = resourceOf(stanza, resource, nowMs);
    if (resource === '' && !known.isAvailable) {
      this.#unconfirmed?.clear();
      return this.#closeAll(known);
    }
    const at = this.#resources.findIndex((other) => other.resource === resource);
    const before = this.#resources[at];
    // One that was never there, or of whom nothing else is known: that he is away is worth knowing.
    if (before === undefined && !known.isAvailable && this.#resources.length > 0) return false;
    if (before?.isAvailable === known.isAvailable && sameContent(before, known)) {
      this.#resources[at] = { ...known, atMs: before.atMs };
      return false;
    }
    if (at >= 0) this.#resources.splice(at, 1);
    // That nobody is there has been said of the account, and is true no more.
    if (known.isAvailable) {
      this.#resources = this.#resources.filter((other) => other.resource !== '' || other.isAvailable);
    }
    this.#resources.push(known);
    this.#trim();
    return true;
  }

  /** From now on whoever is not heard of again by `dropUnconfirmed` is taken to be gone. */
  expectAll(): void {
    this.#unconfirmed = new Set(this.available.map(({ resource }) => resource));
  }

  /**
   * The time to be heard of is over. Where nothing has ever been heard, nobody is there: not every server says so
   * (RFC 6121, section 4.3.2).
   *
   * @returns whether anything has changed
   */
  dropUnconfirmed(nowMs: number): boolean {
    const lost = this.#unconfirmed;
    this.#unconfirmed = undefined;
    if (lost !== undefined && this.#resources.length === 0) {
      this.#resources = [{ resource: '', isAvailable: false, atMs: nowMs, statuses: [] }];
      return true;
    }
    if (lost === undefined || lost.size === 0) return false;
    this.#resources = this.#resources.map((resource) =>
      lost.has(resource.resource) && resource.isAvailable
        ? { resource: resource.resource, isAvailable: false, atMs: nowMs, statuses: [] }
        : resource,
    );
    this.#trim();
    return true;
  }

  #closeAll(last: KnownResource): boolean {
    if (this.#resources.length > 0 && !this.isAnyAvailable) return false;
    const open = this.available.map(({ resource }) => ({ ...last, resource }));
    this.#resources = open.length === 0 ? [last] : open;
    this.#trim();
    return true;
  }

  #trim(): void {
    const available = this.available.slice(-AVAILABLE_MAX);
    const closed = this.#resources.filter(({ isAvailable }) => !isAvailable);
    const kept = new Set([...available, ...closed.slice(available.length === 0 ? -1 : -CLOSED_MAX)]);
    this.#resources = this.#resources.filter((resource) => kept.has(resource));
  }
}

function resourceOf(stanza: PresenceStanza, resource: string, nowMs: number): KnownResource {
  const { type, show, statuses, language, priority, idleSinceMs, caps, delay } = stanza;
  const isAvailable = type === 'available';
  // The text's own language, else that of the stanza it stands in.
  const texts = language === undefined ? statuses : statuses.map((status) => ({ language, ...status }));
  const stampMs = delay?.stampMs;
  return {
    resource,
    isAvailable,
    atMs: stampMs === undefined || stampMs > nowMs || stampMs < 0 ? nowMs : stampMs,
    statuses: texts,
    ...(isAvailable && show !== undefined ? { show } : {}),
    ...(isAvailable && priority !== undefined ? { priority } : {}),
    ...(isAvailable && idleSinceMs !== undefined && idleSinceMs <= nowMs ? { idleSinceMs } : {}),
    ...(isAvailable && caps !== undefined ? { caps } : {}),
  };
}
