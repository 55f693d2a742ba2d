import type { XmlElement } from '../cpim/xml.ts';

/** How a link stands; shown by health and console. */
export type LinkState = {
  readonly at: 'connecting' | 'up' | 'down' | 'stopped';
  readonly sinceMs: number;
  /** Why it is down: what the far side or the system said, and what to do about it. */
  readonly reason?: string;
  /** Stanzas written and not yet known to be taken. */
  readonly unconfirmed: number;
};

export type LinkEvents = {
  /**
   * One stanza came in, size and form checked; its `from` and `to` are not judged yet. Must not throw or block.
   * A promise says that it is under way until that settles; see promise 11.
   */
  onStanza(stanza: XmlElement): void | Promise<void>;
  /** The link is up; stanzas can be sent from within. */
  onUp(): void;
  /** It was up and is lost. */
  onDown(reason: string): void;
};

/**
 * A way to XMPP domains: stanzas in, stanzas out, and the knowledge that they were taken.
 *
 * Promises of every implementation, checked by `test/contract/xmpp-link.ts`:
 *  1. `send` resolves when the far side has taken the stanza: an acknowledgement or the answer to a ping that was sent
 *     after it on the same stream. Written to a socket is not taken.
 *  2. `send` rejects with GatewayError('peer-unreachable') when the link is down or goes down before that; the stanza
 *     may have been taken all the same. It rejects at once, and writes nothing, while the link is down. A link that can go
 *     on with its session leaves it open instead until that is decided, within ten minutes.
 *  3. Stanzas leave in the order of the calls, on one stream; when one is rejected for a lost link, so are all later ones.
 *  4. No stanza given here can end the stream: illegal characters are replaced, and one that is too large or whose
 *     `from` is not ours is rejected with 'content-too-large' or 'internal' without being written.
 *  5. No input ends the process; input that is no well-formed, bounded XML without DTD ends the stream, which is then
 *     opened again.
 *  6. A link that is lost or refused is tried again with growing, jittered pauses until `stop`, and is back within 30 s
 *     of its peer. A wrong secret is said clearly in `state().reason` and the log, and tried again too; where it is a
 *     user's own password, not before that has been changed.
 *  7. At most `window` stanzas wait for confirmation; further calls of `send` wait in memory, in order.
 *  8. Stanzas come to `onStanza` in the order of the stream, text intact whatever the packets it came in.
 *  9. `stop` waits for unconfirmed stanzas, and for answers that are not written, at most `graceMs`, ends the stream
 *     properly, and connects no more.
 * 10. `post` writes without waiting for confirmation and outside the window, for answers that are worth nothing once
 *     the link is gone: while it is down they are dropped. What promise 4 says holds for them too.
 * 11. While many stanzas that came in are under way, or a peer that does not read leaves answers unwritten, nothing
 *     more is read from the stream, so that what is held in memory stays bounded. Reading goes on by itself.
 */
export interface XmppLink {
  readonly name: string;
  /** Starts connecting; resolves when the first try has ended, either way. */
  start(events: LinkEvents): Promise<void>;
  send(stanza: XmlElement): Promise<void>;
  post(stanza: XmlElement): void;
  state(): LinkState;
  stop(graceMs: number): Promise<void>;
}
