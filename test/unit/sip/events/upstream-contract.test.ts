import { upstreamContract, type UpstreamWorld } from '../../../contract/upstream.ts';
import { accepts, FarNotifier, fieldOf, PAIR, pidf, quiet, ROUTE } from '../../../support/far-notifier.ts';

function world(far: FarNotifier): UpstreamWorld {
  const fresh = () => far.stack.sent.filter((sent) => !fieldOf(sent, 'To').includes(';tag='));
  return {
    upstream: far.subscriber,
    pair: PAIR,
    route: ROUTE,
    reports: far.reports,
    asked: () => fresh().filter((sent) => fieldOf(sent, 'Expires') !== '0').length,
    leftAlone: () =>
      far.stack.sent.filter((sent) => fieldOf(sent, 'Expires') === '0' && fieldOf(sent, 'To').includes(';tag=')).length,
    approves: async () => {
      await far.notify({ state: 'active;expires=3600' });
    },
    shows: async (basic) => {
      await far.notify({ state: 'active;expires=3600', body: pidf(basic) });
    },
    rejects: async () => {
      await far.notify({ state: 'terminated;reason=rejected' });
    },
    setHolding: async (isHolding) => {
      if (isHolding) far.store.holding = true;
      else await far.store.release();
    },
    setFailing: (isFailing) => {
      far.store.failing = isFailing;
    },
    pass: async (ms) => {
      await quiet();
      await far.clock.advanceAsync(ms);
      await quiet();
    },
    crashed: async () => world(far.restarted()),
  };
}

upstreamContract('SipSubscriber', async () => {
  const far = new FarNotifier();
  far.answer = accepts;
  return world(far);
});
