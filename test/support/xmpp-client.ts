import { client, xml } from '@xmpp/client';
import type { Socket } from 'node:net';
import { until } from './until.ts';
import { passwordOf, type XmppServer } from './xmpp-server.ts';

export type Stanza = ReturnType<typeof xml>;

/** A user at `@xmpp/client`, in this process. */
export interface XmppClient {
  readonly jid: string;
  /** All message stanzas received, errors included. */
  messages(): readonly Stanza[];
  untilMessage(suits: (message: Stanza) => boolean, withinMs?: number): Promise<Stanza>;
  /** Sends `<message type='chat'><body/>…`; gives the stanza id. */
  message(
    to: string,
    body: string,
    extra?: { id?: string; type?: string; children?: readonly Stanza[] },
  ): Promise<string>;
  /** All presence stanzas received, its own reflected by the server included. */
  presences(): readonly Stanza[];
  /** The first presence that suits, from number `from` on. */
  untilPresence(suits: (presence: Stanza) => boolean, options?: { from?: number; withinMs?: number }): Promise<Stanza>;
  /** Sends presence: to everybody, or to one; `type` also asks, allows, refuses and takes back. */
  presence(fields?: { to?: string; type?: string; children?: readonly Stanza[] }): Promise<void>;
  /** The roster as the server has it. */
  roster(): Promise<ReadonlyArray<{ readonly jid: string; readonly subscription: string; readonly ask?: string }>>;
  send(stanza: Stanza): Promise<void>;
  /** Sends a query and gives the answer; an error answer rejects, with its condition as `condition`. */
  iq(to: string, type: 'get' | 'set', child: Stanza): Promise<Stanza>;
  stop(): Promise<void>;
}

/** The parts of its iq handling used here; its own types do not resolve. */
type IqCaller = { request(stanza: Stanza, timeoutMs: number): Promise<Stanza> };
type IqCallee = { get(namespace: string, name: string, handler: () => unknown): void };

export { xml };

const ROSTER = 'jabber:iq:roster';

let ids = 0;

/** Logs a user in and sends its presence; resolves once the server has reflected that presence. */
export async function startXmppClient(server: XmppServer, user: string, resource = 'node'): Promise<XmppClient> {
  const jid = `${user}@${server.domain}`;
  const received: Stanza[] = [];
  const presences: Stanza[] = [];
  let available = false;
  const xmpp = client({
    service: `xmpp://127.0.0.1:${server.c2sPort}`,
    domain: server.domain,
    resource,
    username: user,
    password: passwordOf(user),
  });
  const { iqCaller: caller, iqCallee: callee } = xmpp as unknown as { iqCaller: IqCaller; iqCallee: IqCallee };
  // As every other client does.
  callee.get('urn:xmpp:ping', 'ping', () => true);
  // It counts what comes in one read with `<enabled/>` only to begin again at 0, and a server ends the stream of a client
  // that has handled less than before: it is not offered stream management.
  xmpp.prependListener('element', (element: Stanza) => {
    if (element.is('features')) for (const sm of element.getChildren('sm')) element.remove(sm);
  });
  xmpp.reconnect.stop();
  xmpp.on('error', () => undefined);
  // Without this, small stanzas wait for the acknowledgement of the one before: 40 ms each.
  xmpp.on('connect', () => (xmpp as unknown as { socket: Socket }).socket.setNoDelay(true));
  xmpp.on('stanza', (stanza: Stanza) => {
    if (stanza.is('message')) received.push(stanza);
    if (stanza.is('presence')) presences.push(stanza);
    if (stanza.is('presence') && String(stanza.attrs['from']).startsWith(jid)) available = true;
  });
  const rosterItems = async (): Promise<readonly Stanza[]> => {
    const answer = await caller.request(xml('iq', { type: 'get' }, xml('query', { xmlns: ROSTER })), 10_000);
    return answer.getChild('query', ROSTER)?.getChildren('item') ?? [];
  };
  await xmpp.start();
  await rosterItems(); // whoever does not ask for it is not told of its changes
  await xmpp.send(xml('presence'));
  await until(() => available, { what: `${jid} is available`, withinMs: 10_000 });
  return {
    jid,
    messages: () => received,
    untilMessage: (suits, withinMs = 10_000) =>
      until(() => received.find(suits), {
        what: `${jid} receives the message`,
        withinMs,
        detail: () => `received: ${received.map(String).join('\n').slice(-4_000)}`,
      }),
    async message(to, body, { id = `m${++ids}`, type = 'chat', children = [] } = {}) {
      await xmpp.send(xml('message', { to, type, id }, xml('body', {}, body), ...children));
      return id;
    },
    presences: () => presences,
    untilPresence: (suits, { from = 0, withinMs = 15_000 } = {}) =>
      until(() => presences.slice(from).find(suits), {
        what: `${jid} receives the presence`,
        withinMs,
        detail: () => `received: ${presences.map(String).join('\n').slice(-4_000)}`,
      }),
    async presence({ to, type, children = [] } = {}) {
      const attrs = { ...(to === undefined ? {} : { to }), ...(type === undefined ? {} : { type }) };
      await xmpp.send(xml('presence', attrs, ...children));
    },
    async roster() {
      const items = await rosterItems();
      return items.map(({ attrs }) => ({
        jid: String(attrs['jid']),
        subscription: String(attrs['subscription']),
        ...(attrs['ask'] === undefined ? {} : { ask: String(attrs['ask']) }),
      }));
    },
    send: (stanza) => xmpp.send(stanza),
    iq: (to, type, child) => caller.request(xml('iq', { to, type }, child), 10_000),
    async stop() {
      await xmpp.stop().catch(() => undefined);
    },
  };
}
