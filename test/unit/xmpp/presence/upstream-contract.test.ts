import { upstreamContract, type UpstreamWorld } from '../../../contract/upstream.ts';
import { settled } from '../../../support/fake-clock.ts';
import { ROMEO_WATCHES, ROUTE, XmppPresenceWorld } from '../../../support/xmpp-presence-world.ts';

function world(xmpp: XmppPresenceWorld): UpstreamWorld {
  const written = (type: string): number => xmpp.link.stanzas.filter(({ attrs }) => attrs['type'] === type).length;
  const reports: UpstreamWorld['reports'] = [];
  return {
    upstream: xmpp.presence.upstream,
    pair: ROMEO_WATCHES,
    route: ROUTE,
    get reports() {
      return xmpp.reports.length === 0 ? reports : xmpp.reports.map(([, report]) => report);
    },
    asked: () => written('subscribe'),
    leftAlone: () => written('unavailable'),
    approves: () => xmpp.juliet("type='subscribed'", '', ''),
    shows: (basic) => xmpp.juliet(basic === 'open' ? '' : "type='unavailable'"),
    rejects: () => xmpp.juliet("type='unsubscribed'", '', ''),
    setHolding: async (isHolding) => {
      if (isHolding) xmpp.store.holding = true;
      else await xmpp.store.release();
    },
    setFailing: (isFailing) => {
      xmpp.store.failing = isFailing;
    },
    pass: async (ms) => {
      await settled();
      await xmpp.clock.advanceAsync(ms);
      await settled();
    },
    crashed: async () => {
      const after = xmpp.restarted();
      after.office.up();
      return world(after);
    },
  };
}

upstreamContract('XmppUpstream', async () => {
  const xmpp = new XmppPresenceWorld();
  xmpp.office.up();
  return world(xmpp);
});
