import { SipNotifier } from '../../../../src/sip/events/notifier.ts';
import { readPidf } from '../../../../src/cpim/presence/pidf.ts';
import { notifierContract } from '../../../contract/notifier.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';
import { FakeStack, type Answer } from '../../../support/fake-stack.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';
import { aDocument, aTuple } from '../../../support/presence-builders.ts';
import { aNotification, aSipLease, aSubscription, RUN } from '../../../support/sip-leases.ts';

notifierContract('SipNotifier', async () => {
  const answers = { silent: 200, refusing: 481, broken: 'peer-unreachable', well: 200 } as const satisfies Record<
    string,
    Answer
  >;
  let farEnd: keyof typeof answers = 'well';
  const silent: Array<() => void> = [];
  const stack = new FakeStack(() => answers[farEnd]);
  const notifier = new SipNotifier({
    request: async (outgoing) => {
      if (farEnd === 'silent') await new Promise<void>((resolve) => silent.push(resolve));
      return stack.request(outgoing);
    },
    saveLease: async () => undefined,
    flowOf: () => undefined,
    nextHopOf: () => undefined,
    clock: new FakeClock(),
    log: new LogRecorder(),
    run: RUN,
  });
  const subscriptions = {
    a: aSubscription({ id: 'a', lease: aSipLease({ dialog: { localTag: 'tag-a', callId: 'call-a' } }) }),
    b: aSubscription({ id: 'b', lease: aSipLease({ dialog: { localTag: 'tag-b', callId: 'call-b' } }) }),
  };
  return {
    notify: (notification) => notifier.notify(notification),
    notification: (name, note) => ({
      ...aNotification(),
      subscription: subscriptions[name],
      body: { kind: 'presence', document: aDocument({ tuples: [aTuple({ notes: [{ text: note }] })] }) },
    }),
    set: (state) => {
      farEnd = state;
    },
    arrived: (name) =>
      stack.sent
        .filter(({ headers }) => headers.some(([field, value]) => field === 'Call-ID' && value === `call-${name}`))
        .map(({ body }) => readPidf(Buffer.from(body ?? '').toString('utf8')).tuples[0]?.notes[0]?.text ?? ''),
    answer: async () => {
      for (const resolve of silent.splice(0)) resolve();
      await settled();
    },
  };
});
