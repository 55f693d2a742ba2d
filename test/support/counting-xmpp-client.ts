import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { currentLedger, Ledger, type LedgerSource, type Mark } from './counting-ledger.ts';
import { until } from './until.ts';
import { passwordOf, type XmppServer } from './xmpp-server.ts';

export type CountingXmppClientOptions = {
  readonly server: XmppServer;
  readonly user: string;
  /** Where messages that arrive are counted. */
  readonly received?: LedgerSource;
  /** Where messages that it sends are counted. */
  readonly sent?: LedgerSource;
};

/**
 * A user at a real XMPP server who counts: a session of its own, little work per stanza, logged in again whenever the
 * server was away.
 */
export class CountingXmppClient {
  readonly #options: CountingXmppClientOptions;
  #socket: Socket | undefined;
  #held = '';
  #phase: 'features' | 'auth' | 'bind' | 'up' = 'features';
  #isUp = false;
  #closed = false;
  /** Error stanzas by condition. */
  readonly errors = new Map<string, number>();
  /** Whole stanzas that carry no mark. */
  readonly others: string[] = [];

  constructor(options: CountingXmppClientOptions) {
    this.#options = options;
  }

  /** Logs in; resolves once its presence is out. Logs in again by itself until `close`. */
  async open(): Promise<void> {
    this.#dial();
    await until(() => this.#isUp, { what: `${this.#options.user} is logged in`, withinMs: 15_000 });
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  close(): void {
    this.#closed = true;
    this.#socket?.end('<presence type="unavailable"/></stream:stream>');
    this.#socket?.destroySoon();
  }

  send(mark: Mark, to: string, filler: string): void {
    const ledger = currentLedger(this.#options.sent);
    ledger?.sent(mark);
    ledger?.accepted(mark); // XMPP has no word for it; an error stanza takes it back
    this.#write(
      `<message to='${to}' id='m${mark.pair}:${mark.number}' type='chat'><body>${Ledger.body(mark, filler)}</body></message>`,
    );
  }

  /** Sends at a rate, pair by pair in turn; resolves when all are written. */
  async sendAtRate(options: {
    readonly pairs: ReadonlyArray<{ readonly pair: number; readonly to: string }>;
    readonly total: number;
    readonly rate: number;
    readonly bodyBytes?: number;
    /** Looked at before each message: false waits. */
    readonly mayGo?: () => boolean;
  }): Promise<void> {
    const filler = 'x'.repeat(Math.max(0, (options.bodyBytes ?? 60) - 12));
    const startedMs = performance.now();
    let sent = 0;
    while (sent < options.total) {
      const due = Math.min(options.total, Math.floor(((performance.now() - startedMs) * options.rate) / 1_000) + 1);
      this.#socket?.cork();
      while (sent < due && (options.mayGo?.() ?? true)) {
        const { pair, to } = options.pairs[sent % options.pairs.length]!;
        this.send({ pair, number: Math.floor(sent / options.pairs.length) }, to, filler);
        sent++;
      }
      this.#socket?.uncork();
      await pause(1);
    }
  }

  #write(text: string): void {
    this.#socket?.write(text);
  }

  #dial(): void {
    const { server } = this.#options;
    const socket = connect({ port: server.c2sPort, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    this.#held = '';
    this.#phase = 'features';
    socket.setEncoding('utf8');
    socket.on('connect', () => this.#openStream());
    socket.on('data', (chunk: string) => this.#read(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#isUp = false;
      if (!this.#closed) setTimeout(() => this.#dial(), 100);
    });
  }

  #openStream(): void {
    this.#held = '';
    this.#write(
      `<?xml version='1.0'?><stream:stream to='${this.#options.server.domain}' version='1.0' xmlns='jabber:client' ` +
        `xmlns:stream='http://etherx.jabber.org/streams'>`,
    );
  }

  #read(chunk: string): void {
    this.#held += chunk;
    if (this.#phase === 'up') {
      this.#stanzas();
      return;
    }
    if (this.#phase === 'features' && this.#held.includes('</stream:features>')) this.#authenticate();
    else if (this.#phase === 'auth' && this.#held.includes('<success')) {
      this.#phase = 'bind';
      this.#openStream();
    } else if (this.#phase === 'bind' && this.#held.includes('</stream:features>')) {
      this.#held = '';
      this.#write(`<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`);
    } else if (this.#phase === 'bind' && /<iq [^>]*id=['"]bind['"][\s\S]*<\/iq>/.test(this.#held)) {
      this.#phase = 'up';
      this.#held = this.#held.slice(this.#held.indexOf('</iq>') + 5);
      this.#write('<presence/>');
      this.#isUp = true;
      this.#stanzas();
    }
  }

  #authenticate(): void {
    const { user } = this.#options;
    this.#phase = 'auth';
    this.#held = '';
    const secret = Buffer.from(`\0${user}\0${passwordOf(user)}`).toString('base64');
    this.#write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`);
  }

