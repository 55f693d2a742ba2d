import type { Operation } from '../cpim/operation.ts';
import type { Binding } from './ports.ts';

/** What an instance is called in a GRUU and as a resource: its URN (RFC 5627, section 3.1; RFC 5626, section 4.1). */
const URN = /^<(urn:[!-;=?-~]{1,195})>$/i;

/** The name of the device that a contact belongs to; undefined where the contact names none. */
export function deviceOf({ instance }: Pick<Binding, 'instance'>): string | undefined {
  return instance === undefined ? undefined : URN.exec(instance)?.[1];
}

/** Whether an instance is named as a device is, so that it can be one that has registered. */
export function isDeviceName(instance: string): boolean {
  return URN.test(`<${instance}>`);
}

/** Hexadecimal digits of a UUID may be written either way (RFC 4122, section 3). */
export function isSameDevice(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && a.toLowerCase() === b?.toLowerCase();
}

/** The device that alone may have an operation; undefined where any of the user's may. */
export function onlyDeviceOf(operation: Operation): string | undefined {
  return operation.op === 'message' && operation.isForInstanceOnly === true
    ? operation.destination.instance
    : undefined;
}

/** The contacts of one device. */
export function contactsOfDevice(bindings: readonly Binding[], device: string): readonly Binding[] {
  return bindings.filter((binding) => isSameDevice(deviceOf(binding), device));
}

/**
 * The contacts of one device, the one to be tried first in front (RFC 5626, section 7; RFC 5627, section 6.1), in a list
 * for each device; a contact without a device is alone in its list.
 *
 * @param isDoubted whether nobody has answered at a contact lately: it is tried last
 */
export function contactsByDevice(
  bindings: readonly Binding[],
  isDoubted: (binding: Binding) => boolean = () => false,
): ReadonlyArray<readonly Binding[]> {
  const byDevice = new Map<string, Binding[]>();
  for (const binding of bindings) {
    const device = deviceOf(binding)?.toLowerCase() ?? `\n${binding.contact}`;
    const known = byDevice.get(device);
    if (known === undefined) byDevice.set(device, [binding]);
    else known.push(binding);
  }
  const rank = (binding: Binding): number => (isDoubted(binding) ? 1 : 0);
  return [...byDevice.values()].map((list) =>
    list.length < 2 ? list : list.sort((a, b) => rank(a) - rank(b) || (b.refreshedAtMs ?? 0) - (a.refreshedAtMs ?? 0)),
  );
}
