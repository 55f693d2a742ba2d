import { GatewayError } from '../../src/core/errors.ts';
import type { Records } from '../../src/core/ports.ts';
import { settled } from './fake-clock.ts';

/** One call as it was made, over all kinds of a store in one order. */
export type RecordCall = {
  readonly kind: string;
  readonly call: 'put' | 'putLater' | 'remove' | 'removeLater';
  readonly key: string;
  /** As given, copied at the time of the call. */
  readonly value?: unknown;
};

type Change = Pick<RecordCall, 'kind' | 'key'> & { readonly text: string | undefined };
type Waiting = Change & { readonly waiter?: { resolve(): void; reject(error: GatewayError): void } };
type Kept = Map<string, Map<string, string>>;

/**
 * A store of records for tests, in this process's memory. Values go through JSON as they do in a real one.
 *
 * Nothing is durable before the next turn of the event loop, so that a test sees what was sent too early: `settled()`
 * lets it become so. `crash` gives what a process that is killed now would leave.
 */
export class MemoryRecordStore {
  /** Every call, in order; a test may empty it. */
  readonly journal: RecordCall[] = [];
  /** Set: the medium fails as a full disk does. What is tried again goes with the next call after it works again. */
  failing = false;
  /** Set: nothing becomes durable, and no `put` resolves, until it is cleared; see `release`. */
  holding = false;
  readonly #durable: Kept;
  #waiting: Waiting[] = [];
  #isScheduled = false;

  constructor(durable: Kept = new Map()) {
    this.#durable = durable;
  }

  records<T>(kind: string): Records<T> {
    return new MemoryRecords<T>(
      () => this.#textsOf(kind),
      (call, key, value) => this.#call(kind, call, key, value),
    );
  }

  /** What a new process finds when this one is killed now. The old store goes on by itself, for nobody. */
  crash(): MemoryRecordStore {
    return new MemoryRecordStore(new Map([...this.#durable].map(([kind, texts]) => [kind, new Map(texts)])));
  }

  /** Lets everything that was held, or has failed and is tried again, become durable. */
  async release(): Promise<void> {
    this.holding = false;
    this.#schedule();
    await settled();
    await settled();
  }

  /** The calls of one kind, as `put key`. */
  calls(kind: string): string[] {
    return this.journal.filter((call) => call.kind === kind).map(({ call, key }) => `${call} ${key}`);
  }

  #textsOf(kind: string): ReadonlyMap<string, string> {
    const texts = new Map(this.#durable.get(kind));
    for (const change of this.#waiting) if (change.kind === kind) apply(texts, change);
    return texts;
  }

  #call(kind: string, call: RecordCall['call'], key: string, value?: unknown): Promise<void> | undefined {
    const text = value === undefined ? undefined : JSON.stringify(value);
    this.journal.push({ kind, call, key, ...(text === undefined ? {} : { value: JSON.parse(text) as unknown }) });
    const change = { kind, key, text };
    this.#schedule();
    if (call === 'put' || call === 'remove') {
      return new Promise((resolve, reject) => this.#waiting.push({ ...change, waiter: { resolve, reject } }));
    }
    this.#waiting.push(change);
    return undefined;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#commit();
    });
  }

  #commit(): void {
    if (this.holding) return;
    const waiting = this.#waiting;
    // What nobody waits for stays, in its order, until the medium takes it.
    this.#waiting = this.failing ? waiting.filter(({ waiter }) => waiter === undefined) : [];
    for (const change of waiting) {
      if (this.failing) {
        change.waiter?.reject(new GatewayError('store-unavailable', 'the test lets the store fail'));
        continue;
      }
      let texts = this.#durable.get(change.kind);
      if (texts === undefined) this.#durable.set(change.kind, (texts = new Map<string, string>()));
      apply(texts, change);
      change.waiter?.resolve();
    }
  }
}

/** Records of one kind alone, for a test that needs no more. */
export function memoryRecords<T>(kind = 'record'): Records<T> & { readonly store: MemoryRecordStore } {
  const store = new MemoryRecordStore();
  return Object.assign(store.records<T>(kind), { store });
}

class MemoryRecords<T> implements Records<T> {
  readonly #texts: () => ReadonlyMap<string, string>;
  readonly #call: (call: RecordCall['call'], key: string, value?: T) => Promise<void> | undefined;

  constructor(
    texts: () => ReadonlyMap<string, string>,
    call: (call: RecordCall['call'], key: string, value?: T) => Promise<void> | undefined,
  ) {
    this.#texts = texts;
    this.#call = call;
  }

  *all(): Generator<readonly [string, T]> {
    for (const [key, text] of this.#texts()) yield [key, JSON.parse(text) as T];
  }

  async put(key: string, value: T): Promise<void> {
    await this.#call('put', key, value);
  }

  putLater(key: string, value: T): void {
    void this.#call('putLater', key, value);
  }

  async remove(key: string): Promise<void> {
    await this.#call('remove', key);
  }

  removeLater(key: string): void {
    void this.#call('removeLater', key);
  }
}

function apply(texts: Map<string, string>, { key, text }: Change): void {
  if (text === undefined) texts.delete(key);
  else texts.set(key, text);
}
