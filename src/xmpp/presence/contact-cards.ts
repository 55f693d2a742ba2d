import type { Address } from '../../cpim/address.ts';
import type { ContactCard } from '../../cpim/presence/document.ts';
import { childOf, textOf, type XmlElement } from '../../cpim/xml.ts';
import type { Clock } from '../../core/ports.ts';
import { RecentMap } from '../../core/recent-map.ts';
import { jidFromAddress } from '../map-address.ts';
import { cutText } from '../stanza-content.ts';
import { VCARD_NAMESPACE } from './own-caps.ts';
import { NICK_MAX } from './presence-content.ts';
import type { LinkWay } from './presence-notifier.ts';
import type { ContactWay } from './contact-stanzas.ts';

export type ContactCardsDeps = {
  readonly linkOf: (name: string) => Pick<LinkWay, 'domains' | 'requests'> | undefined;
  readonly clock: Clock;
};

/** What is known of a contact; none: he has none, or does not show it. */
type Known = { readonly card?: ContactCard };

const KNOWN_MS = 86_400_000;
const KNOWN_MAX = 10_000;
/** Contacts to be asked at once: over it they are asked when their presence is next confirmed. */
const WAITING_MAX = 10_000;
/** Questions in one tick; the first tick is late, so that presence goes first. */
const PER_TICK = 5;
const FIRST_MS = 3_000;
const TICK_MS = 500;
const URL = /^https?:\/\/[^\s<>"]{1,1000}$/;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

/**
 * What XMPP contacts are called, from their vCards (XEP-0054): asked once a day for each, a few at a time, in the name of
 * the user who watches him. Pictures in it are left there; one at a URL is handed on as that URL (RFC 4482).
 */
export class ContactCards {
  readonly #deps: ContactCardsDeps;
  readonly #known: RecentMap<Known>;
  /** By contact: who asks, and who is told. */
  readonly #waiting = new Map<
    Address,
    { readonly way: ContactWay; readonly told: Array<(card: ContactCard) => void> }
  >();
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(deps: ContactCardsDeps) {
    this.#deps = deps;
    this.#known = new RecentMap({ keepMs: KNOWN_MS, max: KNOWN_MAX });
  }

  /** Finds the card of a contact; `told` is called where there is one, soon or at once. */
  want(way: ContactWay, told: (card: ContactCard) => void): void {
    const { presentity } = way;
    const known = this.#known.get(presentity, this.#deps.clock.nowMs());
    if (known !== undefined) {
      if (known.card !== undefined) told(known.card);
      return;
    }
    const waiting = this.#waiting.get(presentity);
    if (waiting !== undefined) waiting.told.push(told);
    else if (this.#waiting.size < WAITING_MAX) this.#waiting.set(presentity, { way, told: [told] });
    if (this.#cancel === undefined && !this.#isStopped) this.#tickAfter(FIRST_MS);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    this.#waiting.clear();
  }

  #tickAfter(delayMs: number): void {
    this.#cancel = this.#deps.clock.after(delayMs, () => this.#tick());
  }

  #tick(): void {
    this.#cancel = undefined;
    const next = [...this.#waiting].slice(0, PER_TICK);
    for (const [contact, { way, told }] of next) {
      this.#waiting.delete(contact);
      void this.#ask(way).then((known) => {
        if (known?.card !== undefined) for (const tell of told) tell(known.card);
      });
    }
    if (this.#waiting.size > 0) this.#tickAfter(TICK_MS);
  }

  /** Undefined where there was no answer: he is asked again another time. */
  async #ask({ watcher, presentity, link }: ContactWay): Promise<Known | undefined> {
    const found = this.#deps.linkOf(link);
    const from = found === undefined ? undefined : jidFromAddress(watcher, found.domains);
    const to = found === undefined ? undefined : jidFromAddress(presentity, found.domains);
    if (found === undefined || from === undefined || to === undefined) return undefined;
    const answer = await found.requests.ask(from, to, {
      name: 'vCard',
      attrs: { xmlns: VCARD_NAMESPACE },
      children: [],
    });
    if (answer === undefined) return undefined;
    const vcard = answer.attrs['type'] === 'result' ? childOf(answer, 'vCard', VCARD_NAMESPACE) : undefined;
    const card = vcard === undefined ? undefined : cardFromVcard(vcard);
    const known = card === undefined ? {} : { card };
    this.#known.set(presentity, known, this.#deps.clock.nowMs());
    return known;
  }
}

/** What of a vCard a contact card holds; undefined where there is nothing of it. */
export function cardFromVcard(vcard: XmlElement): ContactCard | undefined {
  const text = (parent: XmlElement | undefined, name: string): string | undefined => {
    const child = parent === undefined ? undefined : childOf(parent, name);
    const found = child === undefined ? '' : textOf(child).replace(CONTROLS, ' ').trim();
    return found === '' ? undefined : found;
  };
  const url = (found: string | undefined): string | undefined =>
    found !== undefined && URL.test(found) ? found : undefined;
  const displayName = text(vcard, 'FN') ?? text(vcard, 'NICKNAME');
  const icon = url(text(childOf(vcard, 'PHOTO'), 'EXTVAL'));
  const homepage = url(text(vcard, 'URL'));
  if (displayName === undefined && icon === undefined && homepage === undefined) return undefined;
  return {
    ...(displayName === undefined ? {} : { displayName: cutText(displayName, NICK_MAX) }),
    ...(icon === undefined ? {} : { icon }),
    ...(homepage === undefined ? {} : { homepage }),
  };
}
