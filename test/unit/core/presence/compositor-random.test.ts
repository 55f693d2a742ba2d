/** What holds for every composition, tried on documents made by chance: FUZZ_SEED repeats a run. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { compose, type CompositionInput, type Contribution } from '../../../../src/core/presence/compositor.ts';
import { withoutLocation } from '../../../../src/core/presence/polite-document.ts';
import type { Binding } from '../../../../src/core/ports.ts';
import type {
  Device,
  Person,
  PresenceDocument,
  RichPresence,
  Tuple,
  Validity,
} from '../../../../src/cpim/presence/document.ts';
import type { XmlElement } from '../../../../src/cpim/xml.ts';
import { aBinding, anAddress } from '../../../support/builders.ts';
import { aDevice, aDocument, aPerson, aTuple } from '../../../support/presence-builders.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const NOW = 1_700_000_000_000;
const SEED = Number(process.env['FUZZ_SEED'] ?? 20_260_101);
const CASES = 2_000;

class Chance {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  below(max: number): number {
    return Math.floor(this.#random() * max);
  }

  is(probability: number): boolean {
    return this.#random() < probability;
  }

  list<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.below(max + 1) }, make);
  }

  some<T extends object>(probability: number, make: () => T): T | Record<string, never> {
    return this.is(probability) ? make() : {};
  }

  shuffled<T>(items: readonly T[]): T[] {
    const left = [...items];
    return items.flatMap(() => left.splice(this.below(left.length), 1));
  }

  /** Around now, so that many are near each other. */
  timeMs(): number {
    return NOW + (this.below(13) - 6) * 10_000;
  }

  validity(): Validity {
    return {
      ...this.some(0.4, () => ({ id: `x${this.below(3)}` })),
      ...this.some(0.4, () => ({ fromMs: this.timeMs() })),
      ...this.some(0.4, () => ({ untilMs: this.timeMs() })),
    };
  }

  rich(): RichPresence {
    const values = () => ({ values: [{ name: `v${this.below(4)}` }], ...this.validity() });
    return {
      ...this.some(0.4, () => ({ activities: values() })),
      ...this.some(0.4, () => ({ mood: values() })),
      ...this.some(0.3, () => ({ class: `c${this.below(3)}` })),
      ...this.some(0.2, () => ({ userInput: { state: 'active' as const } })),
      ...this.some(0.3, () => ({ statusIcon: { uri: 'http://i', ...this.validity() } })),
    };
  }

  component(prefix: string): Pick<Person, 'id' | 'rich' | 'notes' | 'extensions'> & { timestampMs?: number } {
    return {
      id: `${prefix}${this.below(3)}`,
      rich: this.rich(),
      notes: this.list(2, () => ({ text: `n${this.below(5)}`, language: 'en' })),
      extensions: this.list(2, () => this.extension()),
      ...this.some(0.5, () => ({ timestampMs: this.timeMs() })),
    };
  }

  extension(): XmlElement {
    const namespace = this.is(0.3) ? 'urn:ietf:params:xml:ns:pidf:geopriv10' : `urn:x${this.below(2)}`;
    return { name: `e:n${this.below(3)}`, attrs: { 'xmlns:e': namespace }, children: [`text${this.below(9)}`] };
  }

  /** Ids within one document are unique, as the reader sees to. */
  document(): PresenceDocument {
    const distinct = <T extends { readonly id: string }>(items: T[]): T[] =>
      items.filter((item, at) => items.findIndex(({ id }) => id === item.id) === at);
    return aDocument({
      tuples: distinct(this.list(3, () => aTuple({ ...this.component('x'), basic: this.is(0.7) ? 'open' : 'closed' }))),
      persons: distinct(this.list(2, () => aPerson({ ...this.component('p'), card: { icon: `i${this.below(3)}` } }))),
      devices: distinct(this.list(2, () => aDevice({ ...this.component('d'), deviceId: `urn:${this.below(3)}` }))),
      notes: this.list(2, () => ({ text: `d${this.below(5)}` })),
      extensions: this.list(2, () => this.extension()),
    });
  }

  input(): CompositionInput {
    const publications: Contribution[] = this.list(4, () => 0).map((_, at) => ({
      number: at * 3 + 1 + this.below(3),
      changedAtMs: this.timeMs(),
      document: this.document(),
    }));
    const bindings: Binding[] = this.list(3, () => 0).map((_, at) =>
      aBinding({ contact: `sip:a@h${at}`, q: this.below(1_001), expiresAtMs: this.timeMs() }),
    );
    return {
      presentity: anAddress('alice@sip.example'),
      publications,
      bindings,
      policy: {
        registrations: (['fallback', 'always', 'never'] as const)[this.below(3)] ?? 'never',
        staleAfterSeconds: this.is(0.5) ? 30 : 0,
      },
      nowMs: this.timeMs(),
    };
  }
}

