import { Admission } from '../../src/core/admission.ts';
import type { Config } from '../../src/core/config.ts';
import { DeliveryService } from '../../src/core/delivery-service.ts';
import { MessageService } from '../../src/core/message-service.ts';
import { NumberPlan, type NumberDirectory } from '../../src/core/number-plan.ts';
import { PeerTable } from '../../src/core/peers.ts';
import type { Binding, DeliveryQueue, QueueBounds } from '../../src/core/ports.ts';
import { UserTable } from '../../src/core/user-table.ts';
import { Router } from '../../src/core/router.ts';
import { aConfig } from './builders.ts';
import { FakeClock, settled } from './fake-clock.ts';
import { memoryQueue, type MemoryMedium } from './memory-queue.ts';
import { RecordingLog } from './recording-log.ts';
import { RecordingSender } from './recording-sender.ts';
import { seededRandom } from './seeded-random.ts';

export type CoreWorldOptions = {
  readonly clock?: FakeClock;
  readonly random?: () => number;
  readonly queue?: DeliveryQueue;
  readonly medium?: MemoryMedium;
  readonly bounds?: QueueBounds;
  readonly config?: Config;
  readonly lifetimeMs?: number;
  readonly concurrency?: number;
  readonly directory?: NumberDirectory;
};

/** The core as app.ts puts it together, with a queue in memory, senders that record, and time that the test moves. */
export class CoreWorld {
  readonly clock: FakeClock;
  readonly log = new RecordingLog();
  readonly local = new RecordingSender();
  readonly link = new RecordingSender();
  readonly sip = new RecordingSender();
  readonly contacts = new Map<string, readonly Binding[]>();
  readonly peers: PeerTable;
  readonly router: Router;
  readonly queue: DeliveryQueue;
  readonly delivery: DeliveryService;
  readonly messages: MessageService;
  /** Users who have no credentials. */
  readonly unknownUsers = new Set<string>();

  constructor(options: CoreWorldOptions = {}) {
    const config = options.config ?? aConfig();
    const lifetimeMs = options.lifetimeMs ?? config.queue.lifetimeSeconds * 1_000;
    this.clock = options.clock ?? new FakeClock();
    this.peers = new PeerTable(config);
    this.queue =
      options.queue ??
      memoryQueue({
        clock: this.clock,
        ...(options.medium === undefined ? {} : { medium: options.medium }),
        ...(options.bounds === undefined ? {} : { bounds: options.bounds }),
      });
    const contactsOf = (userKey: string): readonly Binding[] => this.contacts.get(userKey) ?? [];
    this.router = new Router(
      this.peers,
      (userKey) => contactsOf(userKey).length > 0 || !this.unknownUsers.has(userKey),
    );
    this.delivery = new DeliveryService({
      queue: this.queue,
      router: this.router,
      senders: { local: this.local, link: this.link, sip: this.sip },
      contactsOf,
      clock: this.clock,
      random: options.random ?? seededRandom(1),
      log: this.log,
      lifetimeMs,
      retry: { firstMs: config.queue.retry.firstSeconds * 1_000, maxMs: config.queue.retry.maxSeconds * 1_000 },
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    });
    const credentials = {
      find: (user: string) => (this.unknownUsers.has(user) ? undefined : { user, md5: '', sha256: '' }),
    };
    const users = new UserTable({ peers: this.peers, credentials, contactsOf });
    this.messages = new MessageService({
      admission: new Admission({
        peers: this.peers,
        limits: config.limits,
        rateLimits: 'off',
        subscriptionsPerWatcher: 1_000,
        clock: this.clock,
      }),
      router: this.router,
      isUser: users.isUser.bind(users),
      contactsOf,
      queue: this.queue,
      delivery: this.delivery,
      numbers: new NumberPlan({
        peers: this.peers,
        isKnownHere: users.isKnownHere.bind(users),
        aliases: config.aliases,
        domains: new Set(this.peers.ownDomains),
        ...(options.directory === undefined ? {} : { directory: options.directory }),
      }),
      clock: this.clock,
      log: this.log,
      lifetimeMs,
    });
  }

  async start(): Promise<this> {
    await this.queue.start(
      (delivery) => this.delivery.attempt(delivery),
      (hop) => this.delivery.window(hop),
    );
    return this;
  }

  /** Lets everything go that can go without time passing. */
  async drained(): Promise<void> {
    for (let before = -1, turns = 0; turns < 3;) {
      const { live } = this.queue.figures();
      turns = live === before ? turns + 1 : 0;
      before = live;
      await settled();
    }
  }

  async stop(): Promise<void> {
    this.delivery.stop();
    await this.queue.stop(0);
  }
}
