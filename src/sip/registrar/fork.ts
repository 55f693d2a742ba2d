import { contactsByDevice } from '../../core/devices.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Binding } from '../../core/ports.ts';
import { tryFlows } from './towards-contact.ts';

/**
 * Tries the contacts of a user until one takes it (RFC 3261, section 16.6 and 16.7; RFC 3428, section 6): those of the
 * highest q at once, the next only when all of those have failed. A device is tried once, over the flow it has registered
 * last, and over another only while flows are gone (RFC 5626, section 7).
 *
 * Resolves at the first success; what is still under way then goes on unheeded. No contact after a 6xx, which speaks
 * for the user wherever he is.
 *
 * @param isDoubted whether nobody has answered at a contact lately: it comes after others of its device
 * @throws GatewayError the best of the failures, see `bestFailure`; 'recipient-unavailable' without contacts
 */
export async function tryContacts(
  contacts: readonly Binding[],
  attempt: (contact: Binding) => Promise<void>,
  isDoubted?: (contact: Binding) => boolean,
): Promise<void> {
  const failures: GatewayError[] = [];
  for (const group of groupsByQ(contacts, isDoubted)) {
    const results = await firstSuccess(group.map((flows) => tryFlows(flows, attempt)));
    if (results === 'success') return;
    failures.push(...results);
    if (results.some(({ details }) => details.wholeUser === true)) break;
  }
  throw bestFailure(failures);
}

/** The contacts of each device, the best devices first; a device is as good as the best of its contacts. */
function groupsByQ(
  contacts: readonly Binding[],
  isDoubted?: (contact: Binding) => boolean,
): Array<Array<readonly Binding[]>> {
  const devices = contactsByDevice(contacts, isDoubted).map((flows) => ({
    flows,
    q: Math.max(...flows.map(({ q }) => q)),
  }));
  const groups = new Map<number, Array<readonly Binding[]>>();
  for (const { flows, q } of devices.sort((a, b) => b.q - a.q)) {
    const group = groups.get(q);
    if (group === undefined) groups.set(q, [flows]);
    else group.push(flows);
  }
  return [...groups.values()];
}

function firstSuccess(attempts: ReadonlyArray<Promise<void>>): Promise<'success' | readonly GatewayError[]> {
  return Promise.any(attempts).then(
    () => 'success' as const,
    (thrown: unknown) => (thrown as AggregateError).errors.map((error) => GatewayError.of(error)),
  );
}

/** Statuses that speak of one contact and not of the user: another that only cannot be reached now may be his. */
const ABOUT_CONTACT: ReadonlySet<number> = new Set([404, 410, 416, 481, 484, 485]);
/** Within a class those that tell the sender what to change (RFC 3261, section 16.7, step 6). */
const TELLING: ReadonlySet<number> = new Set([401, 407, 415, 420, 484]);

/**
 * Which of several failures stands for all (RFC 3261, section 16.7, step 6): a 6xx, else one of the lowest class, within
 * it one that tells the sender what to change. An answer comes before silence; but where the only answers say that the
 * contact itself is no longer his, silence of another counts more, and the message is tried again.
 */
function bestFailure(failures: readonly GatewayError[]): GatewayError {
  let best: GatewayError | undefined;
  for (const failure of failures) if (best === undefined || rankOf(failure) < rankOf(best)) best = failure;
  if (best === undefined) return new GatewayError('recipient-unavailable', 'no contact is registered');
  if (ABOUT_CONTACT.has(best.details.status ?? 0)) return failures.find((failure) => failure.transient) ?? best;
  return best;
}

function rankOf({ details: { status } }: GatewayError): number {
  if (status === undefined) return 10_000;
  if (status >= 600) return status - 600;
  // 408 is what silence further on looks like, and 503 what a broken connection does.
  if (status === 408 || status === 503) return 9_000 + status;
  return TELLING.has(status) ? Math.floor(status / 100) * 1_000 : status * 10;
}
