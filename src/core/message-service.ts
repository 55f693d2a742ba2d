import { addressKey, localpartOf, type Address } from '../cpim/address.ts';
import type { InstantMessage } from '../cpim/operation.ts';
import { noticeFrom, wantsFrom, type Notice } from '../cpim/imdn.ts';
import { type CpimMessage, cpimFromContent } from '../cpim/message-cpim.ts';
import { hidesAuthor } from '../cpim/privacy.ts';
import { readableFromContent } from '../cpim/readable.ts';
import { isReturn, type Admission, type Origin } from './admission.ts';
import type { ChatDesk } from './commands/chat-desk.ts';
import { readingContent } from './content-failure.ts';
import type { DeliveryService } from './delivery-service.ts';
import { onlyDeviceOf } from './devices.ts';
import { GatewayError } from './errors.ts';
import type { Log } from './log.ts';
import type { NumberPlan } from './number-plan.ts';
import { parsePhoneNumber } from './phone-number.ts';
import type { Binding, Clock, DeliveryQueue, Route } from './ports.ts';
import { queueEntryOf } from './queue-entry.ts';
import type { ReceiptService } from './receipts/receipt-service.ts';
import type { Router } from './router.ts';
import { Turns } from './turns.ts';

export type MessageServiceDeps = {
  readonly admission: Pick<Admission, 'admit'>;
  readonly router: Pick<Router, 'routeOf'>;
  /** Whether somebody in a domain of ours is served here. */
  readonly isUser: (address: Address) => boolean;
  /** Contacts that can be reached now; of one device alone where it is named. */
  readonly contactsOf: (userKey: string, device?: string) => readonly Binding[];
  readonly queue: Pick<DeliveryQueue, 'add' | 'show'>;
  /** Takes what is for the server itself; absent: it takes nothing. */
  readonly chat?: Pick<ChatDesk, 'isFor' | 'take'>;
  /** Takes what tells the author of a message what became of it; absent: nobody is told. */
  readonly receipts?: Pick<ReceiptService, 'take'>;
  readonly delivery: Pick<DeliveryService, 'whenSettled' | 'settledLately'>;
  /** Who is meant by an address of ours. */
  readonly numbers: Pick<NumberPlan, 'destinationOf'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** Of a message that names none itself. */
  readonly lifetimeMs: number;
  /** The name of this node, where there are several. */
  readonly node?: string;
};

const ID_LENGTH_MAX = 40;
/** What the SIP side puts behind the name of a message for its Call-ID. */
const CALL_ID_END = '@interpres';

/** Takes messages over from both sides. */
export class MessageService {
  readonly #deps: MessageServiceDeps;
  /** By conversation: a message to a number that is being looked up is not overtaken by one that needs no look-up. */
  readonly #lookUps = new Turns();

  constructor(deps: MessageServiceDeps) {
    this.#deps = deps;
  }

  /**
   * Takes a message over: from here on it is delivered, or its sender is told why not.
   *
   * Resolves only after the message is stored: 'queued' then, or 'delivered' when a contact of a local recipient has
   * taken it within the patience of the delivery service. That is waited for only when the sender is on the line (not
   * for messages from a link) and the recipient has contacts. Up to the queue everything happens before this returns,
   * but for a number that is looked up; so those of one conversation are stored in the order of the calls.
   *
   * @throws GatewayError when it is refused, by admission, router, content, queue, or by the recipient while the
   *   sender waited; then nobody is told a second time.
   */
  accept(message: InstantMessage, origin: Origin): Promise<'delivered' | 'queued'> {
    try {
      return this.#accepted(message, origin);
    } catch (thrown) {
      return Promise.reject(GatewayError.of(thrown));
    }
  }

  #accepted(message: InstantMessage, origin: Origin): Promise<'delivered' | 'queued'> {
    const { admission, chat, numbers } = this.#deps;
    admission.admit(message, origin);
    if (chat?.isFor(message) === true) return chat.take(message, origin);
    const { address } = message.destination;
    // In a box: the turn ends when the message is on its way to the queue, not when it has been delivered.
    const boxed = this.#lookUps.runNow(conversationOf(message), () => {
      const to = numbers.destinationOf(address, 'im');
      if (typeof to === 'string') return { outcome: this.#addressed(message, to, origin) };
      return to.then((found) => ({ outcome: this.#addressed(message, found, origin) }));
    });
    return boxed instanceof Promise ? boxed.then(({ outcome }) => outcome) : boxed.outcome;
  }

  #addressed(written: InstantMessage, to: Address, origin: Origin): Promise<'delivered' | 'queued'> {
    const { router, clock, lifetimeMs } = this.#deps;
    const { destination } = written;
    let message: InstantMessage =
      to === destination.address ? written : { ...written, destination: { address: to }, writtenTo: destination };
    const route = router.routeOf(message.source.address, message.destination.address);
    if (isReturn(route, origin)) throw new GatewayError('loop-detected', 'neither this server nor the core knows him');
    if (route.kind === 'link') {
      const { receipts } = this.#deps;
      const cpim = readingContent(() => cpimFromContent(message.content));
      if (receipts !== undefined) {
        const notice = readingContent(() => noticeFrom(message.content, cpim));
        if (notice !== undefined) return noticed(message, notice, receipts);
        if (cpim !== undefined) message = asking(message, cpim);
      }
      checkForXmpp(message, cpim);
    } else if (route.kind === 'local' && !this.#deps.isUser(message.destination.address)) {
      throw new GatewayError('recipient-unknown', `no user ${route.userKey}`);
    }
    const expiresAtMs = Math.min(message.expiresAtMs ?? Number.POSITIVE_INFINITY, message.acceptedAtMs + lifetimeMs);
    if (expiresAtMs <= clock.nowMs()) {
      throw new GatewayError('lifetime-over', 'the message was over before it came');
    }
    return this.#queued({ ...message, hops: message.hops - 1 }, expiresAtMs, route, origin);
  }

