import { Fifo } from './fifo.ts';
import type { LiveEntry } from './lane.ts';

type Wanted = { readonly entries: readonly LiveEntry[]; readonly ended: (isRead: boolean) => void };

/** So many reads wait for the medium at once: what is read long before its turn only fills memory. */
const AT_ONCE = 32;

/** Reads operations that were not kept in memory, a few lanes at a time. */
export class OperationReader {
  readonly #load: (entries: readonly LiveEntry[]) => Promise<void>;
  readonly #waiting = new Fifo<Wanted>();
  #underWay = 0;

  constructor(load: (entries: readonly LiveEntry[]) => Promise<void>) {
    this.#load = load;
  }

  /** @param ended is told whether the medium answered; an entry it does not have stays without operation */
  read(entries: readonly LiveEntry[], ended: (isRead: boolean) => void): void {
    this.#waiting.push({ entries, ended });
    this.#next();
  }

  #next(): void {
    while (this.#underWay < AT_ONCE) {
      const wanted = this.#waiting.shift();
      if (wanted === undefined) return;
      this.#underWay += 1;
      const answered = (isRead: boolean): void => {
        this.#underWay -= 1;
        wanted.ended(isRead);
        this.#next();
      };
      this.#load(wanted.entries).then(
        () => answered(true),
        () => answered(false),
      );
    }
  }
}
