import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A wire between two programs that a test can cut, or hold up, while both ends go on. */
export class TcpCutter {
  readonly #target: number;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | undefined;
  #isHolding = false;
  #isRefusing = false;
  /** Connections ever made through it. */
  connections = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  static async to(target: number): Promise<TcpCutter> {
    const cutter = new TcpCutter(target);
    const server = createServer((socket) => cutter.#accept(socket));
    cutter.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return cutter;
  }

  get port(): number {
    return (this.#server?.address() as AddressInfo).port;
  }

  /** Connections open now. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Cuts every connection; nobody says goodbye. */
  cut(): void {
    for (const [one, other] of this.#pairs) {
      one.destroy();
      other.destroy();
    }
    this.#pairs.clear();
  }

  /** Lets nothing through any more, either way, as a network does that is gone; and again. */
  hold(isHolding: boolean): void {
    this.#isHolding = isHolding;
    for (const pair of this.#pairs) for (const socket of pair) socket[isHolding ? 'pause' : 'resume']();
  }

  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  #accept(near: Socket): void {
    if (this.#isRefusing) {
      near.destroy();
      return;
    }
    this.connections += 1;
    const far = connect({ host: '127.0.0.1', port: this.#target });
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    const gone = (): void => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    for (const [from, to] of [pair, [far, near] as const]) {
      from.setNoDelay(true);
      from.on('data', (chunk) => to.write(chunk));
      from.on('error', gone);
      from.on('close', gone);
    }
    if (this.#isHolding) this.hold(true);
  }
}
