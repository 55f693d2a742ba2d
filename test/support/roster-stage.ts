import { COMPONENT, SIP_DOMAIN, XMPP_DOMAIN, startFederation, type Federation } from './federation.ts';
import { PresencePhone, type Notified } from './presence-phone.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { startSlixmpp, type SlixmppClient, type SlixmppOptions } from './slixmpp.ts';
import { startXmppClient, type Stanza, type XmppClient } from './xmpp-client.ts';
import { passwordOf, type ComponentHost, type XmppServerOptions } from './xmpp-server.ts';

/** Each test has people of its own. */
const XMPP_USERS = [
  'juliet',
  'romeo',
  'benvolio',
  'mercutio',
  'tybalt',
  'paris',
  'nurse',
  'rosaline',
  'peter',
  'balthasar',
  'lady',
  'prince',
  'page',
];
const SIP_USERS = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy'];

/** `basic show note` of each tuple of what a watcher was told, sorted. */
export function shown({ state, document }: Notified): string[] {
  const head = state.state === 'terminated' ? `terminated ${state.reason}` : state.state;
  const tuples = document?.tuples.map(({ basic, show, notes }) =>
    [basic, show, ...notes.map(({ text, language }) => (language === undefined ? text : `${language}:${text}`))]
      .filter((part) => part !== undefined)
      .join(' '),
  );
  return [head, ...(tuples ?? ['no document']).sort()];
}

/** Whether the newest a watcher was told is this. */
export function says(...wanted: readonly string[]): (notify: Notified) => boolean {
  return (notify) => JSON.stringify(shown(notify)) === JSON.stringify(wanted);
}

/** Our user as the XMPP side names him. */
export const jid = (user: string): string => `${user}@${COMPONENT}`;
/** An XMPP user as the SIP side names him. */
export const sip = (user: string): string => `sip:${user}@${XMPP_DOMAIN}`;
/** Whether presence is of one of our users, of whichever resource, and of this type. */
export const isFrom =
  (user: string, type: string | undefined) =>
  ({ attrs }: Stanza): boolean =>
    String(attrs['from']).split('/')[0] === jid(user) && attrs['type'] === type;

/** An XMPP server, our server beside it, and whoever takes part in one test; all of them are gone when it stops. */
export class RosterStage {
  readonly federation: Federation;
  readonly #closing: Array<() => Promise<void>> = [];

  private constructor(federation: Federation) {
    this.federation = federation;
  }

  static async open(
    name: string,
    startXmppServer: (options: XmppServerOptions) => Promise<ComponentHost>,
    sipUsers: readonly string[] = SIP_USERS,
  ): Promise<RosterStage> {
    const federation = await startFederation({
      name,
      startXmppServer,
      xmppUsers: XMPP_USERS,
      sipUsers,
      config: { rateLimits: 'off', presence: { notifyIntervalSeconds: 0 } },
    });
    return new RosterStage(federation);
  }

  async phone(user: string, transport: 'udp' | 'tcp' = 'udp'): Promise<PresencePhone> {
    const server = { transport, port: this.federation.interpres.sipPort };
    const phone = await ScriptedPhone.open({ user, domain: SIP_DOMAIN, password: passwordOf(user), server });
    this.#closing.push(() => phone.close());
    return new PresencePhone(phone);
  }

  async client(user: string, resource?: string): Promise<XmppClient> {
    const client = await startXmppClient(this.federation.xmpp, user, resource);
    this.#closing.push(() => client.stop());
    return client;
  }

  async slixmpp(user: string, options?: SlixmppOptions): Promise<SlixmppClient> {
    const { xmpp, folder } = this.federation;
    const client = await startSlixmpp(xmpp, user, folder, options);
    this.#closing.push(() => client.stop());
    return client;
  }

  /** `interpres watchers …` on the running server. */
  watchers(action: string, owner: string, ...args: readonly string[]): Promise<string> {
    return this.federation.interpres.run(['watchers', action, `sip:${owner}@${SIP_DOMAIN}`, ...args]);
  }

  /** The line of a watcher in the list of its owner's watchers, state and rule; undefined when there is none. */
  async watcherOf(owner: string, watcher: string): Promise<string | undefined> {
    const listing = JSON.parse(await this.watchers('list', owner, '--json')) as {
      watchers: ReadonlyArray<{ watcher: string; state?: string; action: string }>;
    };
    const line = listing.watchers.find((one) => one.watcher === watcher);
    return line === undefined ? undefined : `${line.state ?? '-'} ${line.action}`;
  }

  async close(): Promise<void> {
    await Promise.all(this.#closing.splice(0).map((close) => close()));
    await this.federation.stop();
  }
}
