import type { Pair } from '../../core/presence/subscription.ts';
import { compactText } from '../compact-text.ts';
import { parseCSeq, parseNameAddr } from '../header-values.ts';
import { sipUriFromAddress } from '../map-address.ts';
import type { SipRequest, SipResponse } from '../message.ts';
import { parseSipUri } from '../uri.ts';
import { isRouteSet, routeSetFrom, TAG_LENGTH_MAX, tagOf, targetFrom, targetOf, type Dialog } from './dialog.ts';

/** A dialog that is about to be asked for: its first request goes to the presentity itself. */
export function dialogToAskFor({ watcher, presentity }: Pair, token: () => string): Dialog {
  const remoteUri = sipUriFromAddress(presentity);
  return {
    callId: token(),
    localTag: token(),
    localUri: sipUriFromAddress(watcher),
    remoteUri,
    remoteTarget: remoteUri,
    routeSet: [],
    localCseq: 0,
    localCseqReserved: 0,
    remoteCseq: 0,
  };
}

/** The next number for a request that leaves only after the dialog was stored with it. */
export function takeLocalCseq(dialog: Dialog): void {
  // Over what is reserved: after a crash all of that may have been used.
  dialog.localCseq = Math.max(dialog.localCseq, dialog.localCseqReserved) + 1;
  dialog.localCseqReserved = dialog.localCseq;
}

/**
 * Learns from the 2xx to a SUBSCRIBE who the far side is, unless its NOTIFY has said so already: the first of the two
 * makes the dialog, and the other one must be of the same (RFC 6665, section 5.4.9). The way there is what the 2xx says
 * until the NOTIFY says otherwise (section 4.4.1). What it says wrongly is passed over.
 */
export function learnFromAnswer(dialog: Dialog, { headers }: SipResponse): void {
  const tag = tagOf(headers.get('To'));
  if (tag === undefined || tag.length > TAG_LENGTH_MAX) return;
  if (dialog.remoteTag !== undefined && dialog.remoteTag !== tag) return;
  dialog.remoteTag = compactText(tag);
  // The URI for what follows; a refresh is no reason to go another way, its NOTIFY may be.
  if (dialog.remoteCseq > 0) return;
  const uri = parseSipUri(parseNameAddr(headers.get('Contact') ?? '')?.uri ?? '');
  const target = uri === undefined ? undefined : targetOf(uri);
  if (target !== undefined) dialog.remoteTarget = target;
  // In a response the nearest comes last (RFC 3261, section 12.1.2).
  const routes = headers.all('Record-Route');
  if (isRouteSet(routes)) dialog.routeSet = [...routeSetFrom(routes)].reverse();
}

/** Whether a request is of this dialog: Call-ID and both tags (RFC 6665, section 4.4.1). */
export function isOfDialog(dialog: Dialog, { headers }: SipRequest): boolean {
  if (headers.get('Call-ID') !== dialog.callId || tagOf(headers.get('To')) !== dialog.localTag) return false;
  // One without a tag is of RFC 2543, which has no NOTIFY.
  const tag = tagOf(headers.get('From'));
  if (tag === undefined || tag.length > TAG_LENGTH_MAX) return false;
  return dialog.remoteTag === undefined || dialog.remoteTag === tag;
}

/** What a NOTIFY changes of its dialog; nothing is changed before everything about it was found to be right. */
export type DialogChange = Pick<Dialog, 'remoteCseq' | 'remoteTarget' | 'routeSet'> & { readonly remoteTag: string };

/**
 * Reads what a NOTIFY of this dialog changes: the first makes the dialog, with the routes that it has recorded
 * (RFC 6665, section 4.4.1); each may move the target (RFC 3261, section 12.2.2).
 *
 * @returns undefined for one that is older than the last (RFC 3261, section 12.2.2: to be answered 500)
 * @throws GatewayError 'request-malformed' for a Contact or routes that nothing can be sent to. Without a Contact the
 *   target stays: that is a fault of the far side which harms nobody.
 */
export function changeFromNotify(dialog: Dialog, request: SipRequest): DialogChange | undefined {
  const { headers } = request;
  const number = parseCSeq(headers.get('CSeq') ?? '')?.number ?? 0;
  if (number < dialog.remoteCseq) return undefined;
  return {
    remoteCseq: number,
    remoteTag: compactText(tagOf(headers.get('From')) ?? ''),
    remoteTarget: headers.get('Contact') === undefined ? dialog.remoteTarget : targetFrom(request),
    routeSet: dialog.remoteCseq === 0 ? routeSetFrom(headers.all('Record-Route')) : dialog.routeSet,
  };
}
