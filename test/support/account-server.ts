import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { childOf, textOf, writeXml, type XmlElement, XmlStreamReader } from '../../src/cpim/xml.ts';
import { testCertificate } from './self-signed.ts';

const STREAMS = 'http://etherx.jabber.org/streams';
const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';
const BIND = 'urn:ietf:params:xml:ns:xmpp-bind';
const SM = 'urn:xmpp:sm:3';

/** How the scripted service treats its client; every field can be changed while it runs. */
export type AccountServerScript = {
  password: string;
  /** Mechanisms it offers. */
  mechanisms: readonly string[];
  /** Rounds of SCRAM it asks for. */
  rounds: number;
  /** Says that a log-in has succeeded without a proof that it knows the password. */
  isProofless: boolean;
  /** What it says before its features. */
  saysFirst: string;
  /** So often it asks for the same proof. */
  challenges: number;
  /** Answers the log-in with this condition. */
  failsWith: string | undefined;
  /** Offers stream management; `resumable`: and keeps sessions. */
  counts: 'no' | 'yes' | 'resumable';
  /** Answers requests for acknowledgement. */
  acknowledges: boolean;
  /** Answers the stream header with this stream error. */
  refuseWith: string | undefined;
};

type Session = {
  readonly id: string;
  /** Stanzas handled, and sent. */
  inbound: number;
  readonly outbound: string[];
  acknowledged: number;
};

type Connection = {
  readonly socket: TLSSocket;
  session: Session | undefined;
  isUp: boolean;
  asked: number;
};

/** One client's side of an XMPP service over direct TLS on a real socket, as a test drives it. */
export class ScriptedAccountServer {
  readonly script: AccountServerScript;
  readonly domain: string;
  /** Every stanza of the client, but those by which it binds, oldest first. */
  readonly received: XmlElement[] = [];
  /** What the client has said of stream management: `r`, `a 3`, `resume <id> 2`. */
  readonly management: string[] = [];
  /** Streams on which the client was let in. */
  handshakes = 0;
  resumptions = 0;
  /** Log-ins that were tried. */
  logins = 0;
  readonly streamErrors: string[] = [];
  readonly #names: readonly string[];
  readonly #connections = new Set<Connection>();
  readonly #sessions = new Map<string, Session>();
  readonly #pongs: string[] = [];
  #current: Connection | undefined;
  #server: Server | undefined;
  #port = 0;