  /** Top elements of the stream: none of those that servers send here holds one of its own name. */
  #stanzas(): void {
    const held = this.#held;
    let at = 0;
    for (;;) {
      const start = held.indexOf('<', at);
      if (start < 0) break;
      const tagEnd = held.indexOf('>', start);
      if (tagEnd < 0) break;
      if (held.charCodeAt(tagEnd - 1) === 0x2f || held.charCodeAt(start + 1) === 0x2f) {
        at = tagEnd + 1;
        continue;
      }
      let nameEnd = start + 1;
      while (!' \t\r\n/>'.includes(held.charAt(nameEnd))) nameEnd++;
      const close = `</${held.slice(start + 1, nameEnd)}>`;
      const end = held.indexOf(close, tagEnd);
      if (end < 0) break;
      at = end + close.length;
      if (held.startsWith('<message', start)) this.#message(held.slice(start, at));
      else if (held.startsWith('<iq', start)) this.#iq(held.slice(start, tagEnd + 1));
    }
    this.#held = held.slice(at);
  }

  #message(stanza: string): void {
    const body = /<body[^>]*>([^<]*)<\/body>/.exec(stanza)?.[1] ?? '';
    const head = stanza.slice(0, stanza.indexOf('>') + 1);
    const id = attributeOf(head, 'id') ?? '';
    if (attributeOf(head, 'type') === 'error') {
      this.#error(stanza, id);
      return;
    }
    const mark = Ledger.markOf(body);
    if (mark === undefined) {
      this.others.push(stanza);
      return;
    }
    const origin = /<origin-id[^>]*>/.exec(stanza)?.[0];
    const originId = origin === undefined ? undefined : attributeOf(origin, 'id');
    currentLedger(this.#options.received)?.seen(mark, {
      id,
      ...(originId === undefined ? {} : { originId }),
      delayed: stanza.includes('urn:xmpp:delay'),
    });
  }

  #error(stanza: string, id: string): void {
    const condition =
      /<error[^>]*>[\s\S]*?<([a-z-]+) xmlns=['"]urn:ietf:params:xml:ns:xmpp-stanzas/.exec(stanza)?.[1] ?? '?';
    this.errors.set(condition, (this.errors.get(condition) ?? 0) + 1);
    const found = /^m(\d+):(\d+)$/.exec(id);
    if (found !== null)
      currentLedger(this.#options.sent)?.refused({ pair: Number(found[1]), number: Number(found[2]) });
  }

  /** Servers ask whether we are still there (XEP-0199). */
  #iq(head: string): void {
    if (attributeOf(head, 'type') !== 'get') return;
    const from = attributeOf(head, 'from');
    this.#write(
      `<iq type='result' id='${attributeOf(head, 'id') ?? ''}'${from === undefined ? '' : ` to='${from}'`}/>`,
    );
  }
}

function attributeOf(tag: string, name: string): string | undefined {
  const [, inDouble, inSingle] =
    new RegExp(`[ \\n]${name}=(?:"([^"]*)"|'([^']*)')`).exec(tag) ?? ([] as Array<string | undefined>);
  return inDouble ?? inSingle;
}
