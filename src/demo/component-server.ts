import { createHash, randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { textOf, writeXml, type XmlElement, XmlStreamReader } from '../cpim/xml.ts';

/** How the scripted server treats a component; every field can be changed while it runs. */
export type ComponentServerScript = {
  secret: string;
  /** Takes connections and says nothing, as a server that hangs does. */
  silent: boolean;
  /** Answers the stream header with this stream error instead of a header and a handshake. */
  refuseWith: string | undefined;
  /** Carries stanzas that the component addresses to its own domain back to it, as every XMPP server does. */
  reflect: boolean;
  /** The stream id it gives; absent: a random one. */
  streamId: string | undefined;
};

export type ComponentServerOptions = {
  /** The component's address. */
  readonly name: string;
  readonly secret: string;
  /** Absent: one the system chooses. */
  readonly port?: number;
};

type Session = { readonly socket: Socket; authenticated: boolean; frozen: boolean };

const STREAMS = 'http://etherx.jabber.org/streams';

/**
 * The server half of XEP-0114 on a real socket: handshake, capture of what the component sends, and as much of a
 * server's conduct as the component relies on. It serves one component at a time; the newest connection is the one
 * that `send` writes to.
 *
 * It checks what real servers check: a stanza whose `from` is not in the component's domain ends the stream with
 * invalid-from, one without `to` with improper-addressing, bad XML with not-well-formed.
 */
export class ComponentServer {
  readonly script: ComponentServerScript;
  /** Every stanza taken from the component, pings to itself included, oldest first. */
  readonly stanzas: XmlElement[] = [];
  /** Stream errors either side has sent: the condition's name. */
  readonly streamErrors: string[] = [];
  /** Connections ever accepted, and handshakes that succeeded. */
  connections = 0;
  handshakes = 0;
  /** Called for each stanza, before it is reflected. */
  onStanza: ((stanza: XmlElement) => void) | undefined;
  readonly #name: string;
  readonly #wantedPort: number;
  readonly #sessions = new Set<Session>();
  readonly #keptBack: XmlElement[] = [];
  #current: Session | undefined;
  #server: Server | undefined;
  #port = 0;

  constructor(options: ComponentServerOptions) {
    this.#name = options.name;
    this.#wantedPort = options.port ?? 0;
    this.script = {
      secret: options.secret,
      silent: false,
      refuseWith: undefined,
      reflect: true,
      streamId: undefined,
    };
  }

  get port(): number {
    return this.#port;
  }

  /** Whether a component has authenticated and its connection is open. */
  get connected(): boolean {
    return this.#current?.authenticated === true && !this.#current.socket.destroyed;
  }

  /** Stanzas taken, pings to itself left out. */
  get received(): XmlElement[] {
    return this.stanzas.filter((stanza) => !this.#isSelfPing(stanza));
  }

  /** Listens; after `stop` again on the same port, as a server that comes back does. */
  async start(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port === 0 ? this.#wantedPort : this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Ends every connection at once and listens no more. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    this.drop();
    await closed;
  }

  /** Cuts every connection without a word. */
  drop(): void {
    for (const session of this.#sessions) session.socket.destroy();
    this.#sessions.clear();
    this.#keptBack.length = 0;
    this.#current = undefined;
  }

  /** Reads nothing more from the component, as a stopped process does; its connection stays open. */
  freeze(): void {
    for (const session of this.#sessions) {
      session.frozen = true;
      session.socket.pause();
    }
  }

  thaw(): void {
    for (const session of this.#sessions) {
      session.frozen = false;
      session.socket.resume();
    }
  }

  /** Whether pings to itself come back to the component; those that were kept back do when this is turned on again. */
  answering(answers: boolean): void {
    this.script.reflect = answers;
    if (answers) for (const stanza of this.#keptBack.splice(0)) this.send(stanza);
  }

  /** Sends a stanza to the component. */
  send(stanza: XmlElement): void {
    this.sendRaw(writeXml(stanza));
  }

  /** Sends bytes as they are, well-formed or not. */
  sendRaw(data: string | Buffer): void {
    this.#current?.socket.write(data);
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    socket.setNoDelay(true);
    const session: Session = { socket, authenticated: false, frozen: false };
    this.#sessions.add(session);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sessions.delete(session);
      if (this.#current === session) this.#current = undefined;
    });
    if (this.script.silent) return;
    let streamId = '';
    const reader = new XmlStreamReader({
      onOpen: () => {
        streamId = this.script.streamId ?? randomBytes(8).toString('hex');
        const attrs = { xmlns: 'jabber:component:accept', 'xmlns:stream': STREAMS, from: this.#name, id: streamId };
        const header = writeXml({ name: 'stream:stream', attrs, children: [] });
        socket.write(`<?xml version='1.0'?>${header.slice(0, -2)}>`);
        if (this.script.refuseWith !== undefined) this.#streamError(session, this.script.refuseWith);
      },
      onElement: (element) => {
        if (session.authenticated) this.#stanza(session, element);
        else this.#handshake(session, element, streamId);
      },
      onClose: () => socket.end('</stream:stream>'),
      onError: () => this.#streamError(session, 'not-well-formed'),
    });
    const decoder = new TextDecoder();
    socket.on('data', (chunk) => reader.write(decoder.decode(chunk, { stream: true })));
  }

  #handshake(session: Session, element: XmlElement, streamId: string): void {
    const expected = createHash('sha1')
      .update(streamId + this.script.secret, 'utf8')
      .digest('hex');
    if (element.name !== 'handshake' || textOf(element) !== expected) {
      this.#streamError(session, 'not-authorized');
      return;
    }
    session.authenticated = true;
    this.#current = session;
    this.handshakes += 1;
    session.socket.write('<handshake/>');
  }

  #stanza(session: Session, stanza: XmlElement): void {
    if (stanza.name === 'stream:error') {
      for (const child of stanza.children) {
        if (typeof child !== 'string' && child.name !== 'text') this.streamErrors.push(child.name);
      }
      return;
    }
    const { from, to } = stanza.attrs;
    if (from === undefined || domainOf(from) !== this.#name) {
      this.#streamError(session, 'invalid-from');
      return;
    }
    if (to === undefined) {
      this.#streamError(session, 'improper-addressing');
      return;
    }
    this.stanzas.push(stanza);
    this.onStanza?.(stanza);
    if (domainOf(to) !== this.#name) return;
    if (this.script.reflect) session.socket.write(writeXml(stanza));
    else this.#keptBack.push(stanza);
  }

  #streamError(session: Session, condition: string): void {
    this.streamErrors.push(condition);
    const namespace = 'urn:ietf:params:xml:ns:xmpp-streams';
    session.authenticated = false;
    session.socket.end(`<stream:error><${condition} xmlns='${namespace}'/></stream:error></stream:stream>`);
  }

  #isSelfPing(stanza: XmlElement): boolean {
    return stanza.name === 'iq' && stanza.attrs['from'] === this.#name && stanza.attrs['to'] === this.#name;
  }
}

function domainOf(jid: string): string {
  const bare = jid.split('/', 1)[0] ?? '';
  return bare.slice(bare.indexOf('@') + 1);
}
