import type { PresenceDocument } from '../../cpim/presence/document.ts';
import { writeXml, type XmlElement } from '../../cpim/xml.ts';
import { type Pair, reversed } from '../../core/presence/subscription.ts';
import { formatJid, type Jid } from '../jid.ts';
import type { ContactInterests, Interests } from './contact-interests.ts';
import type { IqRequests } from './iq-requests.ts';
import type { KnownResource } from './known-resources.ts';
import type { LinkLease } from './link-lease.ts';
import { emptyPayload, pepFromDocument } from './map-pep.ts';
import { pepMessage } from './pep-event.ts';
import type { ToldNode } from './pep-nodes.ts';

export type PepTellerDeps = {
  readonly interests: ContactInterests;
  /** What a contact (the pair's presentity) lets a user of ours (its watcher) see of himself. */
  readonly resourcesOf: (pair: Pair) => readonly KnownResource[];
};

/** The way to one watcher: his link, and the two JIDs, both bare. */
export type PepWay = {
  readonly requests: IqRequests;
  readonly post: (stanza: XmlElement) => void;
  readonly from: Jid;
  readonly to: Jid;
  readonly subscription: Pair;
};

type Told = Map<string, Map<ToldNode, string>>;

/**
 * Tells XMPP watchers of mood, activity and location, as events to those of their clients that want them. Only what has
 * changed, only to clients that the watcher has shown to the presentity, and only out of documents that are meant for
 * this watcher. Nothing here is durable: an event that is lost is told again with the next document.
 */
export class PepTeller {
  readonly #deps: PepTellerDeps;
  readonly #payloads = new WeakMap<PresenceDocument, ReadonlyMap<ToldNode, XmlElement>>();
  readonly #texts = new WeakMap<XmlElement, string>();
  readonly #latest = new WeakMap<LinkLease, PresenceDocument>();
  #told = new WeakMap<LinkLease, Told>();

  constructor(deps: PepTellerDeps) {
    this.#deps = deps;
  }

  /** A watcher has been told a document. */
  tell(lease: LinkLease, way: PepWay, document: PresenceDocument): void {
    this.#latest.set(lease, document);
    const payloads = this.#payloadsOf(document);
    const told = this.#told.get(lease);
    if (payloads.size === 0 && told === undefined) return;
    const there = new Set<string>();
    for (const { resource, isAvailable, caps } of this.#deps.resourcesOf(reversed(way.subscription))) {
      if (!isAvailable || caps === undefined || resource === '') continue;
      there.add(resource);
      const to = { ...way.to, resource };
      const jid = formatJid(to);
      const interests = this.#deps.interests.known(jid, caps);
      if (interests !== undefined) this.#tellOne(lease, way, to, interests, payloads);
      else void this.#deps.interests.find(way.requests, way.from, to, jid, caps).then(() => this.appeared(lease, way));
    }
    for (const resource of told?.keys() ?? []) if (!there.has(resource)) told?.delete(resource);
  }

  /** A client of a watcher has come, or it has become known what it wants. */
  appeared(lease: LinkLease, way: PepWay): void {
    const document = this.#latest.get(lease);
    if (document !== undefined) this.tell(lease, way, document);
  }

  /** Nothing more is to be told. */
  forget(lease: LinkLease): void {
    this.#latest.delete(lease);
    this.#told.delete(lease);
  }

  /** A link was lost: what was told over it may not have come through. */
  lost(): void {
    this.#told = new WeakMap();
  }

  #tellOne(
    lease: LinkLease,
    way: PepWay,
    to: Jid,
    interests: Interests,
    payloads: ReadonlyMap<ToldNode, XmlElement>,
  ): void {
    const resource = to.resource ?? '';
    for (const node of interests) {
      const payload = payloads.get(node);
      const text = payload === undefined ? '' : this.#textOf(payload);
      const before = this.#told.get(lease)?.get(resource)?.get(node) ?? '';
      if (text === before) continue;
      way.post(pepMessage(way.from, to, node, payload ?? emptyPayload(node)));
      this.#remember(lease, resource, node, text);
    }
  }

  #remember(lease: LinkLease, resource: string, node: ToldNode, text: string): void {
    let told = this.#told.get(lease);
    if (told === undefined) this.#told.set(lease, (told = new Map<string, Map<ToldNode, string>>()));
    let nodes = told.get(resource);
    if (nodes === undefined) told.set(resource, (nodes = new Map<ToldNode, string>()));
    nodes.set(node, text);
  }

  #textOf(payload: XmlElement): string {
    let text = this.#texts.get(payload);
    if (text === undefined) this.#texts.set(payload, (text = writeXml(payload)));
    return text;
  }

  #payloadsOf(document: PresenceDocument): ReadonlyMap<ToldNode, XmlElement> {
    let payloads = this.#payloads.get(document);
    if (payloads === undefined) this.#payloads.set(document, (payloads = pepFromDocument(document)));
    return payloads;
  }
}
