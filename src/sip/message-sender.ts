import { domainOf, type Address } from '../cpim/address.ts';
import type { InstantMessage, Operation } from '../cpim/operation.ts';
import { isDeviceName, onlyDeviceOf } from '../core/devices.ts';
import { GatewayError, type ErrorDetails } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { postmasterOf } from '../core/postmaster.ts';
import type { ReceiptNames } from '../core/receipts/receipt-names.ts';
import { RecentMap } from '../core/recent-map.ts';
import type { Binding, Clock, Delivery, OperationSender, Route } from '../core/ports.ts';
import { tryContacts } from './registrar/fork.ts';
import { endOfQuoted, parseNameAddr, parseRetryAfter, unquote } from './header-values.ts';
import { sipUriFromEntity } from './map-address.ts';
import { outgoingFromDisposition, outgoingFromMessage, outgoingFromReport } from './map-message.ts';
import type { SipOutgoing, SipResponse } from './message.ts';
import { isOverTls, namesExpectedOf } from './next-hop.ts';
import type { OnBehalfOf, PeerRequests } from './trust/peer-requests.ts';
import { errorFromStatus } from './status.ts';
import { requestToContact } from './registrar/towards-contact.ts';

export type MessageSenderDeps = {
  readonly request: (outgoing: SipOutgoing) => Promise<SipResponse>;
  /** The way to peers; absent: as `request`. */
  readonly toPeer?: PeerRequests['request'];
  /** Contacts that can be reached now. */
  readonly contactsOf: (userKey: string, device?: string) => readonly Binding[];
  /** What a message is called by which its recipient may tell what became of it. */
  readonly nameOf?: ReceiptNames['nameOf'];
  /** The recipient's device has a message, or so says the server of his domain: 200, not 202 (RFC 3428, section 7). */
  readonly delivered?: (message: InstantMessage) => Promise<void>;
  readonly isOwn: (domain: string) => boolean;
  /** The domain of ours whose postmaster writes to users of other domains. */
  readonly mainDomain: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
};

const TEXT_LENGTH_MAX = 200;
const ACCEPT_LENGTH_MAX = 500;
const SILENT_MS = 10 * 60_000;
const SILENT_MAX = 100_000;

/**
 * Sends operations to the contacts of a local user, or to a SIP peer, as MESSAGE requests outside any dialog.
 *
 * Resolves at a 2xx. Rejects with the error that the answer amounts to (`codeFromStatus` says which of them may be
 * tried again), or with what the engine says where there was no answer: both then are transient.
 */
export class MessageSender implements OperationSender {
  readonly #deps: MessageSenderDeps;
  /** Contacts at which nobody has answered: a device with another flow is tried over that one the next time. */
  readonly #silent = new RecentMap<true>({ keepMs: SILENT_MS, max: SILENT_MAX });

  constructor(deps: MessageSenderDeps) {
    this.#deps = deps;
  }

  async send(delivery: Delivery, route: Route): Promise<void> {
    switch (route.kind) {
      case 'local':
        return this.#sendToContacts(delivery, route.userKey);
      case 'sip':
        return this.#sendToPeer(delivery, route.domain, route.nextHop);
      case 'link':
        throw new GatewayError('internal', 'a link is not reached over SIP');
    }
  }

