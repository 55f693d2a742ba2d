import { fileURLToPath } from 'node:url';
import { startProcess, type TestProcess } from './process.ts';
import { until } from './until.ts';
import { passwordOf, type XmppServer } from './xmpp-server.ts';

const SCRIPT = fileURLToPath(new URL('./peers/slixmpp-client.py', import.meta.url));

/** A message as slixmpp gave it to its user. */
export type SlixmppMessage = {
  readonly event: 'message';
  readonly id: string;
  readonly from: string;
  readonly type: string;
  readonly body: string;
  readonly subject: string;
  readonly thread: string;
  /** The whole stanza. */
  readonly xml: string;
  readonly condition?: string;
  readonly text?: string;
};

/** A presence stanza as slixmpp read it. */
export type SlixmppPresence = {
  readonly event: 'presence';
  readonly from: string;
  readonly to: string;
  /** `available` where the stanza says nothing. */
  readonly type: string;
  readonly show: string;
  /** By language; the empty one where there is none. */
  readonly statuses: Readonly<Record<string, string>>;
  readonly priority: number;
  /** The whole stanza. */
  readonly xml: string;
  readonly condition?: string;
};

/** An event of a contact's account (XEP-0163), as its plugin gave it. */
export type SlixmppPep = {
  readonly event: 'pep';
  readonly what: 'user_mood' | 'user_activity' | 'user_location' | 'user_nick';
  readonly from: string;
  /** The payload. */
  readonly xml: string;
};

export type SlixmppAnswer = {
  readonly event: 'answer';
  readonly to: string;
  readonly ok: boolean;
  readonly condition?: string;
  readonly features?: readonly string[];
  readonly identities?: ReadonlyArray<ReadonlyArray<string | null>>;
  readonly name?: string;
  /** What one of `Asking` found. */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly items?: ReadonlyArray<{ readonly jid: string; readonly subscription: string; readonly ask: string }>;
};

export type SlixmppOptions = {
  /** Default `slixmpp`. */
  readonly resource?: string;
  /** Shows its capabilities, publishes and wants moods, activities, places and nicks; default not. */
  readonly pep?: boolean;
  /** Can ask for vCards, pictures, last activity and time, and give commands; default not. */
  readonly gateway?: boolean;
  /** Sends presence at its start; default it does. */
  readonly available?: boolean;
};

type SlixmppEvent =
  | SlixmppMessage
  | SlixmppPresence
  | SlixmppPep
  | SlixmppAnswer
  | { readonly event: 'online' | 'refused' | 'disconnected' };

/** A user at a slixmpp client, in a Python process of its own. */
export interface SlixmppClient {
  readonly jid: string;
  readonly process: TestProcess;
  message(fields: { to: string; body: string; id?: string; subject?: string; thread?: string; type?: string }): void;
  ask(what: 'ping' | 'disco' | 'version' | 'remove', to: string): Promise<SlixmppAnswer>;
  /** Asks with its plugins: see `ASKING` of the script. */
  find(
    what: 'vcard' | 'avatar' | 'last' | 'time' | 'items' | 'adhoc' | 'register',
    to: string,
    more?: object,
  ): Promise<SlixmppAnswer>;
  /** The roster as the server has it. */
  roster(): Promise<NonNullable<SlixmppAnswer['items']>>;
  /** Sends presence: to everybody, or to one; `type` also asks, allows, refuses and takes back. */
  presence(fields?: {
    to?: string;
    type?: string;
    show?: string;
    priority?: number;
    statuses?: Readonly<Record<string, string>>;
  }): void;
  /** Publishes; an event with nothing in it takes back. */
  publish(fields: {
    what: 'mood' | 'activity' | 'location' | 'nick';
    value: unknown;
    specific?: string;
    text?: string;
  }): Promise<SlixmppAnswer>;
  presences(): readonly SlixmppPresence[];
  /** The first presence that suits, from number `from` on. */
  untilPresence(
    suits: (presence: SlixmppPresence) => boolean,
    options?: { from?: number; withinMs?: number },
  ): Promise<SlixmppPresence>;
  events(): readonly SlixmppPep[];
  untilEvent(
    suits: (event: SlixmppPep) => boolean,
    options?: { from?: number; withinMs?: number },
  ): Promise<SlixmppPep>;
  messages(): readonly SlixmppMessage[];
  /** The first message received that suits. */
  untilMessage(suits: (message: SlixmppMessage) => boolean, withinMs?: number): Promise<SlixmppMessage>;
  stop(): Promise<void>;
}

