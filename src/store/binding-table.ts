import type { Binding } from '../core/ports.ts';

/** The bindings of all users in memory: what every BindingStore answers from. */
export abstract class BindingTable {
  readonly #byUser = new Map<string, readonly Binding[]>();

  of(userKey: string, nowMs: number): readonly Binding[] {
    const bindings = this.#byUser.get(userKey);
    if (bindings === undefined) return [];
    return bindings.every(({ expiresAtMs }) => expiresAtMs > nowMs)
      ? bindings
      : bindings.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  }

  users(): Iterable<string> {
    return this.#byUser.keys();
  }

  hasExpired(userKey: string, nowMs: number): boolean {
    return this.#byUser.get(userKey)?.some(({ expiresAtMs }) => expiresAtMs <= nowMs) === true;
  }

  removeExpired(userKey: string, nowMs: number): void {
    if (!this.hasExpired(userKey, nowMs)) return;
    const live = this.of(userKey, nowMs);
    // With some left it is not worth a write: whoever reads the row later knows the time too.
    if (live.length === 0) this.forget(userKey);
    this.set(userKey, live);
  }

  count(nowMs: number): number {
    let count = 0;
    for (const bindings of this.#byUser.values()) {
      if (bindings.some(({ expiresAtMs }) => expiresAtMs > nowMs)) count += 1;
    }
    return count;
  }

  /** What is stored from now on. */
  protected set(userKey: string, bindings: readonly Binding[]): void {
    if (bindings.length === 0) this.#byUser.delete(userKey);
    else this.#byUser.set(userKey, [...bindings]);
  }

  /** Lets the medium forget a user who has no binding any more. */
  protected abstract forget(userKey: string): void;
}
