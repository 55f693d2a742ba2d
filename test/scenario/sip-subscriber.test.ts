import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { UpstreamReport } from '../../src/core/presence/subscription.ts';
import { notifyHandler } from '../../src/sip/events/notify-handler.ts';
import { SipSubscriber } from '../../src/sip/events/subscriber.ts';
import type { SipOutgoing, SipRequest } from '../../src/sip/message.ts';
import type { SipHandler, SipStack } from '../../src/sip/stack.ts';
import { statusFromError } from '../../src/sip/status.ts';
import { createEmbeddedStack } from '../../src/sip/stack-embedded.ts';
import { systemClock } from '../../src/system-clock.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { CLOSED, OPEN, PAIR } from '../support/far-notifier.ts';
import { memoryRecords } from '../support/memory-records.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { until } from '../support/until.ts';
import type { UpstreamRecord } from '../../src/sip/events/subscriber-records.ts';

/** A dialog from start to end between two engines on loopback: SUBSCRIBE, NOTIFY, refresh, end. */
for (const transport of ['udp', 'tcp'] as const) {
  test(`over ${transport} a dialog is opened, refreshed and ended`, async (t) => {
    const asked: SipRequest[] = [];
    const far = await engine(t, transport, async (request) => {
      asked.push(request);
      return {
        status: 200,
        toTag: 'far',
        headers: [
          ['Contact', `<sip:127.0.0.1:${far.port};transport=${transport}>`],
          ['Expires', request.headers.get('Expires') ?? ''],
        ],
      };
    });
    const near = await engine(t, transport, (request) => handler(request));
    const nextHop = `sip:127.0.0.1:${far.port};transport=${transport}`;
    const reports: UpstreamReport[] = [];
    // The engines' time is real; that of subscriptions is moved.
    const clock = new FakeClock();
    const subscriber = new SipSubscriber({
      records: memoryRecords<UpstreamRecord>('sip-upstream'),
      request: (outgoing) => near.stack.request(outgoing),
      contactFor: () => `sip:127.0.0.1:${near.port};transport=${transport}`,
      onReport: (_pair, report) => reports.push(report),
      clock,
      random: () => 0.5,
      log: new RecordingLog(),
      expiresSeconds: 3_600,
    });
    const handler = notifyHandler({
      find: (tag) => subscriber.find(tag),
      // Nobody is named: the address that has answered is believed.
      mayActFor: () => false,
      documentBytesMax: 65_536,
      log: new RecordingLog(),
    });
    subscriber.start();
    await subscriber.watch(PAIR, { kind: 'sip', domain: 'partner.example', nextHop });
    const first = await until(() => asked[0], { what: 'a SUBSCRIBE' });
    assert.equal(first.uri, 'sip:romeo@partner.example');

    const opened = await far.stack.request(notification(first, 1, 'active;expires=3600', OPEN));
    assert.equal(opened.status, 200);
    assert.equal(reports[0]?.document?.tuples[0]?.basic, 'open');

    clock.advance(2_880_000);
    const refresh = await until(() => asked[1], { what: 'a refresh' });
    assert.equal(refresh.headers.get('Call-ID'), first.headers.get('Call-ID'));
    assert.equal(refresh.headers.get('CSeq'), '2 SUBSCRIBE');
    assert.equal((await far.stack.request(notification(first, 2, 'active;expires=3600', CLOSED))).status, 200);
    assert.equal(reports[1]?.document?.tuples[0]?.basic, 'closed');

    subscriber.end(PAIR);
    const end = await until(() => asked[2], { what: 'the end' });
    assert.equal(end.headers.get('Expires'), '0');
    assert.equal((await far.stack.request(notification(first, 3, 'terminated;reason=timeout'))).status, 200);
    assert.equal((await far.stack.request(notification(first, 4, 'active', OPEN))).status, 481);
    assert.equal(reports.length, 2);
    subscriber.stop();
  });
}

async function engine(
  t: TestContext,
  transport: 'udp' | 'tcp',
  handler: SipHandler,
): Promise<{ stack: SipStack; port: number }> {
  const stack = createEmbeddedStack({
    listeners: [{ transport, address: '127.0.0.1', port: 0 }],
    clock: systemClock,
    log: new RecordingLog(),
  });
  const [listener] = await stack.start(async (request) => {
    try {
      return await handler(request);
    } catch (thrown) {
      return { status: statusFromError(GatewayError.of(thrown)) };
    }
  });
  t.after(() => stack.stop(0));
  return { stack, port: listener?.port ?? 0 };
}

/** A NOTIFY in the dialog that a SUBSCRIBE has asked for. */
function notification({ headers }: SipRequest, cseq: number, state: string, body?: string): SipOutgoing {
  const contact = headers.get('Contact') ?? '';
  return {
    method: 'NOTIFY',
    uri: contact.slice(1, -1),
    headers: [
      ['From', `${headers.get('To') ?? ''};tag=far`],
      ['To', headers.get('From') ?? ''],
      ['Call-ID', headers.get('Call-ID') ?? ''],
      ['CSeq', `${cseq} NOTIFY`],
      ['Contact', '<sip:127.0.0.1:9;transport=tcp>'],
      ['Event', 'presence'],
      ['Subscription-State', state],
      ...(body === undefined ? [] : [['Content-Type', 'application/pidf+xml'] as const]),
    ],
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  };
}
