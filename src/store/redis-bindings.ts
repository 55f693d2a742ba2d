import { GatewayError } from '../core/errors.ts';
import type { Binding, BindingStore } from '../core/ports.ts';
import { Turns } from '../core/turns.ts';
import { BindingTable } from './binding-table.ts';
import type { RedisReplica } from './redis-replica.ts';
import type { RedisWriter } from './redis-writer.ts';
import { bindingsFromText } from './stored-binding.ts';

export const BINDING_KIND = 'binding';

/**
 * The BindingStore in Redis: a record per user, all of them in memory too, also those that other processes change.
 *
 * A set is stored only in the place of the one it was made from, so that of two phones that register at two nodes at
 * once none is lost.
 */
export class RedisBindings extends BindingTable implements BindingStore {
  readonly #replica: RedisReplica;
  readonly #writer: RedisWriter;
  /** Of one user this process stores one set after the other. */
  readonly #turns = new Turns();
  readonly #refresh: (kind: string, key: string) => Promise<void>;

  /** @param refresh reads a record into the replica that another process has changed */
  constructor(replica: RedisReplica, writer: RedisWriter, refresh: (kind: string, key: string) => Promise<void>) {
    super();
    this.#replica = replica;
    this.#writer = writer;
    this.#refresh = refresh;
    for (const [user, { text }] of replica.kind(BINDING_KIND)) this.set(user, bindingsFromText(text));
    replica.onChange(BINDING_KIND, (user, text) => this.set(user, text === undefined ? [] : bindingsFromText(text)));
  }

  replace(userKey: string, bindings: readonly Binding[]): Promise<void> {
    return this.#turns.run(userKey, () => this.#replace(userKey, bindings));
  }

  async #replace(userKey: string, bindings: readonly Binding[]): Promise<void> {
    const text = bindings.length === 0 ? undefined : JSON.stringify(bindings);
    const ifVersion = this.#replica.versionOf(BINDING_KIND, userKey);
    const [result] = await this.#writer.write([{ kind: BINDING_KIND, key: userKey, text, ifVersion }]);
    if (result !== 'refused') return;
    await this.#refresh(BINDING_KIND, userKey);
    throw new GatewayError('conflict', 'another node has changed the bindings of this user meanwhile');
  }

  protected override forget(userKey: string): void {
    const ifVersion = this.#replica.versionOf(BINDING_KIND, userKey);
    this.#writer.writeLater({ kind: BINDING_KIND, key: userKey, text: undefined, ifVersion });
  }
}
