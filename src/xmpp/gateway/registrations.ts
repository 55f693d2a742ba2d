import { addressKey, type Address } from '../../cpim/address.ts';
import { childOf, type XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Records } from '../../core/ports.ts';
import { Turns } from '../../core/turns.ts';
import { bareJid, formatJid, type Jid, parseJid } from '../jid.ts';
import type { Handler } from './ask.ts';

/** XEP-0077. */
export const REGISTER_NAMESPACE = 'jabber:iq:register';

/** An XMPP user who has registered with the gateway; the key of the record is `<link>\n<address key>`. */
export type GatewayUserRecord = { readonly jid: string; readonly sinceMs: number };

export type RegistrationsDeps = {
  /** The link's name. */
  readonly link: string;
  readonly records: Records<GatewayUserRecord>;
  /** What the gateway is called in the instructions: the SIP domain. */
  readonly domain: string;
  /** Says to a user that the gateway wants to see him, or does no more: presence of these types from the domain. */
  readonly say: (user: Jid, type: 'subscribe' | 'unsubscribe' | 'unsubscribed' | 'unavailable') => void;
  /** Told of each client from which a user has registered; he is answered by then. */
  readonly registered: (client: Jid) => void;
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly log: Log;
};

const REGISTERED_MAX = 100_000;

/**
 * XMPP users who have registered with the gateway (XEP-0077, XEP-0100, section 4.1): nothing is asked of them, since their
 * own server vouches for who they are. What a registration has resolved for is durable.
 */
export class Registrations {
  readonly #deps: RegistrationsDeps;
  /** JIDs by address key. */
  readonly #users = new Map<string, Jid>();
  readonly #turns = new Turns();

  constructor(deps: RegistrationsDeps) {
    this.#deps = deps;
    const prefix = `${deps.link}\n`;
    for (const [key, { jid }] of deps.records.all()) {
      const user = key.startsWith(prefix) ? parseJid(jid) : undefined;
      if (user !== undefined) this.#users.set(key.slice(prefix.length), user);
    }
  }

  has(user: Address): boolean {
    return this.#users.has(addressKey(user));
  }

  /** Bare JIDs. */
  get all(): Iterable<Jid> {
    return this.#users.values();
  }

  readonly get: Handler = ({ asker }) => {
    const text = `To register with the gateway to SIP users of ${this.#deps.domain}, just send this form: nothing is asked of you.`;
    return {
      name: 'query',
      attrs: { xmlns: REGISTER_NAMESPACE },
      children: [...(this.has(asker) ? [element('registered', [])] : []), element('instructions', [text])],
    };
  };

  /** @throws GatewayError 'registration-required' to end what there is not, 'policy-violated', 'store-unavailable' */
  readonly set: Handler = async ({ asker, from, payload }) => {
    const key = addressKey(asker);
    const isEnd = childOf(payload, 'remove') !== undefined;
    await this.#turns.run(key, () => (isEnd ? this.#remove(key, from) : this.#add(key, from)));
    return undefined;
  };

  async #add(key: string, from: Jid): Promise<void> {
    const { records, link, clock, log, say, registered } = this.#deps;
    const user = bareJid(from);
    if (!this.#users.has(key)) {
      if (this.#users.size >= REGISTERED_MAX) {
        throw new GatewayError('policy-violated', `more than ${REGISTERED_MAX} users registered with the gateway`);
      }
      await records.put(`${link}\n${key}`, { jid: formatJid(user), sinceMs: clock.nowMs() });
      this.#users.set(key, user);
      log.info({ jid: formatJid(user) }, 'registered with the gateway');
    }
    // After the answer, so that no client takes the question for that of a stranger.
    clock.after(0, () => {
      say(user, 'subscribe');
      registered(from);
    });
  }

  async #remove(key: string, from: Jid): Promise<void> {
    const { records, link, clock, log, say } = this.#deps;
    if (!this.#users.has(key)) throw new GatewayError('registration-required', 'end of a registration there is not');
    await records.remove(`${link}\n${key}`);
    this.#users.delete(key);
    const user = bareJid(from);
    log.info({ jid: formatJid(user) }, 'no longer registered with the gateway');
    clock.after(0, () => {
      for (const type of ['unsubscribe', 'unsubscribed', 'unavailable'] as const) say(user, type);
    });
  }
}

function element(name: string, children: XmlElement['children']): XmlElement {
  return { name, attrs: {}, children };
}