let clients = 0;

/** Logs a user in; resolves once the session has begun and its presence is out. */
export async function startSlixmpp(
  server: XmppServer,
  user: string,
  folder: string,
  { resource = 'slixmpp', ...options }: SlixmppOptions = {},
): Promise<SlixmppClient> {
  const jid = `${user}@${server.domain}`;
  const process = await startProcess({
    name: `slixmpp-${user}-${(clients += 1)}`,
    command: '/usr/bin/python3', // Debian's: another python3 may come first in PATH and have no slixmpp
    args: [
      SCRIPT,
      `${jid}/${resource}`,
      passwordOf(user),
      '127.0.0.1',
      String(server.c2sPort),
      JSON.stringify(options),
    ],
    folder,
    input: true,
    env: { PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1' },
  });
  const events = (): SlixmppEvent[] =>
    process
      .output()
      .split('\n')
      .slice(0, -1) // the last one may be half written
      .filter((line) => line.startsWith('{"event"'))
      .map((line) => JSON.parse(line) as SlixmppEvent);
  const messages = (): readonly SlixmppMessage[] => events().filter((event) => event.event === 'message');
  const presences = (): readonly SlixmppPresence[] => events().filter((event) => event.event === 'presence');
  const pepEvents = (): readonly SlixmppPep[] => events().filter((event) => event.event === 'pep');
  const answers = (): readonly SlixmppAnswer[] => events().filter((event) => event.event === 'answer');
  const tell = (command: object): void => process.write(`${JSON.stringify(command)}\n`);

  const ask = (what: string, command: object): Promise<SlixmppAnswer> => {
    const before = answers().length;
    tell({ ...command, do: what });
    return until(
      () =>
        answers()
          .slice(before)
          .find((answer) => answer.to === what),
      {
        what: `slixmpp has its answer to ${what}`,
        withinMs: 12_000,
        detail: () => process.output(),
      },
    );
  };

  await process.said('"event": "online"', { withinMs: 20_000 });
  return {
    jid,
    process,
    messages,
    message: (fields) => tell({ do: 'message', ...fields }),
    ask: (what, to) => ask(what, { to }),
    find: (what, to, more = {}) => ask(what, { ...more, to }),
    async roster() {
      return (await ask('roster', {})).items ?? [];
    },
    presence: (fields = {}) => tell({ ...fields, do: 'presence' }),
    publish: (fields) => ask('pep', fields),
    presences,
    untilPresence: (suits, { from = 0, withinMs = 15_000 } = {}) =>
      until(() => presences().slice(from).find(suits), {
        what: `slixmpp of ${user} receives the presence`,
        withinMs,
        detail: () => process.output().slice(-4_000),
      }),
    events: pepEvents,
    untilEvent: (suits, { from = 0, withinMs = 15_000 } = {}) =>
      until(() => pepEvents().slice(from).find(suits), {
        what: `slixmpp of ${user} receives the event`,
        withinMs,
        detail: () => process.output().slice(-4_000),
      }),
    untilMessage: (suits, withinMs = 10_000) =>
      until(() => messages().find(suits), {
        what: `slixmpp of ${user} receives the message`,
        withinMs,
        detail: () => process.output().slice(-4_000),
      }),
    async stop() {
      await process.stop(2_000);
    },
  };
}
