import type { XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Pair } from '../../core/presence/subscription.ts';
import { jidFromAddress } from '../map-address.ts';
import { presenceElement } from '../stanza.ts';
import type { LinkWay } from './presence-notifier.ts';

/** A user of ours, his contact, and the link between them. */
export type ContactWay = Pair & { readonly link: string };

/** What a user says to his contact; the word is the id too, by which an error is known again. */
export type ContactWord = 'subscribe' | 'unsubscribe' | 'probe' | 'unavailable';

/** Writes to contacts on behalf of users of ours, from bare JID to bare JID (RFC 6121, section 3.1.1). */
export class ContactStanzas {
  readonly #linkOf: (name: string) => Pick<LinkWay, 'link' | 'domains'> | undefined;

  constructor(linkOf: (name: string) => Pick<LinkWay, 'link' | 'domains'> | undefined) {
    this.#linkOf = linkOf;
  }

  /** Whether there is no link at present, or both have a JID on it. */
  canReach(way: ContactWay): boolean {
    return this.#linkOf(way.link) === undefined || this.#stanza(way, 'subscribe') !== undefined;
  }

  /** Resolves when the far side has taken it. @throws GatewayError 'peer-unreachable'. */
  async send(way: ContactWay, word: ContactWord): Promise<void> {
    const found = this.#linkOf(way.link);
    const stanza = this.#stanza(way, word);
    if (found === undefined || stanza === undefined) {
      throw new GatewayError('peer-unreachable', `no way over link ${way.link}`);
    }
    await found.link.send(stanza);
  }

  /** Says it where the link is up, and not at all where it is not. */
  post(way: ContactWay, word: ContactWord): void {
    const stanza = this.#stanza(way, word);
    if (stanza !== undefined) this.#linkOf(way.link)?.link.post(stanza);
  }

  #stanza({ watcher, presentity, link }: ContactWay, word: ContactWord): XmlElement | undefined {
    const domains = this.#linkOf(link)?.domains;
    const from = domains === undefined ? undefined : jidFromAddress(watcher, domains);
    const to = domains === undefined ? undefined : jidFromAddress(presentity, domains);
    if (from === undefined || to === undefined) return undefined;
    // Nothing is answered to `unavailable`.
    return presenceElement(word === 'unavailable' ? { from, to } : { from, to, id: word }, word, []);
  }
}
