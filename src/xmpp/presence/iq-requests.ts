import type { XmlElement } from '../../cpim/xml.ts';
import { DueList } from '../../core/due-list.ts';
import type { Clock } from '../../core/ports.ts';
import { formatJid, type Jid, parseJid } from '../jid.ts';

export type IqRequestsDeps = {
  readonly post: (stanza: XmlElement) => void;
  readonly clock: Clock;
  /** A token that nobody can guess. */
  readonly newToken: () => string;
};

type Asked = {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly answer: (element: XmlElement | undefined) => void;
};

/** How long an answer is waited for, ms. */
const WAIT_MS = 10_000;
/** Requests without an answer at once; what is asked over it counts as not answered. */
const ASKED_MAX = 2_000;
const LOOK_MS = 10_000;

/** Our own iq requests over one link: each answer goes to whoever asked, if it comes from whom he asked. */
export class IqRequests {
  readonly #deps: IqRequestsDeps;
  readonly #asked = new Map<string, Asked>();
  readonly #due: DueList<Asked>;

  constructor(deps: IqRequestsDeps) {
    this.#deps = deps;
    this.#due = new DueList(deps.clock, LOOK_MS, (asked) => this.#settle(asked, undefined));
  }

  /** Asks and resolves with the answer, result or error; undefined when there was none in time. */
  ask(from: Jid, to: Jid, payload: XmlElement, type: 'get' | 'set' = 'get'): Promise<XmlElement | undefined> {
    if (this.#asked.size >= ASKED_MAX) return Promise.resolve(undefined);
    const { post, clock, newToken } = this.#deps;
    return new Promise((answer) => {
      const asked = { id: newToken(), from: formatJid(from), to: formatJid(to), answer };
      this.#asked.set(asked.id, asked);
      this.#due.add(clock.nowMs() + WAIT_MS, asked);
      const attrs = { type, id: asked.id, from: asked.from, to: asked.to };
      post({ name: 'iq', attrs, children: [payload] });
    });
  }

  /** Takes a result or error; says whether it answers anything that was asked. */
  answered(element: XmlElement): boolean {
    const { id, from, to } = element.attrs;
    const asked = id === undefined ? undefined : this.#asked.get(id);
    if (asked === undefined || !isSameJid(from, asked.to) || !isSameJid(to, asked.from)) return false;
    this.#settle(asked, element);
    return true;
  }

  /** The link is lost, and with it every answer. */
  lost(): void {
    for (const asked of [...this.#asked.values()]) this.#settle(asked, undefined);
  }

  stop(): void {
    this.#due.stop();
    this.lost();
  }

  #settle(asked: Asked, element: XmlElement | undefined): void {
    if (this.#asked.delete(asked.id)) asked.answer(element);
  }
}

function isSameJid(text: string | undefined, own: string): boolean {
  const jid = text === undefined ? undefined : parseJid(text);
  return jid !== undefined && formatJid(jid) === own;
}
