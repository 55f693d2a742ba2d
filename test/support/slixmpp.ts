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

export type SlixmppAnswer = {
  readonly event: 'answer';
  readonly to: string;
  readonly ok: boolean;
  readonly condition?: string;
  readonly features?: readonly string[];
  readonly identities?: ReadonlyArray<ReadonlyArray<string | null>>;
  readonly name?: string;
};

type SlixmppEvent = SlixmppMessage | SlixmppAnswer | { readonly event: 'online' | 'refused' | 'disconnected' };

/** A user at a slixmpp client, in a Python process of its own. */
export interface SlixmppClient {
  readonly jid: string;
  readonly process: TestProcess;
  message(fields: { to: string; body: string; id?: string; subject?: string; thread?: string; type?: string }): void;
  ask(what: 'ping' | 'disco' | 'version', to: string): Promise<SlixmppAnswer>;
  messages(): readonly SlixmppMessage[];
  /** The first message received that suits. */
  untilMessage(suits: (message: SlixmppMessage) => boolean, withinMs?: number): Promise<SlixmppMessage>;
  stop(): Promise<void>;
}

/** Logs a user in; resolves once the session has begun and its presence is out. */
export async function startSlixmpp(server: XmppServer, user: string, folder: string): Promise<SlixmppClient> {
  const jid = `${user}@${server.domain}`;
  const process = await startProcess({
    name: `slixmpp-${user}`,
    command: '/usr/bin/python3', // Debian's: another python3 may come first in PATH and have no slixmpp
    args: [SCRIPT, `${jid}/slixmpp`, passwordOf(user), '127.0.0.1', String(server.c2sPort)],
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
  const answers = (): readonly SlixmppAnswer[] => events().filter((event) => event.event === 'answer');
  const tell = (command: object): void => process.write(`${JSON.stringify(command)}\n`);

  await process.said('"event": "online"', { withinMs: 20_000 });
  return {
    jid,
    process,
    messages,
    message: (fields) => tell({ do: 'message', ...fields }),
    async ask(what, to) {
      const before = answers().length;
      tell({ do: what, to });
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
    },
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
