import { EventEmitter } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { client, xml } from '@xmpp/client';
import type { XmlElement } from '../cpim/xml.ts';
import { SCRAM_HASHES, ScramExchange, type ScramName } from './account/scram.ts';

export type LoginAccount = {
  /** Of the service, as it stands on the wire. */
  readonly domain: string;
  readonly username: string;
  readonly password: string;
  readonly resource: string;
  /** The password may be sent itself. */
  readonly allowPlain: boolean;
};

export type LoginEvents = {
  /** The service has given us this full JID. */
  onBound(jid: string): void;
  onError(thrown: unknown): void;
};

/** The part of the package that is used; members with a leading underscore, because what must be replaced hangs on them. */
type ClientEntity = EventEmitter & {
  timeout: number;
  jid: { toString(): string } | null;
  parser: EventEmitter | null;
  Parser: unknown;
  Transport: unknown;
  reconnect: { stop(): void };
  saslFactory: { _mechs: unknown[]; use(name: string, mechanism: new () => Mechanism): void };
  iqCaller: { handlers: Map<string, { reject(error: Error): void }> };
  _findTransport(service: string): unknown;
  _attachSocket(socket: EventEmitter): void;
  open(options: { domain: string }): Promise<unknown>;
};

/** A SASL mechanism as the package wants it. */
type Mechanism = {
  readonly name: string;
  readonly clientFirst: boolean;
  response(): string | Promise<string>;
  challenge(text: string): void;
};

/** Header, log-in and binding of one stream as @xmpp/client does them: it is handed what concerns them, element by element. */
export class AccountLogin {
  /** The ways to log in that are good enough, best first. */
  readonly mechanisms: readonly string[];
  readonly #entity: ClientEntity;
  readonly #account: LoginAccount;
  readonly #events: LoginEvents;
  #scram: ScramExchange | undefined;
  #hasSentPassword = false;

  constructor(account: LoginAccount, socket: TLSSocket, events: LoginEvents) {
    this.#account = account;
    this.#events = events;
    this.mechanisms = [...Object.keys(SCRAM_HASHES), ...(account.allowPlain ? ['PLAIN'] : [])];
    const { domain, username, password, resource } = account;
    const service = 'xmpps://service';
    const entity = client({
      service,
      domain,
      resource,
      credentials: async (authenticate, mechanisms) => {
        // Of the user agent only SASL2 speaks, which is left aside.
        await authenticate({ username, password }, mechanisms[0] ?? '', undefined as never);
      },
    }) as unknown as ClientEntity;
    entity.reconnect.stop();
    entity.timeout = 0;
    entity.Transport = entity._findTransport(service);
    entity.Parser = EventEmitter;
    entity.saslFactory._mechs = [];
    for (const name of this.mechanisms) entity.saslFactory.use(name, this.#mechanism(name, account));
    entity.on('error', (thrown: unknown) => events.onError(thrown));
    entity.on('online', () => events.onBound(entity.jid?.toString() ?? ''));
    entity._attachSocket(new WriteOnly(socket));
    this.#entity = entity;
  }

  /** Writes our stream header. */
  open(): void {
    this.#entity.open({ domain: this.#account.domain }).catch((thrown: unknown) => this.#events.onError(thrown));
  }

  /** The service's stream header came in. */
  started(attrs: Readonly<Record<string, string>>): void {
    this.#entity.parser?.emit('start', xml('stream:stream', { ...attrs }));
  }

  /** Gives an element to the package, which knows only what concerns it. */
  hand(element: XmlElement, name: string, namespace: string): void {
    const attrs = { ...element.attrs, xmlns: namespace };
    this.#entity.parser?.emit('element', asPackaged({ ...element, name, attrs }));
  }

  /** Whether this proves that the service knows the password itself; it need not where the password itself was sent. */
  isProof(text: string): boolean {
    return this.#hasSentPassword || this.#scram?.isProof(text) === true;
  }

  isWaitingFor(id: string): boolean {
    return this.#entity.iqCaller.handlers.has(id);
  }

  /** Whatever the package still waits for is let go; a listener is there, so that this cannot throw. */
  letGo(over: Error): void {
    for (const waiting of this.#entity.iqCaller.handlers.values()) waiting.reject(over);
    this.#entity.emit('error', over);
  }

  #mechanism(name: string, { username, password }: LoginAccount): new () => Mechanism {
    const begin = (exchange: ScramExchange | undefined): void => {
      this.#scram = exchange;
      this.#hasSentPassword = exchange === undefined;
    };
    return class {
      readonly name = name;
      readonly clientFirst = true;
      readonly #exchange = name === 'PLAIN' ? undefined : new ScramExchange(name as ScramName, username, password);
      #challenge: string | undefined;

      response(): string | Promise<string> {
        begin(this.#exchange);
        // The package writes each character as its bytes of UTF-8.
        if (this.#exchange === undefined) return `\u0000${username}\u0000${password}`;
        return this.#challenge === undefined ? this.#exchange.first() : this.#exchange.final(this.#challenge);
      }

      challenge(text: string): void {
        this.#challenge = text;
      }
    };
  }
}

/** The socket as the package sees it: it writes, and what comes in is read by us. */
class WriteOnly extends EventEmitter {
  readonly secure = true;
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket) {
    super();
    this.#socket = socket;
  }

  write(text: string, done: (error?: Error | null) => void): void {
    this.#socket.write(text, done);
  }
}

function asPackaged({ name, attrs, children }: XmlElement): ReturnType<typeof xml> {
  return xml(name, { ...attrs }, ...children.map((child) => (typeof child === 'string' ? child : asPackaged(child))));
}
