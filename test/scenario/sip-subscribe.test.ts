import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { PeerTable } from '../../src/core/peers.ts';
import type { Subscription } from '../../src/core/presence/subscription.ts';
import type { SipApplication } from '../../src/sip/application.ts';
import type { SipPresence } from '../../src/sip/presence-application.ts';
import { EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse, type RawMessage } from '../support/raw-sip.ts';
import { A_BODY } from '../support/sip-leases.ts';
import { memoryRecords } from '../support/memory-records.ts';
import { sipSide } from '../support/sip-side.ts';

/** What a core would hold over a restart: the records, as JSON. */
type Disk = Map<string, string>;

/** The SIP side on loopback, trusted as the core of `core.example`; subscriptions are granted and kept. */
class Server {
  readonly stage: EngineStage;
  readonly #sip: SipApplication & SipPresence;
  readonly #subscriptions = new Map<string, Subscription>();

  private constructor(stage: EngineStage, sip: SipApplication & SipPresence) {
    this.stage = stage;
    this.#sip = sip;
  }

  static async open(t: TestContext, disk: Disk, ports = { udp: 0, tcp: 0 }): Promise<Server> {
    const listeners = (['udp', 'tcp'] as const).map((transport) => ({
      transport,
      address: '127.0.0.1',
      port: ports[transport],
    }));
    let handler: SipApplication['handler'] = async () => ({ status: 500 });
    const stage = await EngineStage.open(t, { listeners }, (request) => handler(request));
    const server: Server = new Server(
      stage,
      sipSide({
        stack: stage.stack,
        peers: new PeerTable({ domains: [{ name: 'core.example', trust: ['127.0.0.1'] }], links: {}, peers: [] }),
        credentials: { find: () => undefined },
        contactsOf: () => [],
        accept: async () => 'queued',
        listeners: () => [],
        clock: stage.clock,
        log: stage.log,
        presence: {
          subscriptions: {
            subscribe: async ({ id, package: name, watcher, presentity, lease }) => {
              const state = { at: 'active', expiresAtMs: stage.clock.nowMs() + 600_000 } as const;
              server.#keep(disk, { id, package: name, watcher, presentity, state, subscribedAtMs: 0, lease });
              return { expiresSeconds: 600 };
            },
            refresh: async (id) => {
              server.#keep(disk, server.#subscriptions.get(id)!);
              return { expiresSeconds: 600, isSuppressed: false };
            },
            fetch: async () => ({ body: A_BODY }),
            find: (id) => server.#subscriptions.get(id),
            saveLease: async (id) => server.#keep(disk, server.#subscriptions.get(id)!),
          },
          publish: async () => ({ etag: 'e1', expiresSeconds: 60 }),
          isUser: () => true,
          upstreamRecords: memoryRecords<never>(),
          onReport: () => undefined,
          isWanted: () => Promise.resolve(true),
          documentBytesMax: 65_536,
          expiresSeconds: 3_600,
          random: () => 0.5,
        },
      }),
    );
    handler = server.#sip.handler;
    for (const [id, text] of disk) server.#subscriptions.set(id, JSON.parse(text) as Subscription);
    return server;
  }

  notify(id: string): Promise<unknown> {
    const subscription = this.#subscriptions.get(id)!;
    const { expiresAtMs } = subscription.state as { expiresAtMs: number };
    return this.#sip.notifier.notify({ subscription, state: { at: 'active', expiresAtMs }, body: A_BODY });
  }

  #keep(disk: Disk, subscription: Subscription): void {
    this.#subscriptions.set(subscription.id, subscription);
    disk.set(subscription.id, JSON.stringify(subscription));
  }
}

function subscribe(contact: string, parts: Parameters<typeof rawRequest>[0] = {}): Buffer {
  return rawRequest({
    method: 'SUBSCRIBE',
    uri: 'sip:juliet@core.example',
    from: '<sip:romeo@core.example>;tag=r1',
    to: '<sip:juliet@core.example>',
    callId: 'dialog-1',
    body: '',
    ...parts,
    headers: ['Event: presence;id=a', `Contact: <${contact}>`, ...(parts.headers ?? [])],
  });
}

