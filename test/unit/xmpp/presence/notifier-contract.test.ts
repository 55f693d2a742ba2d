import { childOf, textOf } from '../../../../src/cpim/xml.ts';
import { GatewayError } from '../../../../src/core/errors.ts';
import type { Subscription } from '../../../../src/core/presence/subscription.ts';
import { newLinkLease } from '../../../../src/xmpp/presence/link-lease.ts';
import { notifierContract } from '../../../contract/notifier.ts';
import { anAddress } from '../../../support/builders.ts';
import { settled } from '../../../support/fake-clock.ts';
import { aDocument, aTuple, XmppPresenceWorld } from '../../../support/xmpp-presence-world.ts';

notifierContract('PresenceNotifier', async () => {
  const world = new XmppPresenceWorld();
  world.office.up();
  const subscriptionOf = (name: 'a' | 'b'): Subscription =>
    world.subscriptions.find(name) ??
    world.subscriptions.add({
      id: name,
      package: 'presence',
      watcher: anAddress(`${name}@xmpp.example`),
      presentity: anAddress('romeo@sip.example'),
      state: { at: 'active' },
      subscribedAtMs: 0,
      lease: newLinkLease('office'),
    });
  return {
    notify: (notification) => world.presence.notifier.notify(notification),
    notification: (name, note) => ({
      subscription: subscriptionOf(name),
      state: { at: 'active' },
      body: { kind: 'presence', document: aDocument([aTuple({ notes: [{ text: note }] })]) },
    }),
    set: (farEnd) => {
      world.link.isHolding = farEnd === 'silent';
      world.link.refuses = undefined;
      if (farEnd === 'refusing') {
        world.link.refuses = () => new GatewayError('peer-unreachable', 'the link was lost while it was sent');
      }
      if (farEnd === 'broken') world.link.down();
      else world.link.up();
    },
    arrived: (name) =>
      world.link.stanzas
        .filter(({ attrs }) => attrs['to']?.startsWith(`${name}@`) === true && attrs['type'] === undefined)
        .map((stanza) => {
          const status = childOf(stanza, 'status');
          return status === undefined ? '' : textOf(status);
        }),
    answer: async () => {
      // `subscribed` first, then what follows it.
      for (let turn = 0; turn < 5; turn += 1) {
        world.link.confirm();
        await settled();
      }
    },
  };
});