  constructor(options: { readonly domain: string; readonly password: string; readonly names?: readonly string[] }) {
    this.domain = options.domain;
    this.#names = options.names ?? [`DNS:${options.domain}`];
    this.script = {
      password: options.password,
      mechanisms: ['SCRAM-SHA-1', 'SCRAM-SHA-256'],
      rounds: 4_096,
      isProofless: false,
      saysFirst: '',
      challenges: 1,
      failsWith: undefined,
      counts: 'yes',
      acknowledges: true,
      refuseWith: undefined,
    };
  }

  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    const { certificate, key } = testCertificate(this.#names);
    const server = createServer({ cert: certificate, key }, (socket) => this.#accept(socket));
    server.on('tlsClientError', () => undefined);
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    this.drop();
    await closed;
  }

  /** Cuts every connection without a word; sessions that are kept stay. */
  drop(): void {
    for (const { socket } of this.#connections) socket.destroy();
    this.#connections.clear();
    this.#pongs.length = 0;
    this.#current = undefined;
  }

  forgetSessions(): void {
    this.#sessions.clear();
  }

  /** Counts so many stanzas more than it has had. */
  miscount(more: number): void {
    for (const session of this.#sessions.values()) session.inbound += more;
  }

  freeze(): void {
    for (const { socket } of this.#connections) socket.pause();
  }

  thaw(): void {
    for (const { socket } of this.#connections) socket.resume();
  }

  answering(answers: boolean): void {
    this.script.acknowledges = answers;
    if (!answers || this.#current === undefined) return;
    if (this.script.counts === 'no') for (const pong of this.#pongs.splice(0)) this.sendRaw(pong);
    else this.#acknowledge(this.#current);
  }

  /** Sends a stanza, and counts it. */
  send(stanza: XmlElement): void {
    const text = writeXml(stanza);
    this.#current?.session?.outbound.push(text);
    this.sendRaw(text);
  }

  sendRaw(data: string | Buffer): void {
    this.#current?.socket.write(data);
  }

  /** How many stanzas of the present session the client has acknowledged. */
  get acknowledged(): number {
    return this.#current?.session?.acknowledged ?? 0;
  }

  #accept(socket: TLSSocket): void {
    socket.setNoDelay(true);
    const connection: Connection = { socket, session: undefined, isUp: false, asked: 0 };
    this.#connections.add(connection);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(connection);
      if (this.#current === connection) this.#current = undefined;
    });
    this.#stream(connection, false);
  }

  /** One stream; after the log-in a second one on the same connection. */
  #stream(connection: Connection, isLoggedIn: boolean): void {
    const { socket } = connection;
    const decoder = new TextDecoder();
    const login = new ScramServer();
    socket.removeAllListeners('data');
    const reader = new XmlStreamReader({
      onOpen: () => {
        const attrs = { xmlns: 'jabber:client', 'xmlns:stream': STREAMS, from: this.domain, id: 's', version: '1.0' };
        const header = writeXml({ name: 'stream:stream', attrs, children: [] });
        socket.write(`<?xml version='1.0'?>${header.slice(0, -2)}>`);
        if (this.script.refuseWith !== undefined) this.#streamError(connection, this.script.refuseWith);
        else socket.write(isLoggedIn ? this.#sessionFeatures() : this.#loginFeatures());
      },
      onElement: (element) => {
        if (element.name === 'stream:error') {
          const [first] = element.children;
          this.streamErrors.push(typeof first === 'object' ? first.name : '');
        } else if (isLoggedIn) this.#element(connection, element);
        else if (this.#login(connection, element, login)) {
          reader.stop();
          this.#stream(connection, true);
        }
      },
      onClose: () => socket.end('</stream:stream>'),
      onError: () => this.#streamError(connection, 'not-well-formed'),
    });
    socket.on('data', (chunk: Buffer) => reader.write(decoder.decode(chunk, { stream: true })));
  }

  #loginFeatures(): string {
    const mechanisms = this.script.mechanisms.map((name) => `<mechanism>${name}</mechanism>`).join('');
    return `${this.script.saysFirst}<stream:features><mechanisms xmlns='${SASL}'>${mechanisms}</mechanisms></stream:features>`;
  }

  #sessionFeatures(): string {
    const sm = this.script.counts === 'no' ? '' : `<sm xmlns='${SM}'/>`;
    return `<stream:features><bind xmlns='${BIND}'/>${sm}</stream:features>`;
  }

  #login({ socket }: Connection, element: XmlElement, login: ScramServer): boolean {
    const { script } = this;
    const text = Buffer.from(textOf(element), 'base64').toString();
    if (element.name === 'auth') {
      this.logins += 1;
      if (script.failsWith !== undefined) {
        socket.write(`<failure xmlns='${SASL}'><${script.failsWith}/></failure>`);
        return false;
      }
      if (element.attrs['mechanism'] === 'PLAIN') {
        const isRight = text.split('\u0000')[2] === script.password;
        socket.write(isRight ? `<success xmlns='${SASL}'/>` : `<failure xmlns='${SASL}'><not-authorized/></failure>`);
        return isRight;
      }
      const challenge = login.begin(element.attrs['mechanism'] ?? '', text, script);
      socket.write(`<challenge xmlns='${SASL}'>${base64(challenge)}</challenge>`.repeat(script.challenges));
      return false;
    }
    const proof = login.end(text);
    if (proof === undefined) {
      socket.write(`<failure xmlns='${SASL}'><not-authorized/></failure>`);
      return false;
    }
    const said = script.isProofless ? base64('v=AAAA') : base64(proof);
    socket.write(`<success xmlns='${SASL}'>${said}</success>`);
    return true;
  }

  #element(connection: Connection, element: XmlElement): void {
    const { socket } = connection;
    if (element.attrs['xmlns'] === SM) {
      this.#managed(connection, element);
      return;
    }
    const bind = childOf(element, 'bind', BIND);
    if (bind !== undefined) {
      const resource = childOf(bind, 'resource');
      const jid = `romeo@${this.domain}/${resource === undefined ? 'x' : textOf(resource)}`;
      socket.write(
        `<iq type='result' id='${element.attrs['id'] ?? ''}'><bind xmlns='${BIND}'><jid>${jid}</jid></bind></iq>`,
      );
      if (this.script.counts === 'no') this.#up(connection, newSession());
      return;
    }
    if (connection.session !== undefined) connection.session.inbound += 1;
    if (element.name === 'iq' && childOf(element, 'ping', 'urn:xmpp:ping') !== undefined) {
      const { id = '', to = '' } = element.attrs;
      const pong = `<iq type='result' id='${id}' from='${to}'/>`;
      if (this.script.acknowledges) socket.write(pong);
      else this.#pongs.push(pong);
      return;
    }
    this.received.push(element);
  }

  #managed(connection: Connection, element: XmlElement): void {
    const { h = '', previd = '' } = element.attrs;
    this.management.push([element.name, previd, h].filter((part) => part !== '').join(' '));
    switch (element.name) {
      case 'enable': {
        const session = newSession();
        const isKept = this.script.counts === 'resumable';
        if (isKept) this.#sessions.set(session.id, session);
        connection.socket.write(
          `<enabled xmlns='${SM}' id='${session.id}'${isKept ? ` resume='true' max='60'` : ''}/>`,
        );
        this.#up(connection, session);
        return;
      }
      case 'resume': {
        const session = this.#sessions.get(previd);
        if (session === undefined) {
          connection.socket.write(
            `<failed xmlns='${SM}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>`,
          );
          return;
        }
        this.resumptions += 1;
        session.acknowledged = Number(h);
        connection.socket.write(`<resumed xmlns='${SM}' previd='${session.id}' h='${session.inbound}'/>`);
        this.#up(connection, session);
        for (const text of session.outbound.slice(session.acknowledged)) connection.socket.write(text);
        return;
      }
      case 'r':
        connection.asked += 1;
        if (this.script.acknowledges) this.#acknowledge(connection);
        return;
      case 'a':
        if (connection.session !== undefined) connection.session.acknowledged = Number(h);
        return;
      default:
    }
  }

