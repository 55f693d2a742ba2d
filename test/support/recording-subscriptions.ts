import { addressKey } from '../../src/cpim/address.ts';
import { GatewayError, type ErrorCode } from '../../src/core/errors.ts';
import {
  type Lease,
  type NotifyBody,
  type Pair,
  pairKey,
  type Subscription,
} from '../../src/core/presence/subscription.ts';
import type { SubscribeRequest, Subscriptions } from '../../src/core/presence/subscriptions.ts';

/**
 * The core's subscriptions as far as a test of the XMPP side needs them: it keeps what it is asked, and tells nobody
 * anything by itself.
 */
export class RecordingSubscriptions implements Subscriptions {
  /** What was called, as text. */
  readonly calls: string[] = [];
  readonly kept = new Map<string, Subscription>();
  readonly requests: SubscribeRequest[] = [];
  /** What a new subscription begins as. */
  begins: 'pending' | 'active' = 'active';
  /** Set: `subscribe` is refused with this. */
  refuses: ErrorCode | undefined;
  /** Set: leases cannot be stored. */
  isFailing = false;
  /** What a `subscribe` waits for. */
  gate: Promise<void> = Promise.resolve();

  async subscribe(request: SubscribeRequest): Promise<{ expiresSeconds: number }> {
    this.calls.push(`subscribe ${request.watcher} ${request.presentity}`);
    this.requests.push(request);
    await this.gate;
    if (this.refuses !== undefined) throw new GatewayError(this.refuses, 'the test refuses');
    const { id, watcher, presentity, lease } = request;
    this.add({
      id,
      package: 'presence',
      watcher,
      presentity,
      state: { at: this.begins },
      subscribedAtMs: 0,
      lease,
    });
    return { expiresSeconds: 0 };
  }

  add(subscription: Subscription): Subscription {
    this.kept.set(subscription.id, subscription);
    return subscription;
  }

  refresh(): Promise<never> {
    throw new Error('the XMPP side has nothing to refresh');
  }

  fetch(): Promise<{ body?: NotifyBody }> {
    throw new Error('the XMPP side fetches nothing');
  }

  of(presentityKey: string): readonly Subscription[] {
    return [...this.kept.values()].filter(({ presentity }) => addressKey(presentity) === presentityKey);
  }

  find(id: string): Subscription | undefined {
    return this.kept.get(id);
  }

  findOn(via: Lease['via'], pair: Pair): Subscription | undefined {
    for (const subscription of this.kept.values()) {
      if (subscription.lease?.via === via && pairKey(subscription) === pairKey(pair)) return subscription;
    }
    return undefined;
  }

  async saveLease(id: string): Promise<void> {
    this.calls.push(`saveLease ${JSON.stringify(this.kept.get(id)?.lease)}`);
    if (this.isFailing) throw new GatewayError('store-unavailable', 'the test lets the store fail');
  }

  saveLeaseLater(id: string): void {
    this.calls.push(`saveLeaseLater ${JSON.stringify(this.kept.get(id)?.lease)}`);
  }

  async forget(id: string): Promise<void> {
    this.calls.push(`forget ${id}`);
    await Promise.resolve();
    this.kept.delete(id);
  }

  attend(id: string, isThere: boolean): void {
    this.calls.push(`attend ${id} ${isThere}`);
  }

  tellAgain(id: string): void {
    this.calls.push(`tellAgain ${id}`);
  }

  wake(via: Lease['via']): void {
    this.calls.push(`wake ${via}`);
  }

  /** What was called since the last call of this, without the writing of leases. */
  take(): string[] {
    return this.calls.splice(0).filter((call) => !call.startsWith('saveLease'));
  }
}
