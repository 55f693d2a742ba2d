import type { PresenceDocument } from '../../cpim/presence/document.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import type {
  EndReason,
  Notification,
  Notifier,
  NotifyOutcome,
  Subscription,
} from '../../core/presence/subscription.ts';
import type { Subscriptions } from '../../core/presence/subscriptions.ts';
import { formatJid, type Jid } from '../jid.ts';
import type { XmppLink } from '../link.ts';
import { type ComponentDomains, jidFromAddress } from '../map-address.ts';
import { delayElement } from '../stanza-content.ts';
import { elementFromStanzaError, stanzaErrorFrom } from '../stanza-error.ts';
import { presenceElement } from '../stanza.ts';
import type { IqRequests } from './iq-requests.ts';
import { type LinkLease, linkLeaseFrom, linkOfLease } from './link-lease.ts';
import { presenceChanges, presencesFromDocument, type TuplePresence, unavailable } from './map-presence.ts';
import { OWN_CAPS } from './own-caps.ts';
import type { PepTeller, PepWay } from './pep-teller.ts';
import { pictureElement } from './picture-update.ts';
import { presenceChildren } from './presence-content.ts';

/** A link and what belongs to it. */
export type LinkWay = {
  readonly link: XmppLink;
  readonly domains: ComponentDomains;
  readonly requests: IqRequests;
};

export type PresenceNotifierDeps = {
  /** A link by its name in the configuration. */
  readonly linkOf: (name: string) => LinkWay | undefined;
  readonly subscriptions: () => Pick<Subscriptions, 'find' | 'saveLease' | 'saveLeaseLater'>;
  readonly pep: PepTeller;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
};

/** The id of the presence that we send, so that an error that comes back is known for what it is about. */
export const NOTIFY_ID = 'notify';

/** What became so longer ago than this bears its time when it is told to one who has just come, ms. */
const DELAY_MS = 60_000;
/** When the store fails, ms. */
const AGAIN_MS = 5_000;
/** Of one watcher: those who asked from more places at once than this are told by his bare JID. */
const ASKING_MAX = 16;

/** The presence of one resource as it is written, shared by all who are told the same. */
type Prepared = {
  readonly resource: string;
  readonly type: 'available' | 'unavailable';
  readonly children: readonly XmlElement[];
  readonly atMs?: number;
};

/** One stanza of a telling. */
type Change = {
  readonly prepared: Prepared;
  readonly to: Jid;
  /** Told to one who may not have seen it when it happened. */
  readonly isLate: boolean;
};

/** What one who asked by himself is owed. */
type Asked = { readonly from: Jid[]; isSubscribedAgain: boolean };

/** One watcher and the way to him. */
type Telling = LinkWay & {
  readonly lease: LinkLease;
  readonly subscription: Subscription;
  readonly from: Jid;
  readonly to: Jid;
};

/**
 * Tells XMPP watchers (RFC 8048, sections 5.2 and 6.3): nothing while they wait; `subscribed` once, and then the presence
 * of each tuple, what has changed only; at the end that each resource is gone, and `unsubscribed` where they are not to
 * ask again.
 *
 * `told` means that the link has confirmed every stanza of it. What a lost link or a crash leaves in doubt is said again.
 */
export class PresenceNotifier implements Notifier {
  readonly #deps: PresenceNotifierDeps;
  /** The document that a watcher has been told last, where this process told him and nothing of it was lost. */
  readonly #told = new WeakMap<LinkLease, PresenceDocument>();
  readonly #asked = new WeakMap<LinkLease, Asked>();
  readonly #whole = new WeakMap<PresenceDocument, readonly Prepared[]>();
  /** By the document after a change, then by the one before it. */
  readonly #changes = new WeakMap<PresenceDocument, WeakMap<PresenceDocument, readonly Prepared[]>>();

  constructor(deps: PresenceNotifierDeps) {
    this.#deps = deps;
  }

  /** The next word to this watcher says everything to `from` too; after a repeated `subscribe` also that he may watch. */
  asked(lease: LinkLease, from: Jid, isSubscribe: boolean): void {
    const asked = this.#asked.get(lease) ?? { from: [], isSubscribedAgain: false };
    asked.isSubscribedAgain ||= isSubscribe;
    const isNew = !asked.from.some(({ resource }) => resource === from.resource);
    if (isNew && asked.from.length < ASKING_MAX) asked.from.push(from);
    this.#asked.set(lease, asked);
  }

  /** A client of a watcher has shown itself. */
  appeared(subscription: Subscription): void {
    const telling = this.#tellingOf(subscription);
    if (typeof telling === 'object') this.#deps.pep.appeared(telling.lease, pepWay(telling));
  }