const tagOf = (value: string): string => /;tag=([^;]+)/.exec(value)?.[1] ?? '';

/** What a phone compares before it believes a NOTIFY. */
function assertIsOfDialog(notify: RawMessage, tag: string): void {
  assert.equal(notify.header('Call-ID'), 'dialog-1');
  assert.equal(notify.header('From'), `<sip:juliet@core.example>;tag=${tag}`);
  assert.equal(notify.header('To'), '<sip:romeo@core.example>;tag=r1');
  assert.equal(notify.header('Event'), 'presence;id=a');
}

test('a phone on TCP subscribes, is told over its connection, and refreshes at our Contact', async (t) => {
  const server = await Server.open(t, new Map());
  const phone = await server.stage.tcpPeer();
  phone.send(subscribe('sip:romeo@10.1.2.3:5062;transport=tcp'));
  const answer = await phone.next();
  assert.equal(answer.status, 200);
  const tag = tagOf(answer.header('To'));
  assert.equal(answer.header('Contact'), `<sip:127.0.0.1:${server.stage.ports.tcp};transport=tcp>`);
  const told = server.notify(tag);
  const notify = await phone.next();
  assert.match(notify.startLine, /^NOTIFY sip:romeo@10\.1\.2\.3:5062;transport=tcp SIP\/2\.0$/);
  assertIsOfDialog(notify, tag);
  assert.equal(notify.header('Subscription-State'), 'active;expires=600');
  phone.send(rawResponse(notify, 200));
  assert.deepEqual(await told, { kind: 'told' });
  const uri = /<([^>]+)>/.exec(answer.header('Contact'))?.[1] ?? '';
  phone.send(subscribe('sip:romeo@10.1.2.3:5062', { uri, to: answer.header('To'), cseq: 2 }));
  const refreshed = await phone.next();
  assert.equal(refreshed.status, 200);
  assert.equal(refreshed.header('To'), answer.header('To'));
});

test('who looks once is answered first, and told then', async (t) => {
  const server = await Server.open(t, new Map());
  const phone = await server.stage.tcpPeer();
  phone.send(subscribe('sip:romeo@10.1.2.3', { headers: ['Expires: 0'] }));
  const answer = await phone.next();
  assert.equal(answer.status, 200);
  await server.stage.pass(1);
  const notify = await phone.next();
  assertIsOfDialog(notify, tagOf(answer.header('To')));
  assert.equal(notify.header('Subscription-State'), 'terminated;reason=timeout');
  assert.match(notify.body.toString(), /<presence/);
  phone.send(rawResponse(notify, 200));
});

test('after a restart a dialog goes on over UDP, with a number that was never used', async (t) => {
  const disk: Disk = new Map();
  const first = await Server.open(t, disk);
  const phone = await first.stage.udpPeer();
  phone.send(subscribe(`sip:romeo@127.0.0.1:${phone.port}`), first.stage.ports.udp);
  const answer = await phone.next();
  const tag = tagOf(answer.header('To'));
  const numbers: number[] = [];
  const takeNotify = async (server: Server): Promise<void> => {
    const told = server.notify(tag);
    const notify = await phone.next();
    assertIsOfDialog(notify, tag);
    numbers.push(Number.parseInt(notify.header('CSeq'), 10));
    phone.send(rawResponse(notify, 200), server.stage.ports.udp);
    assert.deepEqual(await told, { kind: 'told' });
  };
  for (let i = 0; i < 3; i++) await takeNotify(first);
  const { udp, tcp } = first.stage.ports;
  const stopped = first.stage.stack.stop(0);
  await first.stage.pass(1);
  await stopped;

  const second = await Server.open(t, disk, { udp, tcp });
  await takeNotify(second);
  await takeNotify(second);
  assert.deepEqual(numbers.slice(0, 3), [1, 2, 3]);
  assert.ok(numbers[3]! > 10 && numbers[4] === numbers[3]! + 1, numbers.join());
  phone.send(subscribe(`sip:romeo@127.0.0.1:${phone.port}`, { to: answer.header('To'), cseq: 2 }), udp);
  assert.equal((await phone.next()).status, 200);
});
