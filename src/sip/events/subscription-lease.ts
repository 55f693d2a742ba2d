import type { Lease } from '../../core/presence/subscription.ts';
import { isDialog, nextCseq, reserveCseqs, resumeDialog, type Dialog } from './dialog.ts';
import { isDocumentFormat, type DocumentFormat } from './presence-bodies.ts';

/** A dialog in which a watcher is told. */
export type SipLease = Lease & {
  readonly via: 'sip';
  readonly dialog: Dialog;
  /** The `id` of its Event. */
  readonly eventId?: string;
  /** The media type in which the watcher is told. */
  format: DocumentFormat;
  /** The URI of our Contact. */
  contact: string;
  /** The run of this server that has given out `dialog.localCseq`; another one begins above what is reserved. */
  run: number;
  /** How many notifications in a row had no answer, and how many came to nothing otherwise. */
  unanswered: number;
  failed: number;
};

/** How many numbers are reserved with a SUBSCRIBE, at least, and how many when they are used up. */
const RESERVED_FIRST = 10;
const RESERVED_MORE = 32;
const RESERVED_LEFT = 4;

/** What a watcher's protocol has stored, as a dialog of ours; undefined for anything else. */
export function asSipLease(lease: Lease | undefined): SipLease | undefined {
  if (lease?.via !== 'sip') return undefined;
  const sip = lease as Partial<SipLease> & Lease;
  const isOne =
    isDialog(sip.dialog) &&
    (sip.eventId === undefined || typeof sip.eventId === 'string') &&
    isDocumentFormat(sip.format) &&
    typeof sip.contact === 'string' &&
    typeof sip.run === 'number' &&
    typeof sip.unanswered === 'number' &&
    typeof sip.failed === 'number';
  return isOne ? (lease as SipLease) : undefined;
}

/**
 * Reserves numbers with a SUBSCRIBE, which is stored anyway. Not as many for each, so that watchers who came together
 * and are told together do not all have to be stored again with the same notification.
 */
export function reserveWithSubscribe(lease: SipLease, run: number): void {
  goOn(lease, run);
  const { dialog } = lease;
  const left = dialog.localCseqReserved - dialog.localCseq;
  // While a refresh is being stored there must be enough that were stored before.
  if (dialog.localCseq > 0 && left < RESERVED_LEFT) return;
  const spread = (dialog.localTag.charCodeAt(1) + dialog.localTag.charCodeAt(2)) % RESERVED_MORE;
  reserveCseqs(dialog, RESERVED_FIRST + spread);
}

/** The CSeq number of the next request in the dialog; undefined when those that are reserved are used up. */
export function takeCseq(lease: SipLease, run: number): number | undefined {
  goOn(lease, run);
  return nextCseq(lease.dialog);
}

/**
 * The same where none is left: more are reserved, and the lease is stored before the first of them may be used.
 *
 * @throws GatewayError as `save` does; nothing may be sent then
 */
export async function reserveCseq({ dialog }: SipLease, save: () => Promise<void>): Promise<number> {
  const before = dialog.localCseqReserved;
  reserveCseqs(dialog, RESERVED_MORE);
  try {
    await save();
  } catch (cause) {
    dialog.localCseqReserved = before;
    throw cause;
  }
  return (dialog.localCseq += 1);
}

/** After a restart the numbers up to the reserved one may have been used. */
function goOn(lease: SipLease, run: number): void {
  if (lease.run === run) return;
  lease.run = run;
  resumeDialog(lease.dialog);
}