  async #queued(
    message: InstantMessage,
    expiresAtMs: number,
    route: Route,
    origin: Origin,
  ): Promise<'delivered' | 'queued'> {
    const { queue, delivery, contactsOf, log, node } = this.#deps;
    const waits =
      origin.kind !== 'link' && route.kind === 'local' && contactsOf(route.userKey, onlyDeviceOf(message)).length > 0;
    // Before the entry is there: its first attempt may end before `add` has resolved.
    const waiting = waits ? delivery.whenSettled(message.id) : undefined;
    let added: 'added' | 'known';
    try {
      added = await queue.add({
        ...queueEntryOf(message, route.hop, expiresAtMs),
        ...(waits && node !== undefined ? { node } : {}),
      });
    } catch (thrown) {
      waiting?.leave();
      throw thrown;
    }
    const fields = { messageId: message.id, operation: 'message', nextHop: route.hop, origin: origin.kind };
    log.info(fields, added === 'added' ? 'operation accepted' : 'operation known already');
    // A repeated request gets the answer that the first one got.
    const earlier = added === 'known' && waiting !== undefined ? delivery.settledLately(message.id) : undefined;
    if (earlier !== undefined) waiting?.leave();
    else if (added === 'known' && (await this.#hasFailed(message.id))) {
      waiting?.leave();
      const anew = sentAnew(message);
      // That one failed, too: it came twice within a millisecond, and its sender is told.
      if (anew.id !== message.id) return this.#queued(anew, expiresAtMs, route, origin);
    }
    if (waiting === undefined) return 'queued';
    const outcome = earlier ?? (await waiting.settled);
    if (outcome.kind === 'failed') throw outcome.error;
    return outcome.kind === 'delivered' ? 'delivered' : 'queued';
  }

  async #hasFailed(id: string): Promise<boolean> {
    return (await this.#deps.queue.show(id))?.state === 'dead';
  }
}

/**
 * A message that failed before and comes once more: chat clients send again under the same origin-id what their user
 * tries again. It is another one, lest it be taken and go nowhere.
 */
function sentAnew(message: InstantMessage): InstantMessage {
  const mark = `-${message.acceptedAtMs.toString(36)}`;
  if (message.id.endsWith(mark)) return message;
  return { ...message, id: `${message.id.slice(0, ID_LENGTH_MAX - mark.length)}${mark}` };
}

/** Of one author with one other; a number is one, however it is written. */
function conversationOf({ source, destination: { address } }: InstantMessage): string {
  return `${addressKey(source.address)}\n${parsePhoneNumber(localpartOf(address) ?? '') ?? addressKey(address)}`;
}

/** What goes to XMPP must have a text in it. @throws GatewayError, also 'content-unsupported' and 'content-malformed' */
function checkForXmpp({ secure, content }: InstantMessage, cpim: CpimMessage | undefined): void {
  // RFC 7247, section 8: what sips asks for ends where XMPP begins.
  if (secure === true) throw new GatewayError('scheme-unsupported', 'sips to an XMPP domain');
  if (!('text' in content)) readingContent(() => readableFromContent(content, cpim));
}

/** A notification for an XMPP user: no message for him, and no fault where it is about none that asked. */
async function noticed(
  { source, destination }: InstantMessage,
  { messageId, status }: Notice,
  receipts: Pick<ReceiptService, 'take'>,
): Promise<'delivered'> {
  // Phones that tell unasked name the request, not the message in it.
  const name = messageId.endsWith(CALL_ID_END) ? messageId.slice(0, -CALL_ID_END.length) : messageId;
  if (status !== undefined) await receipts.take({ name, status, source, destination });
  return 'delivered';
}

/** With what its author asks for; one who does not say who he is can be told nothing. */
function asking(message: InstantMessage, cpim: CpimMessage): InstantMessage {
  const wants = hidesAuthor(message.privacy) ? undefined : wantsFrom(cpim);
  return wants === undefined ? message : { ...message, wants };
}
