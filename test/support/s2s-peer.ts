import { randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { TLSSocket, connect as connectTls, createSecureContext } from 'node:tls';
import { textOf, writeOpeningTag, writeXml, type XmlElement, XmlStreamReader } from '../../src/cpim/xml.ts';
import { headerAttrs } from '../../src/xmpp/s2s/stream-elements.ts';
import { until } from './until.ts';

/** How the scripted server treats a stream that is opened to it; every field can be changed while it runs. */
export type S2sPeerScript = {
  /** Says of every dialback key that it is this. */
  verdict: 'valid' | 'invalid';
  bidi: boolean;
  /** Offers stream management after dialback, in the features before it: what no real server does, for tests alone. */
  sm: boolean;
  /** Takes up a lost stream again. */
  resumes: boolean;
  /** Features beside those, as they stand on the wire. */
  features: string;
  /** Offers dialback, and that more pairs may be proved on one stream. */
  dialback: boolean;
  /** Answers pings and requests for acknowledgements. */
  answering: boolean;
};

type Session = {
  readonly socket: Socket;
  authenticated: boolean;
  frozen: boolean;
  managed: boolean;
  received: number;
};

const DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const BIDI = "<bidi xmlns='urn:xmpp:features:bidi'/>";
const SM = "<sm xmlns='urn:xmpp:sm:3'/>";

/**
 * The server of another domain as a script: takes streams without TLS, believes or disbelieves every dialback key
 * without asking, uses the stream both ways. The newest stream is the one that `send` writes to.
 */
export class S2sPeer {
  readonly script: S2sPeerScript;
  /** Every stanza taken, pings included, oldest first. */
  readonly stanzas: XmlElement[] = [];
  /** Stream errors that came in, by condition. */
  readonly streamErrors: string[] = [];
  /** Pairs proved, as `to from`, oldest first. */
  readonly proved: string[] = [];
  /** What it says when it is asked about a key. */
  verdictOfKeys: 'valid' | 'invalid' = 'valid';
  handshakes = 0;
  connections = 0;
  readonly #sessions = new Set<Session>();
  readonly #keptBack: Array<() => void> = [];
  #current: Session | undefined;
  #lost: Session | undefined;
  #server: Server | undefined;
  #port = 0;

  constructor(script: Partial<S2sPeerScript> = {}) {
    this.script = {
      verdict: 'valid',
      bidi: true,
      sm: false,
      resumes: false,
      features: '',
      dialback: true,
      answering: true,
      ...script,
    };
  }

  get port(): number {
    return this.#port;
  }

  /** Stanzas taken, pings left out. */
  get received(): XmlElement[] {
    return this.stanzas.filter((stanza) => stanza.name !== 'iq');
  }

  get openStreams(): number {
    return this.#sessions.size;
  }

  async start(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    this.drop();
    await closed;
  }

  /** Cuts every stream without a word. */
  drop(): void {
    this.#lost = this.#current;
    for (const { socket } of this.#sessions) socket.destroy();
    this.#sessions.clear();
    this.#keptBack.length = 0;
    this.#current = undefined;
  }

  /** Ends the stream in good order. */
  closeStream(): void {
    this.#current?.socket.end('</stream:stream>');
  }

  freeze(): void {
    for (const session of this.#sessions) session.socket.pause();
  }

  thaw(): void {
    for (const session of this.#sessions) session.socket.resume();
  }

  /** Whether pings are answered; those that were not are when this is turned on again. */
  answering(answers: boolean): void {
    this.script.answering = answers;
    if (answers) for (const answer of this.#keptBack.splice(0)) answer();
  }

  send(stanza: XmlElement): void {
    this.sendRaw(writeXml(stanza));
  }

  sendRaw(data: string | Buffer): void {
    this.#current?.socket.write(data);
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    socket.setNoDelay(true);
    const session: Session = { socket, authenticated: false, frozen: false, managed: false, received: 0 };
    this.#sessions.add(session);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#sessions.delete(session);
      if (this.#current === session) this.#current = undefined;
    });
    const reader = new XmlStreamReader({
      onOpen: (_name, attrs) => {
        const header = headerAttrs({
          from: attrs['to'] ?? '',
          to: attrs['from'] ?? '',
          id: randomBytes(8).toString('hex'),
        });
        const { bidi, sm, dialback, features } = this.script;
        socket.write(
          `<?xml version='1.0'?>${writeOpeningTag({ name: 'stream:stream', attrs: header })}<stream:features>${dialback ? DIALBACK : ''}${bidi ? BIDI : ''}${sm ? SM : ''}${features}</stream:features>`,
        );
      },
      onElement: (element) => this.#element(session, element),
      onClose: () => socket.end('</stream:stream>'),
      onError: () => socket.destroy(),
    });
    const decoder = new TextDecoder();
    socket.on('data', (chunk) => reader.write(decoder.decode(chunk, { stream: true })));
  }

  #element(session: Session, element: XmlElement): void {
    const { from, to, id } = element.attrs;
    switch (element.name) {
      case 'db:result':
        session.socket.write(`<db:result from='${to}' to='${from}' type='${this.script.verdict}'/>`);
        if (this.script.verdict !== 'valid') return;
        this.proved.push(`${to ?? ''} ${from ?? ''}`);
        if (!session.authenticated && !this.script.sm) this.#ready(session);
        session.authenticated = true;
        return;
      case 'db:verify':
        session.socket.write(`<db:verify from='${to}' to='${from}' id='${id}' type='${this.verdictOfKeys}'/>`);
        return;
      case 'enable':
        session.managed = true;
        session.socket.write(
          `<enabled xmlns='urn:xmpp:sm:3'${this.script.resumes ? " resume='true' id='again'" : ''}/>`,
        );
        this.#ready(session);
        return;
      case 'resume': {
        const lost = this.#lost;
        if (!this.script.resumes || lost === undefined) {
          session.socket.write(`<failed xmlns='urn:xmpp:sm:3'/>`);
          return;
        }
        session.managed = true;
        session.received = lost.received;
        session.socket.write(`<resumed xmlns='urn:xmpp:sm:3' previd='again' h='${lost.received}'/>`);
        this.#ready(session);
        return;
      }
      case 'r':
        this.#answer(() => session.socket.write(`<a xmlns='urn:xmpp:sm:3' h='${session.received}'/>`));
        return;
      case 'stream:error':
        for (const child of element.children) if (typeof child !== 'string') this.streamErrors.push(child.name);
        return;
      case 'message':
      case 'presence':
      case 'iq':
        session.received += 1;
        this.stanzas.push(element);
        if (element.name === 'iq' && element.attrs['type'] === 'get') {
          this.#answer(() => session.socket.write(`<iq type='result' id='${id}' from='${to}' to='${from}'/>`));
        }
        return;
      default:
        return;
    }
  }

  #answer(answer: () => void): void {
    if (this.script.answering) answer();
    else this.#keptBack.push(answer);
  }

  #ready(session: Session): void {
    this.handshakes += 1;
    this.#current = session;
  }
}

export type RawStreamOptions = {
  readonly port: number;
  readonly from?: string;
  readonly to?: string;
  /** PEM of what it shows, for TLS from the start or by STARTTLS. */
  readonly certificate?: { readonly certificate: string; readonly key: string };
  readonly directTls?: true;
};

/** A stream to us by hand: every element that came, and what became of the stream. */
export class RawStream {
  readonly elements: XmlElement[] = [];
  header: Readonly<Record<string, string>> | undefined;
  headers = 0;
  isClosed = false;
  #socket: Socket;
  #reader: XmlStreamReader;
  readonly #options: RawStreamOptions;

  private constructor(socket: Socket, options: RawStreamOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#reader = this.#newReader();
    this.#listen();
  }

  /** Connects and sends a stream header. */
  static async open(options: RawStreamOptions): Promise<RawStream> {
    const where = { host: '127.0.0.1', port: options.port };
    const socket =
      options.directTls === true
        ? connectTls({ ...where, rejectUnauthorized: false, ALPNProtocols: ['xmpp-server'], ...contextOf(options) })
        : connect(where);
    await new Promise<void>((resolve, reject) => {
      socket.once(options.directTls === true ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    });
    const stream = new RawStream(socket, options);
    stream.openStream();
    return stream;
  }

  /** Connects and says nothing. */
  static async bare(port: number): Promise<RawStream> {
    const socket = connect({ host: '127.0.0.1', port });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawStream(socket, { port });
  }

  openStream(attrs: Readonly<Record<string, string>> = {}): void {
    const { from, to } = this.#options;
    const header = headerAttrs({ ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) });
    this.write(`<?xml version='1.0'?>${writeOpeningTag({ name: 'stream:stream', attrs: { ...header, ...attrs } })}`);
  }

  write(data: string | Buffer): void {
    this.#socket.write(data);
  }

  end(): void {
    this.#socket.destroy();
  }

  /** Says STARTTLS, shakes hands, opens the stream anew. */
  async startTls(): Promise<void> {
    this.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await this.until('proceed');
    this.#socket.removeAllListeners('data');
    const secure = connectTls({ socket: this.#socket, rejectUnauthorized: false, ...contextOf(this.#options) });
    this.#socket = secure;
    this.#restart();
    await new Promise<void>((resolve, reject) => {
      secure.once('secureConnect', resolve);
      secure.once('error', reject);
    });
    this.#listen();
    this.openStream();
    await this.features();
  }

  /** Says EXTERNAL; gives the answer's name. */
  async external(): Promise<string> {
    const text = Buffer.from(this.#options.from ?? '').toString('base64');
    this.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${text}</auth>`);
    const answer = await this.until('success', 'failure');
    if (answer.name === 'success') {
      this.#restart();
      this.openStream();
      await this.features();
    }
    return answer.name;
  }

  /** The next features that come. */
  async features(): Promise<XmlElement> {
    return this.until('stream:features');
  }

  /** The next element of one of these names; those before it are forgotten. */
  async until(...names: readonly string[]): Promise<XmlElement> {
    return until(
      () => {
        const at = this.elements.findIndex(({ name }) => names.includes(name));
        return at < 0 ? undefined : this.elements.splice(0, at + 1).at(-1);
      },
      { what: `${names.join(' or ')} comes`, detail: () => JSON.stringify(this.elements), everyMs: 5 },
    );
  }

  /** The condition of the stream error that the stream ends with. */
  async streamError(): Promise<string> {
    const error = await this.until('stream:error');
    const [condition] = error.children;
    await until(() => this.isClosed, { what: 'the stream is closed', everyMs: 5 });
    return condition === undefined || typeof condition === 'string' ? '' : condition.name;
  }

  /** The text of the first element of that name under an element. */
  static textIn(element: XmlElement, name: string): string | undefined {
    const child = element.children.find((one) => typeof one !== 'string' && one.name === name);
    return child === undefined || typeof child === 'string' ? undefined : textOf(child);
  }

  #restart(): void {
    this.#reader.stop();
    this.#reader = this.#newReader();
  }

  #newReader(): XmlStreamReader {
    return new XmlStreamReader({
      onOpen: (_name, attrs) => {
        this.header = attrs;
        this.headers += 1;
      },
      onElement: (element) => void this.elements.push(element),
      onClose: () => this.#socket.end(),
      onError: () => this.#socket.destroy(),
    });
  }

  #listen(): void {
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => (this.isClosed = true));
    const decoder = new TextDecoder();
    this.#socket.on('data', (chunk) => this.#reader.write(decoder.decode(chunk, { stream: true })));
  }

  get isSecure(): boolean {
    return this.#socket instanceof TLSSocket;
  }
}

function contextOf({ certificate }: RawStreamOptions) {
  if (certificate === undefined) return {};
  return { secureContext: createSecureContext({ cert: certificate.certificate, key: certificate.key }) };
}
