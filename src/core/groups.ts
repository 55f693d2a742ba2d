/** Things by keys that several of them may share, in the order in which they were added. */
export class Groups<T> {
  readonly #byKey = new Map<string, Set<T>>();

  of(key: string): readonly T[] {
    return [...(this.#byKey.get(key) ?? [])];
  }

  /** Of those that there are things of. */
  keys(): Iterable<string> {
    return this.#byKey.keys();
  }

  add(key: string, thing: T): void {
    const group = this.#byKey.get(key);
    if (group === undefined) this.#byKey.set(key, new Set([thing]));
    else group.add(thing);
  }

  remove(key: string, thing: T): void {
    const group = this.#byKey.get(key);
    if (group?.delete(thing) === true && group.size === 0) this.#byKey.delete(key);
  }
}
