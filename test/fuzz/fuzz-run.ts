import { seededRandom } from '../support/seeded-random.ts';

/** What a fuzz test runs: FUZZ_SEED repeats a run, FUZZ_CASE one case of it; FUZZ_CASES says how many. */
export class FuzzRun {
  readonly seed: number;
  readonly cases: number;
  /** The one case that was asked for. */
  readonly only: number | undefined;

  constructor(defaults: { readonly seed: number; readonly cases: number }) {
    const { FUZZ_SEED, FUZZ_CASES, FUZZ_CASE } = process.env;
    this.seed = Number(FUZZ_SEED ?? defaults.seed);
    this.cases = Number(FUZZ_CASES ?? defaults.cases);
    this.only = FUZZ_CASE === undefined ? undefined : Number(FUZZ_CASE);
  }

  get title(): string {
    return `${this.only === undefined ? `${this.cases} mutations` : `case ${this.only}`} of seed ${this.seed}`;
  }

  *numbers(): Generator<number> {
    for (let number = this.only ?? 0; number <= (this.only ?? this.cases - 1); number += 1) yield number;
  }

  /** What the case throws, with how to repeat it. */
  fault(number: number, what: string, thrown: unknown): Error {
    return new Error(`case ${number} (FUZZ_SEED=${this.seed} FUZZ_CASE=${number}): ${what}`, { cause: thrown });
  }
}

/** The seed of one case of a run. */
export function caseSeed(seed: number, number: number): number {
  return (seed * 1_000_003 + number) >>> 0;
}

/** Whole numbers below a bound, the same for the same seed and case. */
export function caseNumbers(seed: number, number: number): (bound: number) => number {
  const random = seededRandom(caseSeed(seed, number));
  return (bound) => Math.floor(random() * bound);
}
