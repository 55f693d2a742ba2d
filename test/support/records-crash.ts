export const CRASH_KINDS = ['subscription', 'unsettled'] as const;
const KEYS = 1_000;

/** What change n does, to which record. */
export function changeOf(n: number): { readonly kind: number; readonly key: string; readonly isRemoved: boolean } {
  return { kind: n % 2, key: `key-${(n * 7) % KEYS}`, isRemoved: n % 11 === 5 };
}

/** The records, by `kind/key`, after changes up to and with `last`, on top of what was there before `first`. */
export function stateAfter(before: ReadonlyMap<string, number>, first: number, last: number): Map<string, number> {
  const state = new Map(before);
  for (let n = first; n <= last; n += 1) {
    const { kind, key, isRemoved } = changeOf(n);
    const name = `${CRASH_KINDS[kind]}/${key}`;
    if (isRemoved) state.delete(name);
    else state.set(name, n);
  }
  return state;
}
