import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { pauseMs, type Backoff } from '../../core/backoff.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random } from '../../core/ports.ts';
import type { SipServerState } from '../stack.ts';
import { WRONG_SECRET, type DrachtioSession } from '../stack-drachtio-session.ts';

/** How the control connection to a server is protected; PEM text. */
export type ControlTls = {
  /** Whom to believe; absent: those Node believes. */
  readonly ca?: string;
  /** The name in the server's certificate; absent: its host. */
  readonly servername?: string;
};

export type ServerLinkOptions = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls?: ControlTls;
  /** Says the secret on a connection that is open. */
  readonly openSession: (socket: Socket, onGone: (reason: string) => void) => Promise<DrachtioSession>;
  readonly onUp: (session: DrachtioSession) => void;
  readonly onDown: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

const CONNECT_MS = 5_000;
const RECONNECT: Backoff = { firstMs: 500, maxMs: 30_000 };
/** A connection that stood so long was a good one: the next pause is the first again; ms. */
const STOOD_WELL_MS = 10_000;

/**
 * The control connection to one drachtio server: opened, and opened again after it was lost, with pauses that grow and
 * differ. A server that is not there is said once in the log for each reason, and stands in `state`.
 */
export class ServerLink {
  readonly name: string;
  readonly #options: ServerLinkOptions;
  readonly #log: Log;
  #state: SipServerState;
  #session: DrachtioSession | undefined;
  #socket: Socket | undefined;
  #failures = 0;
  #saidReason: string | undefined;
  #cancelPause: (() => void) | undefined;
  #isStopped = false;

  constructor(options: ServerLinkOptions) {
    this.name = options.name;
    this.#options = options;
    this.#log = options.log.child({ drachtio: options.name });
    this.#state = { at: 'down', sinceMs: options.clock.nowMs(), reason: 'not started' };
  }

  get state(): SipServerState {
    return this.#state;
  }

  get session(): DrachtioSession | undefined {
    return this.#session;
  }

  /** Resolves when the first try is over, whatever came of it. */
  start(): Promise<void> {
    return this.#try();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelPause?.();
    if (this.#session === undefined) this.#socket?.destroy();
  }

  #isOver(): boolean {
    return this.#isStopped;
  }

  async #try(): Promise<void> {
    if (this.#isOver()) return;
    const { clock, openSession, onUp } = this.#options;
    this.#say({ at: 'connecting' });
    try {
      const socket = this.#open();
      this.#socket = socket;
      await this.#connected(socket);
      const openedMs = clock.nowMs();
      const session = await openSession(socket, (reason) => this.#lost(reason, openedMs));
      // Lost again meanwhile: that has been said.
      if (!session.isOpen) return;
      this.#session = session;
      const { version } = session.welcome;
      this.#saidReason = undefined;
      this.#say({ at: 'up', version });
      this.#log.info({ version, listens: session.welcome.hostPorts }, 'drachtio server is there');
      onUp(session);
    } catch (thrown) {
      this.#socket?.destroy();
      if (!this.#isOver()) this.#failed(reasonOf(thrown, this.#options));
    }
  }

  #open(): Socket {
    const { host, port, tls } = this.#options;
    if (tls === undefined) return connect({ host, port });
    const name = tls.servername ?? host;
    return connectTls({
      host,
      port,
      minVersion: 'TLSv1.2',
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      // No address goes into SNI (RFC 6066, section 3).
      ...(isIP(name) === 0 ? { servername: name } : {}),
    });
  }

  #connected(socket: Socket): Promise<void> {
    const { clock, tls } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(CONNECT_MS, () => socket.destroy(new Error('no connection within 5 s')));
      // The reason comes here; a listener has to be there for as long as the socket is.
      socket.on('error', (error) => {
        cancel();
        reject(error);
      });
      socket.once('close', () => {
        cancel();
        reject(new Error('closed before it was open'));
      });
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        cancel();
        resolve();
      });
    });
  }

  #lost(reason: string, openedMs: number): void {
    this.#session = undefined;
    this.#options.onDown();
    if (this.#isStopped) return;
    if (this.#options.clock.nowMs() - openedMs >= STOOD_WELL_MS) this.#failures = 0;
    this.#failed(reason);
  }

  #failed(reason: string): void {
    const { clock, random } = this.#options;
    this.#failures += 1;
    this.#say({ at: 'down', reason });
    if (this.#saidReason !== reason) {
      this.#saidReason = reason;
      if (reason.startsWith(WRONG_SECRET)) this.#log.error({ reason }, 'drachtio server lets us not in');
      else this.#log.warn({ reason }, 'drachtio server is not there');
    }
    this.#cancelPause = clock.after(pauseMs(RECONNECT, this.#failures, random), () => void this.#try());
  }

  #say(state: Omit<SipServerState, 'sinceMs'>): void {
    // Between two tries it is as down as before, for the same reason.
    if (state.at === 'connecting' && this.#failures > 0) return;
    const isSame = state.at === this.#state.at && state.reason === this.#state.reason;
    this.#state = { ...state, sinceMs: isSame ? this.#state.sinceMs : this.#options.clock.nowMs() };
  }
}

/** Why there is no connection, and what to do about it. */
function reasonOf(thrown: unknown, { host, port, tls }: ServerLinkOptions): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (text === WRONG_SECRET) {
    return `${text}: make \`secret\` and the secret of the admin section in drachtio.conf.xml the same`;
  }
  if (text.includes('ECONNREFUSED')) {
    return `nothing listens at ${host}:${port}: start the drachtio server, or correct host and port`;
  }
  if (tls !== undefined && /certificate|self.signed|altname|SSL|TLS|wrong version/i.test(text)) {
    return `${text}: correct \`tls.ca\` or \`tls.servername\`, or the server's TLS port for control connections`;
  }
  return text;
}
