import { GatewayError } from '../../src/core/errors.ts';
import type { Delivery, OperationSender, Route } from '../../src/core/ports.ts';

export type Sent = { readonly delivery: Delivery; readonly route: Route };

/** What a sender does with one delivery: takes it, refuses it, or leaves it open until the test decides. */
export type Behaviour = (delivery: Delivery, route: Route) => Promise<void> | GatewayError | undefined;

/** An OperationSender that keeps what it was given and does what the test says. */
export class RecordingSender implements OperationSender {
  readonly sent: Sent[] = [];
  behave: Behaviour;

  constructor(behave: Behaviour = () => undefined) {
    this.behave = behave;
  }

  async send(delivery: Delivery, route: Route): Promise<void> {
    this.sent.push({ delivery, route });
    const done = this.behave(delivery, route);
    if (done instanceof GatewayError) throw done;
    await done;
  }

  get ids(): string[] {
    return this.sent.map(({ delivery }) => delivery.id);
  }
}

/** A promise that the test settles. */
export function open(): { promise: Promise<void>; take: () => void; refuse: (error: GatewayError) => void } {
  let take: () => void = () => undefined;
  let refuse: (error: GatewayError) => void = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    take = resolve;
    refuse = reject;
  });
  return { promise, take, refuse };
}
