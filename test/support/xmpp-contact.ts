import { childOf, childrenOf, textOf, type XmlElement } from '../../src/cpim/xml.ts';
import { readStanzaError } from '../../src/xmpp/stanza-error.ts';
import { COMPONENT, type RunningApp } from './running-app.ts';
import { until } from './until.ts';

export type PresenceParts = {
  /** Of ours: a localpart of sip.example. */
  readonly to: string;
  readonly type?: string;
  /** Empty: the bare JID. */
  readonly resource?: string;
  readonly id?: string;
  readonly language?: string;
  readonly children?: string;
};

let pings = 0;

/** An XMPP user behind the scripted XMPP server, who sends presence and sees what is sent to him. */
export class XmppContact {
  readonly jid: string;
  readonly #world: RunningApp;
  #seen = 0;

  constructor(world: RunningApp, jid: string) {
    this.#world = world;
    this.jid = jid;
  }

  /** Sends one presence stanza; available where there is no type. */
  say({ to, type, resource = '', id, language, children = '' }: PresenceParts): void {
    const from = resource === '' ? this.jid : `${this.jid}/${resource}`;
    const attrs = { type, id, 'xml:lang': language };
    const more = Object.entries(attrs).map(([name, value]) => (value === undefined ? '' : ` ${name}='${value}'`));
    this.#world.xmpp.sendRaw(`<presence from='${from}' to='${to}@${COMPONENT}'${more.join('')}>${children}</presence>`);
  }

  /** Answers with an error, as his server does for what was sent to him. */
  refuse(to: string, condition: string, id?: string): void {
    const children = `<error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
    this.say({ to, type: 'error', children, ...(id === undefined ? {} : { id }) });
  }

  /** Presence that came to him, oldest first. */
  get received(): readonly XmlElement[] {
    return this.#world.xmpp.received.filter(
      ({ name, attrs }) => name === 'presence' && attrs['to']?.split('/')[0] === this.jid,
    );
  }

  /** What came since this was last asked, a line each: `subscribed romeo`, `available romeo/desk dnd: Busy`. */
  news(): string[] {
    const { received } = this;
    const news = received.slice(this.#seen).map(presenceLine);
    this.#seen = received.length;
    return news;
  }

  /** Waits for so much news, and takes it. */
  async untilNews(count: number, what: string): Promise<string[]> {
    await until(() => this.received.length >= this.#seen + count, {
      what: `${this.jid}: ${what}`,
      detail: () => this.received.slice(this.#seen).map(presenceLine).join('\n'),
    });
    return this.news();
  }

  /** The first presence from the whole past that suits. */
  until(suits: (stanza: XmlElement) => boolean, what: string): Promise<XmlElement> {
    return until(() => this.received.find(suits), {
      what: `${this.jid}: ${what}`,
      detail: () => this.received.map(presenceLine).join('\n'),
    });
  }
}

/** A presence stanza in a line; all of ours are in one domain. */
export function presenceLine({ attrs, children }: XmlElement): string {
  const presence: XmlElement = { name: 'presence', attrs: {}, children };
  const text = (name: string): string => {
    const child = childOf(presence, name);
    return child === undefined ? '' : textOf(child);
  };
  const show = text('show');
  const statuses = childrenOf(presence, 'status').map(textOf).join(' / ');
  const words = [attrs['type'] ?? 'available', (attrs['from'] ?? '').replace(`@${COMPONENT}`, '')];
  const error = childOf(presence, 'error');
  if (error !== undefined) words.push(readStanzaError(error).condition);
  if (show !== '') words.push(show);
  return statuses === '' ? words.join(' ') : `${words.join(' ')}: ${statuses}`;
}

/** Resolves when whatever the server had sent over the link before is here: it has answered a ping. */
export async function linkSettled(world: RunningApp): Promise<void> {
  const id = `settled-${(pings += 1)}`;
  world.xmpp.sendRaw(
    `<iq type='get' id='${id}' from='xmpp.example' to='${COMPONENT}'><ping xmlns='urn:xmpp:ping'/></iq>`,
  );
  await until(() => world.xmpp.received.find(({ attrs }) => attrs['id'] === id), { what: 'the answer to a ping' });
}
