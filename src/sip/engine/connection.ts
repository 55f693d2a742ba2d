import type { SipFlow } from '../message.ts';
import type { Channel, Rider } from './channel.ts';
import { Timed } from './timer-wheel.ts';

/** A connection, whatever is spoken over it: whoever is on board hears when it is gone. */
export abstract class Connection extends Timed implements Channel {
  readonly isReliable = true;
  readonly #riders = new Set<Rider>();
  /** Called once when nothing can be sent any more. */
  onGone: (() => void) | undefined;
  abstract readonly flow: SipFlow;
  abstract readonly isUsable: boolean;
  /** Resolves once the system has let go of the connection. */
  abstract readonly closed: Promise<void>;

  abstract send(bytes: Buffer): boolean;
  /** Sends what waits, then closes; at once for the one who asks. */
  abstract close(): void;
  abstract destroy(): void;

  board(rider: Rider): void {
    this.#riders.add(rider);
  }

  leave(rider: Rider): void {
    this.#riders.delete(rider);
  }

  /** Whether somebody waits for something over it. */
  protected get isBoarded(): boolean {
    return this.#riders.size > 0;
  }

  /** To be called once. @param wasOpen it had been open, so that what was sent may have arrived */
  protected tellGone(wasOpen: boolean): void {
    this.onGone?.();
    const riders = [...this.#riders];
    this.#riders.clear();
    for (const rider of riders) rider.connectionLost(wasOpen);
  }
}
