import { addressKey } from '../../cpim/address.ts';
import { Alarms } from '../alarms.ts';
import { GatewayError } from '../errors.ts';
import { grantedSeconds, type ExpiresLimits } from '../granted-seconds.ts';
import type { Log } from '../log.ts';
import type { Clock, Records } from '../ports.ts';
import { Turns } from '../turns.ts';
import type { Publication, Published, PublishRequest } from './publication.ts';

export type PublicationDeps = {
  /** Kind `publication`; the key is the entity-tag. */
  readonly records: Records<Publication>;
  readonly limits: { readonly expires: ExpiresLimits; readonly publicationsPerUser: number };
  readonly clock: Clock;
  readonly log: Log;
  /** A token nobody can guess and that never comes again: an entity-tag. */
  readonly newToken: () => string;
  /**
   * Told, by the key of the presentity, right before what watchers may see changes in the store: what it stores with a
   * `later` variant becomes durable with the change, or without it, never after it.
   */
  readonly beforeChange: (presentityKey: string) => void;
  /** Told when what watchers may see has changed. */
  readonly changed: (presentityKey: string) => void;
};

type Held = { readonly etag: string; readonly publication: Publication };

/**
 * What presentities have published: the event state compositor of RFC 3903, its composition left out (`compositor.ts`).
 * All of it is in memory; what `publish` has resolved for is durable.
 */
export class PublicationService {
  readonly #deps: PublicationDeps;
  /** By presentity, oldest number first; no empty lists. */
  readonly #held = new Map<string, readonly Held[]>();
  /** RFC 3903, section 6: PUBLISH requests for one presentity in the order in which they come. */
  readonly #turns = new Turns();
  /** When the first publication of each presentity expires. */
  readonly #alarms: Alarms;
  #lastNumber = 0;

  constructor(deps: PublicationDeps) {
    this.#deps = deps;
    this.#alarms = new Alarms(deps.clock, (presentityKey) => this.#expire(presentityKey));
    this.#load();
  }

  /** Notices from now on when publications expire. Those that did while no process ran are reported within the call. */
  start(): void {
    for (const presentityKey of [...this.#held.keys()]) this.#expire(presentityKey);
  }

  stop(): void {
    this.#alarms.stop();
  }

  /**
   * Carries out a PUBLISH, whole or not at all. Resolves when it is durable.
   *
   * @throws GatewayError 'precondition-failed' for an entity-tag that is none of this presentity, 'interval-too-brief'
   *   (with `minExpiresSeconds`), 'request-malformed' where there is neither tag nor document, 'store-unavailable'.
   * @see RFC 3903, section 6
   */
  publish(request: PublishRequest): Promise<Published> {
    const presentityKey = addressKey(request.presentity);
    return this.#turns.run(presentityKey, () => this.#apply(presentityKey, request));
  }

  /** The publications of a presentity that have not expired, oldest first. Answers from memory. */
  of(presentityKey: string): readonly Publication[] {
    const held = this.#held.get(presentityKey);
    if (held === undefined) return [];
    const nowMs = this.#deps.clock.nowMs();
    const live: Publication[] = [];
    for (const { publication } of held) if (publication.expiresAtMs > nowMs) live.push(publication);
    return live;
  }

  /** Publications in memory. */
  count(): number {
    let count = 0;
    for (const held of this.#held.values()) count += held.length;
    return count;
  }

  /** Address keys of those who have published something. */
  owners(): Iterable<string> {
    return this.#held.keys();
  }

  /** Removes all that somebody has published. @throws GatewayError 'store-unavailable'. */
  forget(presentityKey: string): Promise<void> {
    return this.#turns.run(presentityKey, async () => {
      for (const held of [...(this.#held.get(presentityKey) ?? [])]) await this.#remove(presentityKey, held);
    });
  }

  async #apply(presentityKey: string, request: PublishRequest): Promise<Published> {
    const { limits, clock } = this.#deps;
    const nowMs = clock.nowMs();
    // The order of the checks is that of RFC 3903, section 6, steps 3 to 5.
    const known = this.#match(presentityKey, request.ifMatch, nowMs);
    const expiresSeconds = grantedSeconds(request.expiresSeconds, limits.expires);
    const document = request.document ?? known?.publication.document;
    if (document === undefined) {
      throw new GatewayError('request-malformed', 'PUBLISH with neither entity-tag nor document');
    }
    const etag = this.#deps.newToken();
    if (expiresSeconds === 0) {
      // A first publication that is over at once changes nothing and is not kept (RFC 3903, section 6, step 5).
      if (known !== undefined) await this.#remove(presentityKey, known);
      return { etag, expiresSeconds };
    }
    const before = known?.publication;
    const isChange = request.document !== undefined;
    const publication: Publication = {
      presentity: before?.presentity ?? request.presentity,
      number: before?.number ?? (this.#lastNumber += 1),
      document,
      expiresAtMs: nowMs + expiresSeconds * 1_000,
      // Also when the clock was set back: the newer of one number must be known as such.
      publishedAtMs: before === undefined ? nowMs : Math.max(nowMs, before.publishedAtMs + 1),
      changedAtMs: before === undefined || isChange ? nowMs : before.changedAtMs,
    };
    await this.#store(presentityKey, { etag, publication }, known, isChange);
    return { etag, expiresSeconds };
  }

  #match(presentityKey: string, ifMatch: string | undefined, nowMs: number): Held | undefined {
    if (ifMatch === undefined) return undefined;
    const known = this.#held.get(presentityKey)?.find(({ etag }) => etag === ifMatch);
    if (known === undefined || known.publication.expiresAtMs <= nowMs) {
      throw new GatewayError('precondition-failed', 'no publication has this entity-tag');
    }
    return known;
  }

  async #store(presentityKey: string, held: Held, known: Held | undefined, isChange: boolean): Promise<void> {
    const { records, limits, log, beforeChange, changed } = this.#deps;
    // A refresh is nothing that watchers could see.
    if (isChange) beforeChange(presentityKey);
    // The new one first: after a crash between the two, the newer of one number counts.
    await records.put(held.etag, held.publication);
    const before = this.#held.get(presentityKey) ?? [];
    let after = known === undefined ? [...before, held] : before.map((one) => (one === known ? held : one));
    if (known !== undefined) records.removeLater(known.etag);
    if (after.length > limits.publicationsPerUser) {
      after = this.#evict(after);
      log.info({ presentity: presentityKey, publications: after.length }, 'publication displaced by a newer one');
    }
    this.#set(presentityKey, after);
    const fields = { presentity: presentityKey, publication: held.publication.number };
    log.info(fields, isChange ? 'publication stored' : 'publication refreshed');
    if (isChange) changed(presentityKey);
  }

  async #remove(presentityKey: string, known: Held): Promise<void> {
    const { records, log, beforeChange, changed } = this.#deps;
    beforeChange(presentityKey);
    await records.remove(known.etag);
    this.#set(
      presentityKey,
      (this.#held.get(presentityKey) ?? []).filter((one) => one !== known),
    );
    log.info({ presentity: presentityKey, publication: known.publication.number }, 'publication removed');
    changed(presentityKey);
  }

  /**
   * Leaves as many as are allowed. A phone that restarts again and again leaves publications that nobody refreshes;
   * they are the ones that go.
   */
  #evict(all: readonly Held[]): Held[] {
    const { records, limits } = this.#deps;
    const oldestFirst = [...all].sort((a, b) => a.publication.publishedAtMs - b.publication.publishedAtMs);
    const gone = new Set(oldestFirst.slice(0, all.length - limits.publicationsPerUser));
    for (const { etag } of gone) records.removeLater(etag);
    return all.filter((held) => !gone.has(held));
  }

