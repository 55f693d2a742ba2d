import type { Address } from '../../src/cpim/address.ts';
import type { Notification, NotifyBody, Subscription } from '../../src/core/presence/subscription.ts';
import type { Dialog } from '../../src/sip/events/dialog.ts';
import type { SipLease } from '../../src/sip/events/subscription-lease.ts';
import { anAddress } from './builders.ts';
import { aDocument } from './presence-builders.ts';

export const RUN = 7;
export const ROMEO: Address = anAddress('romeo@sip.example');
export const JULIET: Address = anAddress('juliet@sip.example');
export const A_BODY: NotifyBody = { kind: 'presence', document: aDocument() };

/** A lease of romeo's phone on juliet's presence; ten numbers are reserved. */
export function aSipLease({ dialog, ...parts }: Omit<Partial<SipLease>, 'dialog'> & { dialog?: Partial<Dialog> } = {}) {
  const lease: SipLease = {
    via: 'sip',
    dialog: {
      callId: 'call-1',
      localTag: 'sub-1',
      remoteTag: 'f1',
      localUri: 'sip:juliet@sip.example',
      remoteUri: 'sip:romeo@sip.example',
      remoteTarget: 'sip:romeo@192.0.2.99:5062',
      routeSet: [],
      localCseq: 0,
      localCseqReserved: 10,
      remoteCseq: 1,
      ...dialog,
    },
    format: 'application/pidf+xml',
    contact: 'sip:192.0.2.10:5060',
    run: RUN,
    unanswered: 0,
    failed: 0,
    ...parts,
  };
  return lease;
}

export function aSubscription(parts: Partial<Subscription> = {}): Subscription {
  return {
    id: 'sub-1',
    package: 'presence',
    watcher: ROMEO,
    presentity: JULIET,
    state: { at: 'active', expiresAtMs: 1_700_000_600_000 },
    subscribedAtMs: 1_700_000_000_000,
    lease: aSipLease(),
    ...parts,
  };
}

export function aNotification(
  parts: Partial<Notification> = {},
  subscription: Partial<Subscription> = {},
): Notification {
  return {
    subscription: aSubscription(subscription),
    state: { at: 'active', expiresAtMs: 1_700_000_600_000 },
    body: A_BODY,
    ...parts,
  };
}
