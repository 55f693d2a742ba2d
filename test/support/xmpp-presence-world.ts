import { readXml, type XmlElement } from '../../src/cpim/xml.ts';
import type { PresenceDocument, Tuple } from '../../src/cpim/presence/document.ts';
import type { Notification, Pair, Subscription, UpstreamReport } from '../../src/core/presence/subscription.ts';
import { xmppDispatch } from '../../src/xmpp/dispatch.ts';
import { newLinkLease } from '../../src/xmpp/presence/link-lease.ts';
import type { UpstreamRecord } from '../../src/xmpp/presence/upstream-record.ts';
import { type LinkPresence, XmppPresence } from '../../src/xmpp/presence/xmpp-presence.ts';
import { anAddress } from './builders.ts';
import { FakeClock, settled } from './fake-clock.ts';
import { anIqDesk } from './iq-desk.ts';
import { LogRecorder } from './log-recorder.ts';
import { MemoryRecordStore } from './memory-records.ts';
import { aDocument as anyDocument, aTuple as anyTuple } from './presence-builders.ts';
import { RecordingLink } from './recording-link.ts';
import { RecordingSubscriptions } from './recording-subscriptions.ts';

export const OWN = 'sip.xmpp.example';
export const DOMAINS = { domain: 'sip.example', name: OWN };
/** juliet, of an XMPP domain, watches romeo, a user of ours. */
export const JULIET_WATCHES: Pair = {
  watcher: anAddress('juliet@xmpp.example'),
  presentity: anAddress('romeo@sip.example'),
};
/** The other way round. */
export const ROMEO_WATCHES: Pair = { watcher: JULIET_WATCHES.presentity, presentity: JULIET_WATCHES.watcher };
export const ROUTE = { kind: 'link', link: 'office' } as const;

/** The presence of the XMPP side with everything around it recorded. */
export class XmppPresenceWorld {
  readonly clock: FakeClock;
  readonly store: MemoryRecordStore;
  readonly link = new RecordingLink();
  readonly subscriptions = new RecordingSubscriptions();
  readonly log = new LogRecorder();
  readonly reports: Array<readonly [string, UpstreamReport]> = [];
  readonly presence: XmppPresence;
  readonly office: LinkPresence;
  readonly #dispatch: (element: XmlElement) => Promise<void> | undefined;
  #tokens = 0;

  constructor(options: { readonly clock?: FakeClock; readonly store?: MemoryRecordStore } = {}) {
    this.clock = options.clock ?? new FakeClock();
    this.store = options.store ?? new MemoryRecordStore();
    this.presence = new XmppPresence({
      links: new Map([['office', { link: this.link, domains: DOMAINS }]]),
      records: this.store.records<UpstreamRecord>('xmpp-upstream'),
      subscriptions: () => this.subscriptions,
      onReport: (pair, report) => void this.reports.push([`${pair.watcher} ${pair.presentity}`, report]),
      newToken: () => `t${(this.#tokens += 1)}`,
      clock: this.clock,
      random: () => 0.5,
      log: this.log,
    });
    const office = this.presence.forLink('office');
    if (office === undefined) throw new Error('the world has no link');
    this.office = office;
    this.#dispatch = xmppDispatch({
      link: 'office',
      domains: DOMAINS,
      post: (stanza) => this.link.post(stanza),
      isPeer: (domain) => domain === 'xmpp.example',
      accept: () => Promise.resolve(),
      presence: office,
      failedLater: () => undefined,
      clock: this.clock,
      log: this.log,
      isService: () => false,
      iq: anIqDesk(),
    });
  }

  /** One stanza from the stream; resolves when everything it sets going without time has been done. */
  async take(xml: string): Promise<void> {
    await this.#dispatch(readXml(xml));
    await settled();
  }

  /** As `take`, without waiting for anything. */
  begin(xml: string): Promise<void> | undefined {
    return this.#dispatch(readXml(xml));
  }

  /** Presence from juliet to romeo. */
  juliet(attrs = '', children = '', resource = '/balcony'): Promise<void> {
    return this.take(
      `<presence from='juliet@xmpp.example${resource}' to='romeo@${OWN}'${attrs === '' ? '' : ` ${attrs}`}>${children}</presence>`,
    );
  }

  /** juliet has a subscription to romeo. */
  subscribed(at: 'pending' | 'active' = 'active', lease = newLinkLease('office')): Subscription {
    return this.subscriptions.add({
      ...JULIET_WATCHES,
      id: 's1',
      package: 'presence',
      state: { at },
      subscribedAtMs: 0,
      lease,
    });
  }

  /** Lets the notifier tell juliet. */
  notify(
    state: Notification['state'],
    document?: PresenceDocument,
    extra: Partial<Notification> = {},
  ): ReturnType<XmppPresence['notifier']['notify']> {
    const subscription = this.subscriptions.find('s1');
    if (subscription === undefined) throw new Error('the test has no subscription');
    return this.presence.notifier.notify({
      subscription,
      state,
      ...(document === undefined ? {} : { body: { kind: 'presence', document } }),
      ...extra,
    });
  }

  /** The reports since the last call: pair left out, documents as `id basic show`. */
  takeReports(): string[] {
    return this.reports.splice(0).map(([, report]) => reportText(report));
  }

  /** A process that is killed here and starts again: the store as it is, everything else new. */
  restarted(): XmppPresenceWorld {
    return new XmppPresenceWorld({ clock: this.clock, store: this.store.crash() });
  }
}

export function reportText({ state, document }: UpstreamReport): string {
  const at = state.at === 'ended' ? `ended ${state.reason}` : state.at;
  if (document === undefined) return at;
  return `${at}: ${document.tuples.map(({ id, basic, show }) => [id, basic, show].filter((part) => part !== undefined).join(' ')).join(', ')}`;
}

/** A tuple that is open, where the test says nothing else. */
export function aTuple(parts: Partial<Tuple> = {}): Tuple {
  return anyTuple({ id: 'ID-phone', ...parts });
}

export function aDocument(tuples: readonly Tuple[], parts: Partial<PresenceDocument> = {}): PresenceDocument {
  return anyDocument({ entity: 'pres:romeo@sip.example', tuples, ...parts });
}
