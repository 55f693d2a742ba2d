import { addressKey, domainOf, type Address } from '../../src/cpim/address.ts';
import type { PresenceDocument } from '../../src/cpim/presence/document.ts';
import type { Config } from '../../src/core/config.ts';
import { PresenceService } from '../../src/core/presence/presence-service.ts';
import {
  pairKey,
  type Lease,
  type Notification,
  type NotifyOutcome,
  type Pair,
  type Upstream,
  type UpstreamReport,
} from '../../src/core/presence/subscription.ts';
import type { Granted, SubscribeRequest } from '../../src/core/presence/subscriptions.ts';
import type { Binding } from '../../src/core/ports.ts';
import { aConfig, anAddress } from './builders.ts';
import { FakeClock, settled } from './fake-clock.ts';
import { MemoryRecordStore } from './memory-records.ts';
import { aDocument, aTuple } from './presence-builders.ts';
import { RecordingLog } from './recording-log.ts';

/** A document with one tuple that says so. */
export function aNote(note: string): PresenceDocument {
  return aDocument({ tuples: [aTuple({ notes: [{ text: note }] })] });
}

/** An upstream that does what the test says, and writes down what it is asked for. */
export class ScriptedUpstream implements Upstream {
  readonly calls: string[] = [];
  readonly reports = new Map<string, UpstreamReport>();
  fetched: UpstreamReport = { state: { at: 'active' } };
  fails = false;
  report: (pair: Pair, report: UpstreamReport) => void = () => undefined;

  async watch(pair: Pair): Promise<void> {
    this.calls.push(`watch ${shown(pair)}`);
    if (this.fails) throw new Error('the test lets it fail');
  }

  rest(pair: Pair): void {
    this.calls.push(`rest ${shown(pair)}`);
  }

  end(pair: Pair): void {
    this.calls.push(`end ${shown(pair)}`);
  }

  async fetch(pair: Pair): Promise<UpstreamReport> {
    this.calls.push(`fetch ${shown(pair)}`);
    return this.fetched;
  }

  reportOf(pair: Pair): UpstreamReport | undefined {
    return this.reports.get(pairKey(pair));
  }

  /** The far side says something new. */
  say(pair: Pair, report: UpstreamReport): void {
    this.reports.set(pairKey(pair), report);
    this.report(pair, report);
  }
}

function shown({ watcher, presentity }: Pair): string {
  return `${watcher} ${presentity}`;
}

export type PresenceWorldOptions = {
  readonly clock?: FakeClock;
  readonly store?: MemoryRecordStore;
  /** YAML within `presence:`, as flow: `default: allow, notifyIntervalSeconds: 0`. */
  readonly config?: string;
  /** Localparts that are no users of sip.example. */
  readonly strangers?: readonly string[];
};

/** The presence core with records in memory, time that the test moves, and protocols that write down and do as told. */
export class PresenceWorld {
  readonly clock: FakeClock;
  readonly store: MemoryRecordStore;
  readonly log = new RecordingLog();
  readonly upstream = new ScriptedUpstream();
  /** Localparts that are no users of sip.example. */
  readonly strangers: Set<string>;
  readonly contacts = new Map<string, readonly Binding[]>();
  readonly presence: PresenceService;
  /** One line for each notification: `bob active: open note`, `bob terminated rejected`, `bob pending`. */
  readonly told: string[] = [];
  readonly notifications: Notification[] = [];
  /** What the next notifications are answered; told once it is empty. */
  readonly outcomes: NotifyOutcome[] = [];
  /** Holds notifications back until the test answers them. */
  isSilent = false;
  readonly silent: Array<(outcome: NotifyOutcome) => void> = [];
  readonly config: Config;
  #ids = 0;

