import type { RichPresence } from '../../cpim/presence/document.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { isRpid } from './element-names.ts';

type Component = { readonly rich: RichPresence; readonly extensions: readonly XmlElement[] };

/** Keeps ids apart that were unique in the documents they come from: in one document each may be there once. */
export class UniqueIds {
  readonly #taken = new Set<string>();

  /**
   * An id for a component: its own, where nobody before has it, else with the number of its publication, which the
   * publication keeps however often it is put anew.
   */
  take(id: string, number?: number): string {
    const stem = number === undefined || !this.#taken.has(id) ? id : `${id}-${number}`;
    let unique = stem;
    for (let count = 2; this.#taken.has(unique); count += 1) unique = `${stem}-${count}`;
    this.#taken.add(unique);
    return unique;
  }

  /**
   * The component with the ids of its rich presence left out where they are taken: they are ids of the document too
   * (RFC 4480, section 5.1), and nothing refers to them. To be called when all components have theirs.
   */
  withRichIds<T extends Component>(component: T): T {
    let { rich, extensions } = component;
    for (const [key, element] of Object.entries(component.rich)) {
      if (typeof element === 'object' && this.#isTaken(element.id)) rich = { ...rich, [key]: without(element) };
    }
    for (const element of component.extensions) {
      if (!isRpid(element) || !this.#isTaken(element.attrs['id'])) continue;
      const bare = { ...element, attrs: without(element.attrs) };
      extensions = extensions.map((other) => (other === element ? bare : other));
    }
    return rich === component.rich && extensions === component.extensions
      ? component
      : { ...component, rich, extensions };
  }

  #isTaken(id: string | undefined): boolean {
    if (id === undefined) return false;
    if (this.#taken.has(id)) return true;
    this.#taken.add(id);
    return false;
  }
}

function without<T extends { readonly id?: string }>(element: T): Omit<T, 'id'> {
  const { id, ...rest } = element;
  return id === undefined ? element : rest;
}
