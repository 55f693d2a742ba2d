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
  send(stanza: Stanza): Promise<void>;
  /** Sends a query and gives the answer; an error answer rejects, with its condition as `condition`. */
  iq(to: string, type: 'get' | 'set', child: Stanza): Promise<Stanza>;
  stop(): Promise<void>;
}

/** The part of its iqCaller used here; its own types do not resolve. */
type IqCaller = { request(stanza: Stanza, timeoutMs: number): Promise<Stanza> };

export { xml };

let ids = 0;

/** Logs a user in and sends its presence; resolves once the server has reflected that presence. */
export async function startXmppClient(server: XmppServer, user: string, resource = 'node'): Promise<XmppClient> {
  const jid = `${user}@${server.domain}`;
  const received: Stanza[] = [];
  let available = false;
  const xmpp = client({
    service: `xmpp://127.0.0.1:${server.c2sPort}`,
    domain: server.domain,
    resource,
    username: user,
    password: passwordOf(user),
  });
  const caller = (xmpp as unknown as { iqCaller: IqCaller }).iqCaller;
  xmpp.reconnect.stop();
  xmpp.on('error', () => undefined);
  // Without this, small stanzas wait for the acknowledgement of the one before: 40 ms each.
  xmpp.on('connect', () => (xmpp as unknown as { socket: Socket }).socket.setNoDelay(true));
  xmpp.on('stanza', (stanza: Stanza) => {
    if (stanza.is('message')) received.push(stanza);
    if (stanza.is('presence') && String(stanza.attrs['from']).startsWith(jid)) available = true;
  });
  await xmpp.start();
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
    send: (stanza) => xmpp.send(stanza),
    iq: (to, type, child) => caller.request(xml('iq', { to, type }, child), 10_000),
    async stop() {
      await xmpp.stop().catch(() => undefined);
    },
  };
}