  /** Takes out what has expired, if anything, and waits for the next. */
  #expire(presentityKey: string): void {
    void this.#turns.run(presentityKey, () => {
      const { records, clock, log, beforeChange, changed } = this.#deps;
      const nowMs = clock.nowMs();
      const held = this.#held.get(presentityKey) ?? [];
      const live = held.filter(({ publication }) => publication.expiresAtMs > nowMs);
      if (live.length === held.length) {
        this.#arm(presentityKey, live);
        return;
      }
      beforeChange(presentityKey);
      for (const one of held) if (!live.includes(one)) records.removeLater(one.etag);
      this.#set(presentityKey, live);
      log.info({ presentity: presentityKey, publications: live.length }, 'publication expired');
      changed(presentityKey);
    });
  }

  #set(presentityKey: string, held: readonly Held[]): void {
    if (held.length === 0) this.#held.delete(presentityKey);
    else this.#held.set(presentityKey, held);
    this.#arm(presentityKey, held);
  }

  #arm(presentityKey: string, held: readonly Held[]): void {
    this.#alarms.setFirst(
      presentityKey,
      held.map(({ publication }) => publication),
    );
  }

  #load(): void {
    const { records, limits } = this.#deps;
    const found = new Map<string, Held[]>();
    for (const [etag, publication] of records.all()) {
      this.#lastNumber = Math.max(this.#lastNumber, publication.number);
      const presentityKey = addressKey(publication.presentity);
      const list = found.get(presentityKey);
      if (list === undefined) found.set(presentityKey, [{ etag, publication }]);
      else list.push({ etag, publication });
    }
    for (const [presentityKey, list] of found) {
      const newest = new Map<number, Held>();
      for (const held of list) {
        const { number, publishedAtMs } = held.publication;
        const other = newest.get(number);
        const isNewer = other === undefined || other.publication.publishedAtMs < publishedAtMs;
        if (isNewer) newest.set(number, held);
        const older = isNewer ? other : held;
        if (older !== undefined) records.removeLater(older.etag);
      }
      const inOrder = [...newest.values()].sort((a, b) => a.publication.number - b.publication.number);
      this.#held.set(presentityKey, inOrder.length > limits.publicationsPerUser ? this.#evict(inOrder) : inOrder);
    }
  }
}
