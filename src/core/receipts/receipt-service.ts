import { addressKey, domainOf, type Address } from '../../cpim/address.ts';
import type { Disposition, DispositionStatus, Entity, InstantMessage } from '../../cpim/operation.ts';
import type { Admission, Origin } from '../admission.ts';
import { GatewayError } from '../errors.ts';
import { derivedId } from '../failure-report.ts';
import { queueEntryOf } from '../queue-entry.ts';
import type { Log } from '../log.ts';
import type { Clock, DeliveryQueue } from '../ports.ts';
import type { Router } from '../router.ts';
import type { ReceiptNames } from './receipt-names.ts';

export type ReceiptDeps = {
  readonly names: ReceiptNames;
  readonly admission: Pick<Admission, 'admitReceipt'>;
  readonly router: Pick<Router, 'routeOf'>;
  /** Whether a user of ours lets somebody see when he is there. */
  readonly maySee: (userKey: string, watcher: Address) => boolean | Promise<boolean>;
  readonly isOwn: (domain: string) => boolean;
  readonly queue: Pick<DeliveryQueue, 'add'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** Of messages; a receipt lives no longer. */
  readonly lifetimeMs: number;
};

/** What somebody says of a message that he got. */
export type Receipt = {
  /** What we called it towards him. */
  readonly name: string;
  readonly status: DispositionStatus;
  readonly source: Entity;
  readonly destination: Entity;
};

/** Whoever has not been there for so long sees by the answer that his message arrived. */
const LIFETIME_MS = 60 * 60_000;

/**
 * Tells authors what became of their messages, where they asked (MAPPING section 9). A word counts only when it is from
 * whom the message was for, to who wrote it, about one that we sent and of a kind that was asked for; each is told once.
 *
 * Of a user of ours nobody is told who may not see when he is there (XEP-0184, section 8).
 */
export class ReceiptService {
  readonly #deps: ReceiptDeps;

  constructor(deps: ReceiptDeps) {
    this.#deps = deps;
  }

  /** A receipt came over a link. Never rejects: to a receipt nobody gets an answer. */
  async came(receipt: Receipt, origin: Origin): Promise<void> {
    try {
      this.#deps.admission.admitReceipt(receipt.source.address, origin);
    } catch (thrown) {
      const { code, message } = GatewayError.of(thrown);
      this.#deps.log.info({ code, reason: message, from: receipt.source.address }, 'receipt refused');
      return;
    }
    await this.take(receipt);
  }

  /** As `came`, for what has been admitted as a message. Resolves when it is queued, or was nothing to tell. */
  async take({ name, status, source, destination }: Receipt): Promise<void> {
    const { names, log } = this.#deps;
    const named = names.read(name, source.address, destination.address);
    if (named?.wants[status] !== true) {
      log.debug({ from: source.address, receipt: status }, 'receipt for nothing that was asked');
      return;
    }
    const { authorInstance: instance, writtenTo } = named;
    const author = { address: destination.address, ...(instance === undefined ? {} : { instance }) };
    const known = writtenTo === undefined ? source : { address: writtenTo };
    await this.#tell(named, { status, source: known, destination: author }, source.address);
  }

  /** A device of the recipient, or the server of his domain for it, has taken a message for good. */
  async delivered(message: InstantMessage): Promise<void> {
    const { wants, source, destination, writtenTo } = message;
    // Whoever asked in message/cpim asked the device, which got the message as he wrote it.
    if (wants?.delivered !== true || wants.as !== 'stanza') return;
    const told = { status: 'delivered', source: writtenTo ?? destination, destination: source } as const;
    await this.#tell({ id: message.id, wants }, told, destination.address);
  }

  async #tell(
    { id, wants }: Pick<InstantMessage, 'id'> & { readonly wants: Disposition['about'] },
    told: Pick<Disposition, 'status' | 'source' | 'destination'>,
    recipient: Address,
  ): Promise<void> {
    const { router, queue, clock, log, lifetimeMs } = this.#deps;
    const { status, source, destination } = told;
    const fields = { about: id, operation: 'disposition', receipt: status };
    try {
      if (!(await this.#maySee(recipient, destination.address))) {
        log.debug(fields, 'receipt kept from who may not see whether its sender is there');
        return;
      }
      const { hop } = router.routeOf(source.address, destination.address);
      const acceptedAtMs = clock.nowMs();
      const { as, id: messageId, dateTime } = wants;
      const operation: Disposition = {
        op: 'disposition',
        id: derivedId(status === 'delivered' ? 'd' : 's', id),
        ...told,
        acceptedAtMs,
        expiresAtMs: acceptedAtMs + Math.min(lifetimeMs, LIFETIME_MS),
        about: { as, id: messageId, ...(dateTime === undefined ? {} : { dateTime }) },
      };
      // Counted for who asked, lest anybody fill another's place in the queue by writing to him; apart from his messages.
      const owner = `receipts ${addressKey(destination.address)}`;
      const added = await queue.add({ ...queueEntryOf(operation, hop, operation.expiresAtMs), owner });
      if (added === 'added') log.info({ ...fields, messageId: operation.id, nextHop: hop }, 'operation accepted');
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      log.info({ ...fields, code: error.code, reason: error.message }, 'receipt cannot be told');
    }
  }

  #maySee(recipient: Address, author: Address): boolean | Promise<boolean> {
    return !this.#deps.isOwn(domainOf(recipient)) || this.#deps.maySee(addressKey(recipient), author);
  }
}
