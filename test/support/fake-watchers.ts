import { GatewayError } from '../../src/core/errors.ts';
import type { Rule, WatcherAdministration, WatcherLine } from '../../src/core/presence/rules.ts';
import { addressKey, type Address } from '../../src/cpim/address.ts';

/** A WatcherAdministration that keeps rules and makes a list of them and of the watchers that the test gives. */
export class FakeWatchers implements WatcherAdministration {
  readonly rules = new Map<string, Map<string, Rule>>();
  readonly invisible = new Set<string>();
  /** Watchers by owner. */
  readonly lines = new Map<string, readonly WatcherLine[]>();
  /** Former users of whom all was forgotten. */
  readonly forgotten: string[] = [];
  /** Set: whatever is asked for fails with it. */
  failure: Error | undefined;

  /** @param owners address keys of the users there are */
  constructor(owners: readonly string[]) {
    for (const owner of owners) this.rules.set(owner, new Map());
  }

  list(owner: Address): { readonly isInvisible: boolean; readonly watchers: readonly WatcherLine[] } {
    const rules = this.#rulesOf(owner);
    const lines = this.lines.get(addressKey(owner)) ?? [];
    const ofRules = [...rules]
      .filter(([subject]) => !lines.some(({ watcher }) => watcher === subject))
      .map(([watcher, rule]): WatcherLine => ({ watcher, subscriptions: 0, ...rule, isOwnRule: true }));
    return { isInvisible: this.invisible.has(addressKey(owner)), watchers: [...lines, ...ofRules] };
  }

  // Async, as the real one, so that what fails rejects.
  async set(owner: Address, subject: string, rule: Rule): Promise<void> {
    this.#rulesOf(owner).set(subject, rule);
  }

  async remove(owner: Address, subject: string): Promise<boolean> {
    return this.#rulesOf(owner).delete(subject);
  }

  async setInvisible(owner: Address, isInvisible: boolean): Promise<void> {
    this.#rulesOf(owner);
    if (isInvisible) this.invisible.add(addressKey(owner));
    else this.invisible.delete(addressKey(owner));
  }

  async forget(owner: Address): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    if (this.rules.has(addressKey(owner))) throw new GatewayError('policy-violated', 'inner words');
    this.forgotten.push(addressKey(owner));
  }

  #rulesOf(owner: Address): Map<string, Rule> {
    if (this.failure !== undefined) throw this.failure;
    const rules = this.rules.get(addressKey(owner));
    if (rules === undefined) throw new GatewayError('recipient-unknown', 'inner words');
    return rules;
  }
}