  #acknowledge({ socket, session }: Connection): void {
    if (session !== undefined) socket.write(`<a xmlns='${SM}' h='${session.inbound}'/>`);
  }

  #up(connection: Connection, session: Session): void {
    connection.session = session;
    connection.isUp = true;
    this.#current = connection;
    this.handshakes += 1;
  }

  #streamError({ socket }: Connection, condition: string): void {
    socket.end(
      `<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`,
    );
  }
}

/** The server's side of SCRAM (RFC 5802). */
class ScramServer {
  #hash: 'sha1' | 'sha256' = 'sha1';
  #message = '';
  #salted = Buffer.alloc(0);
  #nonce = '';

  begin(mechanism: string, first: string, { password, rounds }: AccountServerScript): string {
    this.#hash = mechanism === 'SCRAM-SHA-256' ? 'sha256' : 'sha1';
    const salt = randomBytes(16);
    const bare = first.slice(3);
    this.#nonce = `${/r=([^,]+)/.exec(bare)?.[1] ?? ''}${randomBytes(9).toString('hex')}`;
    const challenge = `r=${this.#nonce},s=${salt.toString('base64')},i=${rounds}`;
    if (rounds <= 10_000) {
      this.#salted = pbkdf2Sync(password, salt, rounds, this.#hash === 'sha1' ? 20 : 32, this.#hash);
    }
    this.#message = `${bare},${challenge}`;
    return challenge;
  }

  /** @returns server-final-message; undefined for the wrong password */
  end(final: string): string | undefined {
    const [withoutProof = '', proof = ''] = final.split(',p=');
    const message = `${this.#message},${withoutProof}`;
    const hmac = (key: Buffer, text: string): Buffer => createHmac(this.#hash, key).update(text).digest();
    const clientKey = hmac(this.#salted, 'Client Key');
    const signature = hmac(createHash(this.#hash).update(clientKey).digest(), message);
    const expected = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString('base64');
    if (expected !== proof) return undefined;
    return `v=${hmac(hmac(this.#salted, 'Server Key'), message).toString('base64')}`;
  }
}

function newSession(): Session {
  return { id: randomBytes(6).toString('hex'), inbound: 0, outbound: [], acknowledged: 0 };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
