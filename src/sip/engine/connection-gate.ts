import type { Socket } from 'node:net';

import type { Log } from '../../core/log.ts';
import type { EngineLimits } from './limits.ts';

/** Counts the connections that others have opened, whatever is spoken over them, and lets no more in than are allowed. */
export class ConnectionGate {
  readonly #limits: EngineLimits;
  readonly #log: Log;
  readonly #perAddress = new Map<string, number>();
  #count = 0;

  constructor(limits: EngineLimits, log: Log) {
    this.#limits = limits;
    this.#log = log;
  }

  /** Counts a connection in until it closes, or closes it when there are too many: before any byte of it is read. */
  admit(socket: Socket): boolean {
    const { connectionsMax, connectionsPerAddressMax } = this.#limits;
    const address = socket.remoteAddress;
    const here = address === undefined ? 0 : (this.#perAddress.get(address) ?? 0);
    if (address === undefined || this.#count >= connectionsMax || here >= connectionsPerAddressMax) {
      this.#log.warn({ peer: address ?? 'gone', connections: here }, 'connection refused, there are too many');
      socket.destroy();
      return false;
    }
    this.#count++;
    this.#perAddress.set(address, here + 1);
    socket.once('close', () => {
      this.#count--;
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    });
    return true;
  }
}