function everyCase(check: (input: CompositionInput, chance: Chance) => void): void {
  for (let at = 0; at < CASES; at += 1) {
    const chance = new Chance(SEED + at);
    const input = chance.input();
    try {
      check(input, chance);
    } catch (error) {
      throw new Error(`case ${at}: ${JSON.stringify(input)}`, { cause: error });
    }
  }
}

function idsOf({ tuples, persons, devices }: PresenceDocument): string[] {
  const components: ReadonlyArray<Tuple | Person | Device> = [...tuples, ...persons, ...devices];
  return components.flatMap(({ id, rich }) => [
    id,
    ...Object.values(rich).flatMap((element) => (typeof element === 'object' ? (element.id ?? []) : [])),
  ]);
}

test(`composition by chance (seed ${SEED}): the order in which its parts are given makes no difference`, () => {
  everyCase((input, chance) => {
    const shuffled = {
      ...input,
      publications: chance.shuffled(input.publications),
      bindings: chance.shuffled(input.bindings),
    };
    // As text: the order of what comes out is the same too.
    assert.equal(JSON.stringify(compose(shuffled)), JSON.stringify(compose(input)));
  });
});

test(`composition by chance (seed ${SEED}): what goes in is left as it is`, () => {
  everyCase((input) => {
    const before = structuredClone(input);
    compose(input);
    assert.deepEqual(input, before);
  });
});

test(`composition by chance (seed ${SEED}): what comes out is right as long as it says, and has changed at last`, () => {
  let expired = 0;
  everyCase((input) => {
    const first = compose(input);
    const { nowMs } = input;
    const lastMs = (first.validUntilMs ?? nowMs + 1_000_000) - 1;
    assert.ok(lastMs >= nowMs);
    for (const atMs of [Math.floor((nowMs + lastMs) / 2), lastMs]) {
      assert.deepEqual(compose({ ...input, nowMs: atMs }).document, first.document);
    }
    if (first.validUntilMs !== undefined) expired += 1;
  });
  assert.ok(expired > CASES / 10);
});

test(`composition by chance (seed ${SEED}): each id is there once, each service, and one person at most`, () => {
  everyCase((input) => {
    const { document } = compose(input);
    const ids = idsOf(document);
    assert.equal(new Set(ids).size, ids.length);
    const services = input.publications.flatMap((publication) => publication.document.tuples);
    const live = input.bindings.filter(({ expiresAtMs }) => expiresAtMs > input.nowMs).length;
    const counts =
      input.policy.registrations === 'always' || (input.policy.registrations === 'fallback' && services.length === 0);
    assert.equal(document.tuples.length, Math.max(1, services.length + (counts ? live : 0)));
    assert.equal(document.persons.length, input.publications.some((one) => one.document.persons.length > 0) ? 1 : 0);
    const deviceIds = document.devices.map(({ deviceId }) => deviceId);
    assert.equal(new Set(deviceIds).size, deviceIds.length);
  });
});

test(`composition by chance (seed ${SEED}): the newest publication has its say about every element of the person`, () => {
  everyCase((input) => {
    const [newest] = [...input.publications].sort((a, b) => b.changedAtMs - a.changedAtMs || b.number - a.number);
    const card = newest?.document.persons.length === 1 ? newest.document.persons[0]?.card : undefined;
    if (card !== undefined) assert.equal(compose(input).document.persons[0]?.card?.icon, card.icon);
  });
});

test(`composition by chance (seed ${SEED}): no location is left where none may be seen`, () => {
  let some = 0;
  everyCase((input) => {
    const { document } = compose(input);
    const seen = withoutLocation(document);
    assert.ok(!JSON.stringify(seen).includes('geopriv'));
    const had = JSON.stringify(document).includes('geopriv');
    assert.equal(seen !== document, had);
    if (had) some += 1;
  });
  assert.ok(some > CASES / 10);
});
