import type { Address } from '../../cpim/address.ts';
import type { ContactCard, PresenceDocument } from '../../cpim/presence/document.ts';
import { type Pair, pairKey, type UpstreamReport } from '../../core/presence/subscription.ts';
import { KnownResources } from './known-resources.ts';
import { type PepState, withPepEvent } from './map-pep.ts';
import { documentFromResources } from './map-presence.ts';
import type { PepEvent } from './pep-event.ts';
import type { UpstreamRecord } from './upstream-record.ts';

/** One of our users and the XMPP contact whose presence he has asked for, in memory. */
export class WatchedContact implements Pair {
  readonly key: string;
  readonly watcher: Address;
  readonly presentity: Address;
  link: string;
  permission: UpstreamRecord['permission'];
  isWatched: boolean;
  readonly resources: KnownResources;
  failedSinceMs: number | undefined;
  /** How often asking has failed since then; not durable, so that a new process begins with short pauses. */
  failures = 0;
  /** Counts what was asked of the contact's side, so that what is due for an older asking is told from the last. */
  asking = 0;
  /** The time of the link in which its presence was confirmed last; see `XmppUpstream`. */
  confirmedIn = 0;
  /** Settles when the record as the last `watch` left it is durable. */
  stored: Promise<void> = Promise.resolve();
  #pep: PepState;
  #document: PresenceDocument | undefined;

  constructor(record: UpstreamRecord, resources = new KnownResources(record.resources)) {
    this.key = pairKey(record);
    this.watcher = record.watcher;
    this.presentity = record.presentity;
    this.link = record.link;
    this.permission = record.permission;
    this.isWatched = record.isWatched;
    this.resources = resources;
    this.failedSinceMs = record.failedSinceMs;
    this.#pep = record.pep;
  }

  get pair(): Pair {
    return { watcher: this.watcher, presentity: this.presentity };
  }

  get record(): UpstreamRecord {
    const { watcher, presentity, link, permission, isWatched, failedSinceMs } = this;
    return {
      watcher,
      presentity,
      link,
      permission,
      isWatched,
      resources: this.resources.all,
      pep: this.#pep,
      ...(failedSinceMs === undefined ? {} : { failedSinceMs }),
    };
  }

  /** Nothing is told of the contact before he has allowed it. */
  get report(): UpstreamReport {
    if (this.permission !== 'active') return { state: { at: 'asked' } };
    const document = this.#documentOf();
    return { state: { at: 'active' }, ...(document === undefined ? {} : { document }) };
  }

  /** What is known has changed: the document is made anew when it is asked for. */
  changed(): void {
    this.#document = undefined;
  }

  told({ node, payload }: PepEvent): void {
    this.#pep = withPepEvent(this.#pep, node, payload);
    this.changed();
  }

  /** @returns whether it is another than before */
  carded(card: ContactCard): boolean {
    if (isSameCard(this.#pep.card, card)) return false;
    this.#pep = { ...this.#pep, card };
    this.changed();
    return true;
  }

  #documentOf(): PresenceDocument | undefined {
    if (this.resources.all.length === 0) return undefined;
    return (this.#document ??= documentFromResources(this.presentity, this.resources.all, this.#pep));
  }
}

function isSameCard(one: ContactCard | undefined, other: ContactCard): boolean {
  return one?.displayName === other.displayName && one?.icon === other.icon && one?.homepage === other.homepage;
}