  async #sendToContacts(delivery: Delivery, userKey: string): Promise<void> {
    const isSecure = wantsTls(delivery.operation);
    const contacts = this.#contactsFor(delivery.operation, userKey).filter(
      ({ contact }) => !isSecure || isOverTls(contact),
    );
    const { clock } = this.#deps;
    await tryContacts(
      contacts,
      (binding) => this.#sendTo(binding, delivery),
      (binding) => this.#silent.get(silentKey(binding), clock.nowMs()) === true,
    );
  }

  async #sendTo(binding: Binding, delivery: Delivery): Promise<void> {
    const { request, clock } = this.#deps;
    let response: SipResponse;
    try {
      response = await requestToContact(binding, this.#outgoing(delivery, binding.contact, true), request);
    } catch (cause) {
      // Not at once over another flow: the phone may have it, and only its answer be lost.
      if (GatewayError.of(cause).code === 'peer-timeout') this.#silent.set(silentKey(binding), true, clock.nowMs());
      throw cause;
    }
    await this.#took(response, delivery);
  }

  /** The contacts of the device that is meant, where it is there; else all, unless no other may have it. */
  #contactsFor(operation: Operation, userKey: string): readonly Binding[] {
    const { contactsOf } = this.#deps;
    const only = onlyDeviceOf(operation);
    if (only !== undefined) return contactsOf(userKey, only);
    const { instance } = operation.destination;
    const meant = instance !== undefined && isDeviceName(instance) ? contactsOf(userKey, instance) : [];
    return meant.length > 0 ? meant : contactsOf(userKey);
  }

  async #sendToPeer(delivery: Delivery, domain: string, nextHop: string | undefined): Promise<void> {
    const { operation } = delivery;
    const isSecure = wantsTls(operation);
    if (isSecure && nextHop !== undefined && !isOverTls(nextHop)) {
      throw new GatewayError('scheme-unsupported', 'sips to a next hop without TLS');
    }
    const uri = sipUriFromEntity(operation.destination, isSecure ? 'sips' : 'sip');
    const outgoing = this.#outgoing(delivery, uri, false);
    const addressed = {
      ...outgoing,
      ...(nextHop === undefined ? {} : { nextHop: { uri: nextHop } }),
      expectNames: namesExpectedOf(domain, nextHop),
    };
    const { toPeer, request } = this.#deps;
    const answered = toPeer === undefined ? request(addressed) : toPeer(domain, addressed, onBehalfOf(operation));
    await this.#took(await answered, delivery);
  }

  #outgoing(delivery: Delivery, uri: string, isPhone: boolean): SipOutgoing {
    const { operation, sequence } = delivery;
    const target = { uri, sequence, nowMs: this.#deps.clock.nowMs(), isPhone };
    if (operation.op === 'message') {
      const name = isPhone && operation.wants?.as === 'stanza' ? this.#deps.nameOf?.(operation) : undefined;
      return outgoingFromMessage(operation, name === undefined ? target : { ...target, name });
    }
    if (operation.op === 'disposition') return outgoingFromDisposition(operation, target);
    return outgoingFromReport(operation, { address: this.#postmasterFor(operation.destination.address) }, target);
  }

  /** A user of ours hears from the postmaster of his own domain, all others from that of our first. */
  #postmasterFor(user: Address): Address {
    const domain = domainOf(user);
    return postmasterOf(this.#deps.isOwn(domain) ? domain : this.#deps.mainDomain);
  }

  /** Before the delivery is over: a process that ends in between makes it again. @throws as `#check` */
  async #took(response: SipResponse, delivery: Delivery): Promise<void> {
    this.#check(response, delivery);
    const { operation } = delivery;
    if (response.status === 200 && operation.op === 'message') await this.#deps.delivered?.(operation);
  }

  /** @throws GatewayError what an answer that is no success amounts to */
  #check(response: SipResponse, delivery: Delivery): void {
    const { log } = this.#deps;
    const { status } = response;
    if (status < 300) return;
    const fields = { messageId: delivery.id, nextHop: delivery.hop, peer: response.flow.remoteAddress, status };
    if (status === 401 || status === 407) {
      // Only a peer would ask, and there is nothing to tell him: he must know us by address or certificate.
      log.warn(fields, 'peer asks for credentials that this server does not have');
    } else log.debug(fields, 'request answered');
    throw errorFromStatus(status, `answered ${status}`, detailsFrom(response));
  }
}

/** A report is from this server itself. */
function onBehalfOf(operation: Operation): OnBehalfOf | undefined {
  if (operation.op === 'report') return undefined;
  const { source } = operation;
  const privacy = operation.op === 'message' ? operation.privacy : undefined;
  return { author: source.address, ...(privacy === undefined ? {} : { privacy }) };
}

/** Another one once the phone has registered again. */
function silentKey({ contact, flow = '', refreshedAtMs = 0 }: Binding): string {
  return `${refreshedAtMs} ${flow} ${contact}`;
}

function wantsTls(operation: Operation): boolean {
  return operation.op === 'message' && operation.secure === true;
}

/** What an answer says beside its status, cut and cleaned. */
function detailsFrom(response: SipResponse): ErrorDetails {
  const { status, headers } = response;
  const text = withoutControls(warningText(headers.get('Warning')) ?? response.reason).slice(0, TEXT_LENGTH_MAX);
  const contact = status < 400 ? parseNameAddr(headers.get('Contact') ?? '')?.uri : undefined;
  const retryAfterSeconds = parseRetryAfter(headers.get('Retry-After') ?? '');
  const accept = status === 415 ? withoutControls(headers.all('Accept').join(', ')) : '';
  return {
    ...(text === '' ? {} : { text }),
    ...(contact === undefined ? {} : { alternative: contact }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(accept === '' || accept.length > ACCEPT_LENGTH_MAX ? {} : { accept }),
  };
}

/** The words of the first warning: `399 host "words"` (RFC 3261, section 20.43). */
function warningText(value: string | undefined): string | undefined {
  const open = value?.indexOf('"') ?? -1;
  if (value === undefined || open < 0) return undefined;
  const end = endOfQuoted(value, open);
  const text = end < 0 ? '' : unquote(value.slice(open, end));
  return text === '' ? undefined : text;
}

function withoutControls(text: string): string {
  return text.replace(/[\u0000-\u001F\u007F-\u009F]+/g, ' ').trim();
}
