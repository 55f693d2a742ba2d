import type { XmlElement } from '../cpim/xml.ts';
import type { Log } from '../core/log.ts';
import type { LinkEvents } from './link.ts';

/** Whoever takes what a link tells. A fault of his is ours, not the stream's: it must not come out in the socket's handler. */
export class LinkListener<Events extends LinkEvents = LinkEvents> {
  readonly #log: Log;
  #events: Events | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  get isThere(): boolean {
    return this.#events !== undefined;
  }

  listen(events: Events): void {
    this.#events = events;
  }

  tell(how: (events: Events) => void): void {
    const events = this.#events;
    if (events === undefined) return;
    try {
      how(events);
    } catch (thrown) {
      this.#log.error({ error: thrown }, 'link listener failed');
    }
  }

  /** @returns while the stanza is under way, a promise that settles with it */
  stanza(stanza: XmlElement): void | Promise<void> {
    let done: void | Promise<void> = undefined;
    this.tell((events) => {
      done = events.onStanza(stanza);
    });
    return done;
  }
}

/**
 * Waits for a stanza that is under way, whose handler may fail.
 *
 * @returns whether there is something to wait for; `settled` is called only then
 */
export function whenHandled(done: void | Promise<void>, log: Log, settled: () => void): boolean {
  if (!(done instanceof Promise)) return false;
  done.then(settled, (thrown: unknown) => {
    log.error({ error: thrown }, 'stanza handler failed');
    settled();
  });
  return true;
}
