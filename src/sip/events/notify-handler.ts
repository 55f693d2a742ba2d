import { domainOf, type Address } from '../../cpim/address.ts';
import type { PresenceDocument } from '../../cpim/presence/document.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { PeerEvidence } from '../../core/peers.ts';
import type { SipReply, SipRequest } from '../message.ts';
import { evidenceOf } from '../sender-proof.ts';
import type { SipHandler } from '../stack.ts';
import type { Dialog } from './dialog.ts';
import { tagOf } from './dialog.ts';
import { changeFromNotify, isOfDialog } from './dialog-uac.ts';
import { parseEvent } from './event-header.ts';
import { documentFromRequest } from './read-document.ts';
import { READABLE_DOCUMENTS } from './subscribe-request.ts';
import { parseSubscriptionState, type SubscriptionStateValue } from './subscription-state.ts';

/** From where a SUBSCRIBE was answered. */
export type AnswerPlace = { readonly address: string; readonly isTls?: true };

/** What a NOTIFY says, after everything about it was found to be right. */
export type NotifyWord = SubscriptionStateValue & { readonly document?: PresenceDocument };

/** A dialog in which we are told. */
export type NotifiedDialog = {
  readonly dialog: Dialog;
  readonly presentity: Address;
  /** Absent while there was no answer. */
  readonly place: AnswerPlace | undefined;
  /** Resolves when a SUBSCRIBE that is under way was answered, or will not be. */
  readonly answered: Promise<void> | undefined;
  /** Takes what was said; the dialog has been changed accordingly. Resolves when it is stored, where that matters. */
  readonly take: (word: NotifyWord) => Promise<void>;
};

export type NotifyDeps = {
  /** The dialog of ours with this local tag. */
  readonly find: (localTag: string) => NotifiedDialog | undefined;
  readonly mayActFor: (domain: string, evidence: PeerEvidence) => boolean;
  readonly documentBytesMax: number;
  readonly log: Log;
};

/**
 * Answers NOTIFY for subscriptions of ours (RFC 6665, section 4.1.3; RFC 3856, section 6.9).
 *
 * 1. 489 for another package; 481 where Call-ID, both tags, package and id are not those of a dialog of ours. The first
 *    NOTIFY, or the 2xx if that was faster, makes the dialog; a second one that a fork has made gets 481, since presence
 *    has one dialog for one SUBSCRIBE (RFC 3856, section 6.8).
 * 2. It must come from where somebody may speak for the presentity's domain, or from the address that has answered the
 *    SUBSCRIBE, and over TLS if that was; else 403. One that overtakes the answer waits for it.
 * 3. 500 for one that is older than the last, 400 without a Subscription-State, 415, 413 or 400 for the body. Nothing is
 *    changed by any of these, but for the state `terminated`: the far side has no subscription any more, whatever its
 *    body is like.
 */
export function notifyHandler(deps: NotifyDeps): SipHandler {
  return async (request): Promise<SipReply> => {
    const { headers } = request;
    const event = parseEvent(headers.get('Event') ?? '');
    if (event?.package !== 'presence') throw new GatewayError('event-unsupported', 'NOTIFY of a package not watched');
    // An id never matches none (RFC 6665, section 8.2.1), and ours have none.
    const found = event.id === undefined ? dialogOf(request, deps) : undefined;
    if (found === undefined) throw new GatewayError('dialog-unknown', 'NOTIFY outside of a subscription');
    if (isBelieved(request, found, deps)) return take(request, found, deps);
    await found.answered;
    const now = dialogOf(request, deps);
    if (now?.dialog !== found.dialog) throw new GatewayError('dialog-unknown', 'NOTIFY of another fork');
    if (isBelieved(request, now, deps)) return take(request, now, deps);
    deps.log.warn(
      { peer: request.flow.remoteAddress, presentity: now.presentity },
      'notification from an address that may not speak for the presentity',
    );
    throw new GatewayError('sender-forbidden', 'NOTIFY from elsewhere than the SUBSCRIBE went');
  };
}

async function take(request: SipRequest, { dialog, take: tell }: NotifiedDialog, deps: NotifyDeps): Promise<SipReply> {
  const values = request.headers.all('Subscription-State');
  const said = values.length === 1 ? parseSubscriptionState(values[0] ?? '') : undefined;
  if (said === undefined) throw new GatewayError('request-malformed', 'NOTIFY without a Subscription-State');
  const change = changeFromNotify(dialog, request);
  if (change === undefined) return { status: 500, reason: 'Request Out Of Order' };
  const limits = { bytesMax: deps.documentBytesMax, accept: READABLE_DOCUMENTS };
  if (said.state !== 'terminated') {
    const document = documentFromRequest(request, limits);
    Object.assign(dialog, change);
    await tell(document === undefined ? said : { ...said, document });
    return { status: 200 };
  }
  let document: PresenceDocument | undefined;
  try {
    document = documentFromRequest(request, limits);
  } finally {
    Object.assign(dialog, change);
    await tell(document === undefined ? said : { ...said, document });
  }
  return { status: 200 };
}

function dialogOf(request: SipRequest, { find }: NotifyDeps): NotifiedDialog | undefined {
  const tag = tagOf(request.headers.get('To'));
  const found = tag === undefined ? undefined : find(tag);
  return found !== undefined && isOfDialog(found.dialog, request) ? found : undefined;
}

function isBelieved(request: SipRequest, { presentity, place }: NotifiedDialog, { mayActFor }: NotifyDeps): boolean {
  const { flow } = request;
  if (mayActFor(domainOf(presentity), evidenceOf(request))) return true;
  if (place?.address !== flow.remoteAddress) return false;
  return place.isTls !== true || flow.transport === 'tls';
}
