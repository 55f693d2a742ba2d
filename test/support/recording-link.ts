import { GatewayError } from '../../src/core/errors.ts';
import { writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import type { LinkEvents, LinkState, XmppLink } from '../../src/xmpp/link.ts';

type Waiting = { readonly taken: () => void; readonly lost: (error: GatewayError) => void };

/** A link that keeps what it is given. It is up and confirms at once, unless the test says otherwise. */
export class RecordingLink implements XmppLink {
  readonly name: string;
  /** Everything given while it was up, by `send` and `post`, in order. */
  readonly stanzas: XmlElement[] = [];
  /** Set: what is sent waits for `confirm`. */
  isHolding = false;
  /** Set: what cannot be written, by its text. */
  refuses: ((text: string) => GatewayError | undefined) | undefined;
  #isUp = true;
  #waiting: Waiting[] = [];

  constructor(name = 'office') {
    this.name = name;
  }

  /** What was given since the last call, as text. */
  take(): string[] {
    return this.stanzas.splice(0).map(writeXml);
  }

  confirm(): void {
    for (const { taken } of this.#waiting.splice(0)) taken();
  }

  down(): void {
    this.#isUp = false;
    for (const { lost } of this.#waiting.splice(0)) lost(unreachable());
  }

  up(): void {
    this.#isUp = true;
  }

  start(events: LinkEvents): Promise<void> {
    events.onUp();
    return Promise.resolve();
  }

  async send(stanza: XmlElement): Promise<void> {
    if (!this.#isUp) throw unreachable();
    const refusal = this.refuses?.(writeXml(stanza));
    if (refusal !== undefined) throw refusal;
    this.stanzas.push(stanza);
    if (!this.isHolding) return;
    await new Promise<void>((taken, lost) => {
      this.#waiting.push({ taken, lost });
    });
  }

  post(stanza: XmlElement): void {
    if (this.#isUp) this.stanzas.push(stanza);
  }

  state(): LinkState {
    return { at: this.#isUp ? 'up' : 'down', sinceMs: 0, unconfirmed: this.#waiting.length };
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

function unreachable(): GatewayError {
  return new GatewayError('peer-unreachable', 'the test has taken the link down');
}
