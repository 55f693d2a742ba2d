import { randomUUID } from 'node:crypto';
import type { Address } from '../cpim/address.ts';
import type { InstantMessage } from '../cpim/operation.ts';
import type { XmlElement } from '../cpim/xml.ts';
import { type ErrorCode, GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import type { ReceiptService } from '../core/receipts/receipt-service.ts';
import type { Gateway } from './gateway/gateway.ts';
import type { IqDesk } from './gateway/iq-desk.ts';
import { formatJid, parseJid } from './jid.ts';
import { addressFromJid, type ComponentDomains, entityFromJid } from './map-address.ts';
import { messageFromStanza } from './map-message.ts';
import type { LinkPresence } from './presence/xmpp-presence.ts';
import { failureFrom, stanzaErrorFrom } from './stanza-error.ts';
import {
  errorAnswer,
  type IqStanza,
  type MessageStanza,
  type Misfit,
  readStanza,
  resultAnswer,
  type Stanza,
  unsubscribedAnswer,
} from './stanza.ts';

/** What the stanzas of one link need of the world. */
export type XmppDispatchDeps = {
  /** The link's name. */
  readonly link: string;
  readonly domains: ComponentDomains;
  /** Answers over the link (`XmppLink.post`). */
  readonly post: (stanza: XmlElement) => void;
  /** Whether this domain is a peer that is reached over this link. */
  readonly isPeer: (domain: string) => boolean;
  /** Takes a message over; its calls are made in the order of the stream. */
  readonly accept: (
    message: InstantMessage,
    origin: { readonly kind: 'link'; readonly link: string; readonly domain: string },
  ) => Promise<unknown>;
  /** Takes what somebody says of a message that we sent him; never rejects. Absent: nobody asks. */
  readonly receipt?: ReceiptService['came'];
  /** Presence of the link (`XmppPresence.forLink`). */
  readonly presence: Pick<LinkPresence, 'presence' | 'event' | 'answered'>;
  /** An error came for what was delivered under this id; the core checks that `from` is whom it went to. */
  readonly failedLater: (id: string, error: GatewayError, from: Address) => void;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** Whether an address is the server itself, which takes commands as messages. */
  readonly isService: (address: Address) => boolean;
  /** The link as a gateway with a presence of its own; absent: it has none. */
  readonly gateway?: Pick<Gateway, 'presence' | 'granted'>;
  /** Answers iq requests. */
  readonly iq: IqDesk;
};

/** The form of ids that operations have (see InstantMessage). */
const OPERATION_ID = /^[A-Za-z0-9_-]{1,40}$/;

/**
 * Makes the handler for the stanzas of one link (`LinkEvents.onStanza`): says who may speak, hands messages and presence
 * to those who deal with them, answers what is to be answered. The one place on the XMPP side that turns a failure into
 * an error stanza.
 *
 * Guarantees: an iq request gets exactly one answer; nothing that is an error or a result gets any (RFC 6120, section
 * 8.3.1); the identity of a sender is the stanza's `from` and nothing inside the stanza.
 *
 * The handler returns a promise while a message or a subscription is being stored, and never rejects or throws.
 */
export function xmppDispatch(deps: XmppDispatchDeps): (element: XmlElement) => Promise<void> | undefined {
  const log = deps.log.child({ link: deps.link });

  /** Tells a stanza's sender no, unless that would answer an answer. */
  const refuse = (element: XmlElement, thrown: unknown): void => {
    const error = GatewayError.of(thrown);
    const { id, from, type } = element.attrs;
    const fields = {
      ...(id === undefined ? {} : { stanzaId: id }),
      jid: from ?? '',
      stanza: element.name,
      code: error.code,
    };
    if (error.code === 'internal') log.error({ ...fields, error }, 'stanza failed');
    // Clients ask for much that is not served, with every contact they see.
    else log[element.name === 'iq' ? 'debug' : 'info']({ ...fields, reason: error.message }, 'stanza refused');
    if (type === 'error' || type === 'result') return;
    if (element.name === 'presence' && type === 'subscribe' && error.code === 'sender-forbidden') {
      // RFC 6121, section 3.2.1: so a contact says no; by what he was refused the watcher need not know.
      deps.post(unsubscribedAnswer(element));
      return;
    }
    const answer = errorAnswer(element, stanzaErrorFrom(error.code, error.details));
    // Where `to` was no JID the answer can only come from the domain.
    const isFromJid = parseJid(answer.attrs['from'] ?? '') !== undefined;
    deps.post(
      isFromJid ? answer : { ...answer, attrs: { ...answer.attrs, from: formatJid({ domain: deps.domains.name }) } },
    );
  };

  const message = (stanza: MessageStanza, element: XmlElement): Promise<void> | undefined => {
    if (stanza.type === 'error') {
      failed(stanza, deps);
      return undefined;
    }
    if (deps.gateway?.granted(element, stanza) === true) return undefined;
    if (deps.presence.event(stanza)) return undefined;
    if (stanza.type === 'groupchat') throw new GatewayError('request-malformed', 'groupchat to what is no room');
    const { domains, clock } = deps;
    const receipt = received(stanza, deps);
    const operation = messageFromStanza(stanza, { domains, nowMs: clock.nowMs(), randomId });
    if (operation === undefined && receipt !== undefined) return receipt;
    if (operation === undefined) {
      log.debug({ stanzaId: stanza.id ?? '' }, 'message without a text has nothing to carry');
      return undefined;
    }
    const isForService = deps.isService(operation.destination.address);
    if (stanza.to.local === undefined && !isForService) {
      throw new GatewayError('service-refused', 'message to the domain itself');
    }
    // RFC 6121, section 5.2.2: nobody waits for an answer to it.
    if (isForService && stanza.type === 'headline') return undefined;
    const origin = { kind: 'link', link: deps.link, domain: stanza.from.domain } as const;
    return deps.accept(operation, origin).then(
      () => undefined,
      (thrown: unknown) => refuse(element, thrown),
    );
  };

  /** Exactly one answer: what the desk throws is answered by whoever catches it. */
  const request = (stanza: IqStanza, element: XmlElement): Promise<void> | undefined => {
    const answer = (payload: XmlElement | undefined): void => deps.post(resultAnswer(element, payload));
    const payload = deps.iq(stanza, element);
    if (payload instanceof Promise) return payload.then(answer, (thrown: unknown) => refuse(element, thrown));
    answer(payload);
    return undefined;
  };

  const handle = (stanza: Stanza, element: XmlElement): Promise<void> | undefined => {
    switch (stanza.kind) {
      case 'message':
        return message(stanza, element);
      case 'iq':
        if (stanza.type === 'get' || stanza.type === 'set') return request(stanza, element);
        if (!deps.presence.answered(element)) {
          log.debug({ stanzaId: stanza.id ?? '' }, 'answer to nothing we asked ignored');
        }
        return undefined;
      case 'presence':
        if (deps.gateway?.presence(stanza) === true) return undefined;
        return deps.presence.presence(stanza)?.catch((thrown: unknown) => refuse(element, thrown));
    }
  };

  return (element) => {
    const { id, from: sender } = element.attrs;
    log.trace({ stanza: element.name, stanzaId: id ?? '', jid: sender ?? '' }, 'stanza received');
    const stanza = readStanza(element);
    const reason = reasonToDrop(stanza, element, deps);
    if (reason !== undefined) {
      const { from, to } = element.attrs;
      log.warn({ jid: from ?? '', to: to ?? '', stanza: element.name, reason }, 'stanza dropped');
      return undefined;
    }
    try {
      if (stanza.from === undefined || !deps.isPeer(stanza.from.domain)) {
        throw new GatewayError('sender-forbidden', 'the sender is in no domain that is reached over this link');
      }
      if (stanza.kind === 'misfit') throw misfit(stanza.fault);
      return handle(stanza, element);
    } catch (thrown) {
      refuse(element, thrown);
      return undefined;
    }
  };
}

/** Why a stanza gets neither handling nor answer: nobody could be told, it claims to be ours, or it is for others. */
function reasonToDrop(
  { from, to }: Stanza | Misfit,
  element: XmlElement,
  { domains, isPeer }: XmppDispatchDeps,
): string | undefined {
  if (from === undefined) return 'sender is no JID';
  if (from.domain === domains.name || from.domain === domains.domain) return 'sender claims our own domain';
  // What is no JID but ends in our name was meant for us, and is answered jid-malformed.
  if ((to?.domain ?? domainPart(element.attrs['to'] ?? '')) !== domains.name)
    return 'addressed to another domain than ours';
  if (element.name === 'presence' && !isPeer(from.domain)) return 'presence from a domain that is no peer';
  return undefined;
}

function domainPart(text: string): string | undefined {
  const bare = text.split('/', 1)[0] ?? '';
  return parseJid(bare.slice(bare.lastIndexOf('@') + 1))?.domain;
}

function misfit(fault: 'from-malformed' | 'to-malformed' | 'request-malformed'): GatewayError {
  const code: ErrorCode = fault === 'request-malformed' ? fault : 'address-malformed';
  return new GatewayError(code, `malformed stanza: ${fault}`);
}

/** What a stanza says of a message that we sent; undefined where it says nothing. */
function received({ receipt, from, to }: MessageStanza, deps: XmppDispatchDeps): Promise<void> | undefined {
  if (receipt === undefined || deps.receipt === undefined) return undefined;
  const [source, destination] = [entityFromJid(from, deps.domains), entityFromJid(to, deps.domains)];
  if (source === undefined || destination === undefined) return undefined;
  const { id: name, status } = receipt;
  const origin = { kind: 'link', link: deps.link, domain: from.domain } as const;
  return deps.receipt({ name, status, source, destination }, origin);
}

/** An error for what we delivered; anything else is nobody's. */
function failed(stanza: MessageStanza, deps: XmppDispatchDeps): void {
  const { error } = stanza;
  // What its recipient is asked to tell about has a name that begins with its id.
  const id = stanza.id?.split('.', 1)[0];
  if (id === undefined || error === undefined || !OPERATION_ID.test(id)) return;
  const from = addressFromJid(stanza.from, deps.domains);
  if (from !== undefined) deps.failedLater(id, failureFrom(error, stanza.from), from);
}

/** 122 random bits: drawn in batches, where asking for bytes each time costs more than all else that reads a stanza. */
function randomId(): string {
  return `x${randomUUID()}`;
}