  constructor(options: PresenceWorldOptions = {}) {
    this.clock = options.clock ?? new FakeClock();
    this.strangers = new Set(['nobody', ...(options.strangers ?? [])]);
    this.store = options.store ?? new MemoryRecordStore();
    this.config = aConfig(`presence: { ${options.config ?? 'default: allow'} }`);
    const notifier = { notify: (notification: Notification) => this.#notify(notification) };
    this.presence = new PresenceService({
      config: this.config.presence,
      records: {
        publications: this.store.records('publication'),
        rules: this.store.records('rules'),
        subscriptions: this.store.records('subscription'),
        unsettled: this.store.records('unsettled'),
      },
      isUser: (address) => domainOf(address) === 'sip.example' && !this.strangers.has(address.split('@')[0] ?? ''),
      routeOf: ({ presentity }) =>
        domainOf(presentity) === 'sip.example' ? { kind: 'local' } : { kind: 'link', link: 'office' },
      admit: () => undefined,
      bindingsOf: (userKey) => this.contacts.get(userKey) ?? [],
      upstreamOf: () => this.upstream,
      notifierOf: () => notifier,
      isOwn: (domain) => domain === 'sip.example',
      permissions: { owners: () => [], forget: (key) => void this.upstream.calls.push(`forget ${key}`) },
      newToken: () => `token-${(this.#ids += 1)}-${this.clock.nowMs()}`,
      clock: this.clock,
      log: this.log,
    });
    this.upstream.report = (pair, report) => this.presence.upstreamReported(pair, report);
    this.presence.load();
    this.presence.start();
  }

  /** What a process that is killed now leaves, taken up by a new one. */
  async crashed(options: Pick<PresenceWorldOptions, 'config' | 'strangers'> = {}): Promise<PresenceWorld> {
    const store = this.store.crash();
    // What it waits for never comes: it is dead.
    void this.presence.stop(0);
    await settled();
    return new PresenceWorld({ clock: this.clock, store, ...options });
  }

  /** Subscribes over SIP; the watcher's localpart with a number names the subscription. */
  async subscribe(
    watcher: string,
    presentity: string,
    parts: Partial<SubscribeRequest> = {},
  ): Promise<Granted & { id: string }> {
    const id = parts.id ?? `s${(this.#ids += 1)}-${watcher.split('@')[0]}`;
    const granted = await this.presence.subscriptions.subscribe({
      package: 'presence',
      watcher: anAddress(watcher),
      presentity: anAddress(presentity),
      origin: { kind: 'local', user: anAddress(watcher) },
      lease: { via: 'sip' },
      ...parts,
      id,
    });
    return { ...granted, id };
  }

  /** Subscribes over the link, as an XMPP user does. */
  roster(watcher: string, presentity: string): Promise<Granted & { id: string }> {
    return this.subscribe(watcher, presentity, { lease: { via: 'link:office' }, expires: 'never' });
  }

  publish(user: string, note: string, ifMatch?: string): Promise<{ readonly etag: string }> {
    return this.presence.publish({
      presentity: anAddress(user),
      document: aNote(note),
      ...(ifMatch === undefined ? {} : { ifMatch }),
    });
  }

  /** Lets everything happen that happens within so many ms. */
  async pass(ms = 10): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await this.clock.advanceAsync(1);
    if (ms > 5) await this.clock.advanceAsync(ms - 5);
  }

  /** What was told since the last call, in the order of names where the order says nothing. */
  news(): string[] {
    return this.told.splice(0).sort();
  }

  address(text: string): Address {
    return anAddress(text);
  }

  key(text: string): string {
    return addressKey(anAddress(text));
  }

  #notify(notification: Notification): Promise<NotifyOutcome> {
    this.notifications.push(notification);
    this.told.push(line(notification));
    if (this.isSilent) return new Promise((resolve) => this.silent.push(resolve));
    return Promise.resolve(this.outcomes.shift() ?? { kind: 'told' });
  }
}

function line({ subscription, state, body, isBodySuppressed, isWhole }: Notification): string {
  const who = subscription.watcher.split('@')[0] ?? '';
  const what = state.at === 'terminated' ? `terminated ${state.reason}` : state.at;
  const seen = body === undefined ? '' : `: ${shownBody(body)}`;
  return `${who} ${what}${seen}${isBodySuppressed === true ? ' (suppressed)' : ''}${isWhole === true ? ' (whole)' : ''}`;
}

function shownBody(body: NonNullable<Notification['body']>): string {
  if (body.kind === 'watchers') {
    const { state, watchers } = body.list;
    return `${state} ${watchers.map(({ watcher, status, event }) => `${watcher.split('@')[0]} ${status} ${event}`).join(', ')}`;
  }
  return body.document.tuples.map(({ basic, notes }) => `${basic} ${notes[0]?.text ?? ''}`.trim()).join(', ');
}

/** A lease over the link of the builders' configuration. */
export const OFFICE: Lease['via'] = 'link:office';
