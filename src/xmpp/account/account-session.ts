import type { Address } from '../../cpim/address.ts';
import { childOf, writeXml, type XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import { bareJid, formatJid, type Jid, parseJid } from '../jid.ts';
import type { AccountLink, AccountLinkEvents } from '../link-account.ts';
import type { LinkEvents, LinkState, XmppLink } from '../link.ts';
import { addressFromJid, type ComponentDomains, jidFromAddress } from '../map-address.ts';
import { CLIENT_NAMESPACE } from '../stanza-content.ts';
import { PUBSUB_EVENT_NAMESPACE, resultAnswer } from '../stanza.ts';
import { carbonOf, ENABLE_CARBONS } from './carbons.ts';
import { ContactPresences } from './contact-presences.ts';
import type { Refusal } from './login-outcome.ts';
import { Roster, ROSTER_NAMESPACE, rosterQueryOf } from './roster.ts';

/** What a session needs of the link under it. */
export type AccountChannel = Pick<
  AccountLink,
  'name' | 'isResumed' | 'start' | 'send' | 'post' | 'broadcast' | 'state' | 'stop'
>;

export type AccountSessionOptions = {
  readonly link: AccountChannel;
  /** The user of ours, and the JID of his account, bare. */
  readonly user: Address;
  readonly jid: Jid;
  /** His domain, under its one name. */
  readonly domains: ComponentDomains;
  readonly contacts: 'anyone' | 'roster';
  /** A client of the account has shown itself: its full JID. */
  readonly onOwnClient?: (client: Jid) => void;
  /** Whether a contact may see everything of the user that a contact may see. */
  readonly mayBeSeenBy: (watcher: Address) => boolean;
  readonly clock: Clock;
  readonly log: Log;
};

export type AccountSessionEvents = LinkEvents & {
  onRefused(refusal: Refusal): void;
};

/** How long the service may take to tell the roster before the session goes on without it, ms. */
const ROSTER_MS = 10_000;
/** So long after we have shown ourselves the service has told who of the contacts is there, ms. */
const TOLD_MS = 5_000;

/**
 * An account as the rest of the XMPP side sees links: as if the user of ours had an address of his own domain there. What
 * a server does for the users of its domain, and the service does for the account, is left to the service: it keeps the
 * roster, tells contacts of the account's presence, and answers those who ask to see it again.
 *
 * Going out, the user becomes the account; presence for single contacts is held back, because `show` tells all of them;
 * `probe` is answered from what is known, and `subscribe` too, where the roster says that it was granted long ago. Coming
 * in, whatever is for the account or our resource is for the user. Of the account's other clients only what is written to
 * them is taken (XEP-0280, `received`): what they write themselves is in nobody's inbox.
 */
export class AccountSession implements XmppLink {
  readonly name: string;
  readonly roster = new Roster();
  readonly #options: AccountSessionOptions;
  readonly #log: Log;
  readonly #presences = new ContactPresences();
  /** The user as the rest of the XMPP side writes him. */
  readonly #userJid: string;
  readonly #account: string;
  #events: AccountSessionEvents | undefined;
  /** Whether the rest has been told that it is up. */
  #isUp = false;
  #sessions = 0;
  #rosterId = '';
  #cancelRoster: () => void = () => undefined;
  /** What the account is to show; undefined: that nobody is there. */
  #wanted: readonly XmlElement[] | undefined;
  #shown: string | undefined;
  #shownAtMs = 0;

  constructor(options: AccountSessionOptions) {
    const { link, user, jid, domains } = options;
    const userJid = jidFromAddress(user, domains);
    if (userJid === undefined) throw new GatewayError('address-malformed', 'user whose address is no JID');
    this.name = link.name;
    this.#options = options;
    this.#log = options.log.child({ link: link.name });
    this.#userJid = formatJid(userJid);
    this.#account = formatJid(jid);
  }

  start(events: AccountSessionEvents): Promise<void> {
    this.#events = events;
    const own: AccountLinkEvents = {
      onStanza: (stanza) => this.#inward(stanza, events),
      onUp: () => this.#linkUp(),
      onDown: (reason) => this.#linkDown(reason),
      onRefused: (refusal) => events.onRefused(refusal),
    };
    return this.#options.link.start(own);
  }

  async send(stanza: XmlElement): Promise<void> {
    const { link } = this.#options;
    const outward = this.#outward(stanza);
    if (outward !== undefined) return link.send(outward);
    if (!this.#isUp) throw new GatewayError('peer-unreachable', 'account is not up');
  }

  post(stanza: XmlElement): void {
    const outward = this.#outward(stanza);
    if (outward !== undefined) this.#options.link.post(outward);
  }

  state(): LinkState {
    return this.#options.link.state();
  }

  stop(graceMs: number): Promise<void> {
    this.#cancelRoster();
    return this.#options.link.stop(graceMs);
  }

  /** What the contacts of the account are to see of the user: child elements; undefined: that he is not there. */
  show(children: readonly XmlElement[] | undefined): void {
    this.#wanted = children;
    if (this.#isUp) this.#tellPresence();
  }

  /** Takes the account's presence back from a contact. */
  hideFrom(contact: Jid): void {
    this.#options.link.post({
      name: 'presence',
      attrs: { from: this.#account, to: formatJid(contact), type: 'unsubscribed' },
      children: [],
    });
  }

  #linkUp(): void {
    const { link, clock } = this.#options;
    if (link.isResumed) {
      this.#ready();
      return;
    }
    this.#presences.clear();
    this.#shown = undefined;
    this.#sessions += 1;
    this.#rosterId = `roster-${this.#sessions}`;
    this.#ask('get', this.#rosterId, { name: 'query', attrs: { xmlns: ROSTER_NAMESPACE }, children: [] });
    this.#ask('set', `carbons-${this.#sessions}`, ENABLE_CARBONS);
    // RFC 6121, section 2.2: the roster first, so that whoever is there is known when he is heard of.
    this.#cancelRoster = clock.after(ROSTER_MS, () => this.#ready());
  }

  #linkDown(reason: string): void {
    this.#cancelRoster();
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#events?.onDown(reason);
  }

  /** The session can be used. */
  #ready(): void {
    this.#cancelRoster();
    if (this.#isUp || this.#options.link.state().at !== 'up') return;
    this.#isUp = true;
    this.#tellPresence();
    this.#events?.onUp();
  }

  #tellPresence(): void {
    const { link, clock } = this.#options;
    const children = this.#wanted;
    if (children === undefined && this.#shown === undefined) return;
    const attrs = { from: this.#account, ...(children === undefined ? { type: 'unavailable' } : {}) };
    const stanza: XmlElement = { name: 'presence', attrs, children: children ?? [] };
    const text = children === undefined ? undefined : writeXml(stanza);
    if (text === this.#shown) return;
    if (this.#shown === undefined) this.#shownAtMs = clock.nowMs();
    this.#shown = text;
    link.broadcast(stanza);
    // RFC 6121, section 4.5.4: from now on nobody tells us anything, so that nothing is known.
    if (text === undefined) for (const from of this.#presences.clear()) this.#synthesize(from, 'unavailable');
  }

  #ask(type: 'get' | 'set', id: string, payload: XmlElement): void {
    this.#options.link.broadcast({ name: 'iq', attrs: { from: this.#account, type, id }, children: [payload] });
  }

  // Coming in.

  #inward(stanza: XmlElement, events: AccountSessionEvents): void | Promise<void> {
    const from = stanza.attrs['from'] === undefined ? this.#options.jid : parseJid(stanza.attrs['from']);
    if (from === undefined) return undefined;
    const isOwn = from.local === this.#options.jid.local && from.domain === this.#options.jid.domain;
    switch (stanza.name) {
      case 'iq':
        if (isOwn && this.#ownIq(stanza)) return undefined;
        return events.onStanza(this.#forUser(stanza));
      case 'message':
        return this.#message(stanza, from, isOwn, events);
      case 'presence':
        return this.#presence(stanza, from, isOwn, events);
      default:
        return undefined;
    }
  }

  /** What the account's own service says to its client. */
  #ownIq(iq: XmlElement): boolean {
    const { id = '', type, from } = iq.attrs;
    if (type === 'result' || type === 'error') {
      if (id === this.#rosterId) {
        if (type === 'result') this.roster.take(rosterQueryOf(iq));
        else this.#log.info({ stanzaId: id }, 'service tells no roster');
        this.#ready();
        return true;
      }
      return id === `carbons-${this.#sessions}`;
    }
    const query = type === 'set' ? rosterQueryOf(iq) : undefined;
    // RFC 6121, section 2.1.6: from the account itself, and no resource of it.
    if (query === undefined || (from !== undefined && parseJid(from)?.resource !== undefined)) return false;
    const answer = resultAnswer({ ...iq, attrs: { ...iq.attrs, to: this.#account } });
    const { to, ...attrs } = answer.attrs;
    this.#options.link.broadcast({ ...answer, attrs: to === undefined ? attrs : { ...attrs, to } });
    for (const { jid, isUnseen, isUnseeing } of this.roster.push(query)) {
      // Another client has given up, or taken back, what was granted: then it counts for this one too.
      if (isUnseen) this.#synthesize(formatJid(jid), 'unsubscribed');
      if (isUnseeing) this.#synthesize(formatJid(jid), 'unsubscribe');
    }
    return true;
  }

  #message(stanza: XmlElement, from: Jid, isOwn: boolean, events: AccountSessionEvents): void | Promise<void> {
    const carbon = carbonOf(stanza);
    if (carbon === undefined) return this.#direct(stanza, from, events);
    if (!isOwn || from.resource !== undefined) {
      this.#log.warn({ jid: formatJid(from) }, 'copy of a message from somebody else than the account dropped');
      return undefined;
    }
    if (carbon.kind !== 'received') return undefined;
    const { attrs } = carbon.message;
    const author = parseJid(attrs['from'] ?? '');
    const to = parseJid(attrs['to'] ?? '');
    const isForAccount = to?.local === this.#options.jid.local && to?.domain === this.#options.jid.domain;
    if (author === undefined || !isForAccount || attrs['type'] === 'error' || attrs['type'] === 'groupchat') {
      return undefined;
    }
    return this.#direct(carbon.message, author, events);
  }

  #direct(stanza: XmlElement, from: Jid, events: AccountSessionEvents): void | Promise<void> {
    const isKnown = this.roster.of(from) !== undefined || from.local === undefined || stanza.attrs['type'] === 'error';
    if (this.#options.contacts === 'roster' && this.roster.isKnown && !isKnown) {
      // Not answered: whoever writes to the account need not learn which of its clients are there.
      this.#log.info(
        { jid: formatJid(from), stanzaId: stanza.attrs['id'] ?? '' },
        'message of no contact left to other clients',
      );
      return undefined;
    }
    return events.onStanza(this.#forUser(stanza));
  }

  #presence(stanza: XmlElement, from: Jid, isOwn: boolean, events: AccountSessionEvents): void | Promise<void> {
    const { type } = stanza.attrs;
    // The account's other clients are its user's own matter.
    if (isOwn) {
      if (type === undefined && from.resource !== undefined) this.#options.onOwnClient?.(from);
      return undefined;
    }
    const inward = this.#forUser(stanza);
    if (type === undefined || type === 'unavailable') this.#presences.heard(from, inward);
    else if (type === 'subscribed' || type === 'unsubscribed') this.roster.answered(from, type === 'subscribed');
    return events.onStanza(inward);
  }

  /** Whatever was for the account is for the user. */
  #forUser(stanza: XmlElement): XmlElement {
    const { xmlns, from = this.#account, ...rest } = stanza.attrs;
    const attrs = { ...rest, from, to: this.#userJid };
    const isPlain = xmlns === undefined && !stanza.children.some(isOfClient);
    return { name: stanza.name, attrs, children: isPlain ? stanza.children : stanza.children.map(withoutClient) };
  }

  #synthesize(from: string, type: string | undefined, stanza?: XmlElement): void {
    const made = stanza ?? {
      name: 'presence',
      attrs: { from, to: this.#userJid, ...(type === undefined ? {} : { type }) },
      children: [],
    };
    // Not within the call that brought it about: whoever asked is not ready for the answer.
    setImmediate(() => void this.#events?.onStanza(made));
  }

  // Going out.

  /** The stanza in the words of the account; undefined where nothing is to be sent. */
  #outward(stanza: XmlElement): XmlElement | undefined {
    const from = stanza.attrs['from'];
    const sender = from === undefined ? undefined : parseJid(from);
    if (sender === undefined || formatJid(bareJid(sender)) !== this.#userJid) {
      throw new GatewayError('internal', 'stanza over an account from somebody else than its user');
    }
    const outward = { ...stanza, attrs: { ...stanza.attrs, from: this.#account } };
    if (stanza.name === 'presence') return this.#outwardPresence(outward);
    if (stanza.name === 'message') {
      // Errors about copies have no id; events are for services to send, not for clients.
      const isForNobody = stanza.attrs['type'] === 'error' && stanza.attrs['id'] === undefined;
      if (isForNobody || childOf(stanza, 'event', PUBSUB_EVENT_NAMESPACE) !== undefined) return undefined;
    }
    return outward;
  }

  #outwardPresence(stanza: XmlElement): XmlElement | undefined {
    const to = parseJid(stanza.attrs['to'] ?? '');
    if (to === undefined) throw new GatewayError('internal', 'presence for no address');
    const type = stanza.attrs['type'] ?? 'available';
    switch (type) {
      case 'probe':
        this.#answerProbe(to);
        return undefined;
      case 'subscribe':
        if (!this.roster.sees(to)) return stanza;
        this.#synthesize(formatJid(bareJid(to)), 'subscribed');
        return undefined;
      case 'subscribed': {
        const watcher = addressFromJid(bareJid(to), this.#options.domains);
        // The service shows what it shows to everybody: one who is to see less is let wait.
        return watcher !== undefined && this.#options.mayBeSeenBy(watcher) ? stanza : undefined;
      }
      case 'unsubscribed':
      case 'error':
        return stanza;
      // The roster is the account's own: what it holds is not taken out of it for a phone that stops watching.
      case 'unsubscribe':
      default:
        return undefined;
    }
  }

  #answerProbe(contact: Jid): void {
    const from = formatJid(bareJid(contact));
    const known = this.#presences.of(contact);
    for (const presence of known) this.#synthesize(from, undefined, presence);
    if (known.length > 0) return;
    if (this.roster.isKnown && !this.roster.sees(contact)) this.#synthesize(from, 'unsubscribed');
    else if (this.#shown === undefined || this.#options.clock.nowMs() - this.#shownAtMs >= TOLD_MS) {
      this.#synthesize(from, 'unavailable');
    }
  }
}

function isOfClient(child: XmlElement | string): boolean {
  return typeof child !== 'string' && child.attrs['xmlns'] === CLIENT_NAMESPACE;
}

function withoutClient(child: XmlElement | string): XmlElement | string {
  if (typeof child === 'string' || child.attrs['xmlns'] !== CLIENT_NAMESPACE) return child;
  const attrs = Object.fromEntries(Object.entries(child.attrs).filter(([name]) => name !== 'xmlns'));
  return { ...child, attrs };
}
