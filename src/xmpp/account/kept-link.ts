import type { XmlElement } from '../../cpim/xml.ts';
import type { LinkState, XmppLink } from '../link.ts';

export type KeptLinkDeps = {
  readonly name: string;
  /** The account's own link, while this node keeps the accounts. */
  readonly own: () => XmppLink | undefined;
  /** The same on the node that keeps them. */
  readonly far: {
    send(stanza: XmlElement): Promise<void>;
    post(stanza: XmlElement): void;
    state(): Omit<LinkState, 'unconfirmed'>;
  };
};

/**
 * The link of an account as every one of several nodes has it: one of them keeps all accounts, the others send over that
 * one. It is started and stopped where the accounts are kept; here it is only there to be written to.
 *
 * Keeps the promises of `XmppLink` about sending, but for `state().unconfirmed`, which is known to the keeper only.
 */
export class KeptLink implements XmppLink {
  readonly name: string;
  readonly #deps: KeptLinkDeps;

  constructor(deps: KeptLinkDeps) {
    this.name = deps.name;
    this.#deps = deps;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  send(stanza: XmlElement): Promise<void> {
    return (this.#deps.own() ?? this.#deps.far).send(stanza);
  }

  post(stanza: XmlElement): void {
    (this.#deps.own() ?? this.#deps.far).post(stanza);
  }

  state(): LinkState {
    return this.#deps.own()?.state() ?? { ...this.#deps.far.state(), unconfirmed: 0 };
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}
