/** Things by keys that several of them may share, in the order in which they were added. */
export class Groups<T> {
  readonly #byKey = new Map<string, readonly T[]>();

  of(key: string): readonly T[] {
    return this.#byKey.get(key) ?? [];
  }

  /** Of those that there are things of. */
  keys(): Iterable<string> {
    return this.#byKey.keys();
  }

  add(key: string, thing: T): void {
    this.#byKey.set(key, [...this.of(key), thing]);
  }

  remove(key: string, thing: T): void {
    const others = this.of(key).filter((other) => other !== thing);
    if (others.length > 0) this.#byKey.set(key, others);
    else this.#byKey.delete(key);
  }
}