  async notify(notification: Notification): Promise<NotifyOutcome> {
    const { subscription, state } = notification;
    const telling = this.#tellingOf(subscription);
    if (telling === 'no-lease') return { kind: 'gone', reason: 'the lease is of another protocol' };
    if (telling === 'no-jid') return { kind: 'gone', reason: 'the watcher or the presentity has no JID' };
    // A link that the configuration has no more may come back: the permission of its watchers is not ours to end.
    if (telling === 'no-link' || telling.link.state().at !== 'up') return { kind: 'held' };
    switch (state.at) {
      case 'pending':
        // RFC 8048, section 5.2.1: nothing before the first word that he may watch. One who was let in before, and now
        // waits again, must not go on seeing what he saw: it may not have been taken back before a crash.
        return telling.lease.resources.length > 0 ? this.#tellEnd(telling, 'deactivated') : { kind: 'told' };
      case 'active':
        return this.#tellActive(telling, notification);
      case 'terminated':
        return this.#tellEnd(telling, state.reason);
    }
  }

  async #tellActive(telling: Telling, { body, isWhole }: Notification): Promise<NotifyOutcome> {
    const { lease, subscription } = telling;
    const document = body?.kind === 'presence' ? body.document : undefined;
    const asked = this.#asked.get(lease);
    this.#asked.delete(lease);
    const isAccepting = lease.isAccepted !== true || asked?.isSubscribedAgain === true;
    // Nothing is known of the presentity any more: what was told of him does not stand for ever (RFC 8048, section 5.2.2).
    const changes =
      document === undefined ? goneFor(telling, []) : this.#changesFor(telling, document, asked, isWhole === true);
    if (!(await this.#keepBefore(telling, changes)))
      return this.#failed(lease, asked, { kind: 'again', afterMs: AGAIN_MS });
    // He may have given it up while that was being stored.
    if (this.#deps.subscriptions().find(subscription.id) === undefined) return { kind: 'told' };
    const stanzas = [
      ...(isAccepting ? [this.#word(telling, 'subscribed')] : []),
      ...changes.map(({ prepared, to, isLate }) => this.#written(telling, prepared, to, isLate)),
    ];
    if (!(await this.#sent(telling, stanzas))) return this.#failed(lease, asked, { kind: 'held' });
    lease.isAccepted = true;
    const gone = new Set(
      changes.filter(({ prepared }) => prepared.type === 'unavailable').map(({ prepared }) => prepared.resource),
    );
    const isGone = lease.resources.some((resource) => gone.has(resource));
    if (isGone) lease.resources = lease.resources.filter((resource) => !gone.has(resource));
    if (isAccepting || isGone) this.#deps.subscriptions().saveLeaseLater(subscription.id);
    if (document === undefined) this.#told.delete(lease);
    else {
      this.#told.set(lease, document);
      this.#deps.pep.tell(lease, pepWay(telling), document);
    }
    return { kind: 'told' };
  }

  async #tellEnd(telling: Telling, reason: EndReason): Promise<NotifyOutcome> {
    const { lease, subscription } = telling;
    const isForGood = reason === 'rejected' || reason === 'noresource';
    this.#told.delete(lease);
    this.#deps.pep.forget(lease);
    const stanzas = lease.resources.map((resource) =>
      this.#written(telling, prepared(unavailable(resource)), telling.to, false),
    );
    // One who has just asked learns why; the word after it takes the question out of his roster.
    if (reason === 'noresource' && lease.isAccepted !== true) stanzas.push(this.#nobodyThere(telling));
    if (isForGood) stanzas.push(this.#word(telling, 'unsubscribed'));
    if (!(await this.#sent(telling, stanzas))) return { kind: 'held' };
    const isChanged = lease.resources.length > 0 || (isForGood && lease.isAccepted === true);
    lease.resources = [];
    if (isForGood) delete lease.isAccepted;
    // Where the watcher now waits for the owner again, it must not be said a second time.
    if (isChanged) this.#deps.subscriptions().saveLeaseLater(subscription.id);
    return { kind: 'told' };
  }

  /** What must be said, in order, and to whom. */
  #changesFor(
    { lease, to }: Telling,
    document: PresenceDocument,
    asked: Asked | undefined,
    isWhole: boolean,
  ): readonly Change[] {
    const before = this.#told.get(lease);
    const whole = this.#wholeOf(document);
    const askers = asked?.from.filter(({ resource }) => resource !== undefined) ?? [];
    const isAskedByBare = asked !== undefined && asked.from.length > askers.length;
    if (before === undefined || isAskedByBare || (isWhole && askers.length === 0)) {
      return [...goneFor({ lease, to }, whole), ...whole.map((one) => ({ prepared: one, to, isLate: true }))];
    }
    const changes = before === document ? [] : this.#changesOf(before, document);
    return [
      ...changes.map((one) => ({ prepared: one, to, isLate: false })),
      ...askers.flatMap((asker) => whole.map((one) => ({ prepared: one, to: asker, isLate: true }))),
    ];
  }

  /** Stores which resources are about to be told as available, where there are new ones. */
  async #keepBefore({ lease, subscription }: Telling, changes: readonly Change[]): Promise<boolean> {
    const told = new Set(lease.resources);
    for (const { prepared: one } of changes) if (one.type === 'available') told.add(one.resource);
    if (told.size === lease.resources.length) return true;
    lease.resources = [...told];
    return this.#deps
      .subscriptions()
      .saveLease(subscription.id)
      .then(
        () => true,
        (thrown: unknown) => GatewayError.of(thrown).code === 'dialog-unknown',
      );
  }

  #failed(lease: LinkLease, asked: Asked | undefined, outcome: NotifyOutcome): NotifyOutcome {
    this.#told.delete(lease);
    if (asked !== undefined && !this.#asked.has(lease)) this.#asked.set(lease, asked);
    return outcome;
  }

  /** Resolves when the link has confirmed all of it; false when it was lost before. */
  async #sent({ link, subscription }: Telling, stanzas: readonly XmlElement[]): Promise<boolean> {
    if (stanzas.length === 0) return true;
    const outcomes = await Promise.allSettled(stanzas.map((stanza) => link.send(stanza)));
    let isTaken = true;
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      const error = GatewayError.of(outcome.reason);
      if (error.code === 'peer-unreachable') isTaken = false;
      else {
        const { watcher, presentity } = subscription;
        this.#deps.log.error({ watcher, presentity, code: error.code, error }, 'presence stanza cannot be written');
      }
    }
    return isTaken;
  }

  #nobodyThere({ from, to }: Telling): XmlElement {
    const error = elementFromStanzaError(stanzaErrorFrom('recipient-unknown'));
    return { name: 'presence', attrs: { from: formatJid(from), to: formatJid(to), type: 'error' }, children: [error] };
  }

  #word({ from, to }: Telling, type: 'subscribed' | 'unsubscribed'): XmlElement {
    return presenceElement({ from, to, id: NOTIFY_ID }, type, []);
  }

  #written({ from }: Telling, { resource, type, children, atMs }: Prepared, to: Jid, isLate: boolean): XmlElement {
    const own = resource === '' ? from : { ...from, resource };
    const isDelayed = isLate && atMs !== undefined && this.#deps.clock.nowMs() - atMs > DELAY_MS;
    // RFC 6121, section 4.3.2: the answer to a probe says since when it is so.
    const all = isDelayed ? [...children, delayElement({ from, stampMs: atMs })] : children;
    return presenceElement({ from: own, to, id: NOTIFY_ID }, type, all);
  }

  #wholeOf(document: PresenceDocument): readonly Prepared[] {
    let whole = this.#whole.get(document);
    if (whole === undefined) this.#whole.set(document, (whole = presencesFromDocument(document).map(prepared)));
    return whole;
  }

  #changesOf(before: PresenceDocument, after: PresenceDocument): readonly Prepared[] {
    let known = this.#changes.get(after);
    if (known === undefined) this.#changes.set(after, (known = new WeakMap<PresenceDocument, readonly Prepared[]>()));
    let changes = known.get(before);
    if (changes === undefined) known.set(before, (changes = presenceChanges(before, after).map(prepared)));
    return changes;
  }

  #tellingOf(subscription: Subscription): Telling | 'no-lease' | 'no-link' | 'no-jid' {
    const lease = linkLeaseFrom(subscription.lease);
    if (lease === undefined) return 'no-lease';
    const way = this.#deps.linkOf(linkOfLease(lease));
    if (way === undefined) return 'no-link';
    const from = jidFromAddress(subscription.presentity, way.domains);
    const to = jidFromAddress(subscription.watcher, way.domains);
    return from === undefined || to === undefined ? 'no-jid' : { ...way, lease, subscription, from, to };
  }
}

function prepared({ resource, isAvailable, content, atMs, kind, picture }: TuplePresence): Prepared {
  const children: XmlElement[] = presenceChildren(content);
  if (isAvailable)
    children.push(...OWN_CAPS[kind].elements, ...(picture === undefined ? [] : [pictureElement(picture)]));
  return {
    resource,
    type: isAvailable ? 'available' : 'unavailable',
    children,
    ...(atMs === undefined ? {} : { atMs }),
  };
}

/** What he was told of and is there no more. */
function goneFor({ lease, to }: Pick<Telling, 'lease' | 'to'>, still: readonly Prepared[]): readonly Change[] {
  return lease.resources
    .filter((told) => !still.some(({ resource }) => resource === told))
    .map((resource) => ({ prepared: prepared(unavailable(resource)), to, isLate: false }));
}

function pepWay({ requests, link, from, to, subscription }: Telling): PepWay {
  return { requests, post: (stanza) => link.post(stanza), from, to, subscription };
}
