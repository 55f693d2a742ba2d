import type { RichPresence, Validity } from '../../cpim/presence/document.ts';
import { parseRfc3339 } from '../../cpim/rfc3339.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { isRpid } from './element-names.ts';

/** How long what is made now will be right: the first of the moments after which it would be made otherwise. */
export class Horizon {
  readonly #nowMs: number;
  #firstMs = Infinity;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** Things change at this moment; one that is past is past. */
  add(atMs: number): void {
    if (atMs > this.#nowMs && atMs < this.#firstMs) this.#firstMs = atMs;
  }

  /** Whether a moment has come; one that has not is added. */
  isPast(atMs: number): boolean {
    this.add(atMs);
    return atMs <= this.#nowMs;
  }

  validity(): { readonly validUntilMs?: number } {
    return this.#firstMs === Infinity ? {} : { validUntilMs: this.#firstMs };
  }
}

type Component = { readonly rich: RichPresence; readonly extensions: readonly XmlElement[] };

/**
 * A person, service or device without the rich presence that is not valid yet or no longer (RFC 4480, section 3.1:
 * `from` and `until`). The same object when all of it is.
 */
export function inForce<T extends Component>(component: T, horizon: Horizon): T {
  const rich = richInForce(component.rich, horizon);
  const extensions = extensionsInForce(component.extensions, horizon);
  return rich === component.rich && extensions === component.extensions
    ? component
    : { ...component, rich, extensions };
}

function richInForce(rich: RichPresence, horizon: Horizon): RichPresence {
  const elements = Object.entries(rich);
  const valid = elements.filter(([, element]) => typeof element !== 'object' || isValid(element, horizon));
  return valid.length === elements.length ? rich : Object.fromEntries(valid);
}

/** Among what is kept as it stands are second elements of one name, for another time. */
function extensionsInForce(extensions: readonly XmlElement[], horizon: Horizon): readonly XmlElement[] {
  const valid = extensions.filter((element) => {
    const { from, until } = element.attrs;
    if ((from === undefined && until === undefined) || !isRpid(element)) return true;
    const fromMs = parseRfc3339(from ?? '');
    const untilMs = parseRfc3339(until ?? '');
    return isValid(
      { ...(fromMs === undefined ? {} : { fromMs }), ...(untilMs === undefined ? {} : { untilMs }) },
      horizon,
    );
  });
  return valid.length === extensions.length ? extensions : valid;
}

function isValid({ fromMs, untilMs }: Validity, horizon: Horizon): boolean {
  const hasBegun = fromMs === undefined || horizon.isPast(fromMs);
  // Asked in any case: both moments count.
  const hasEnded = untilMs !== undefined && horizon.isPast(untilMs);
  return hasBegun && !hasEnded;
}
