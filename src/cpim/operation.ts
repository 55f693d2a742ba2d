/**
 * The operations of the abstract messaging service that cross the core (RFC 3860, section 3.4).
 *
 * A mapper of one protocol makes them, a mapper of the other reads them; nothing in them belongs to one wire form.
 * They are plain data: they go through JSON into the queue and come back equal.
 */
import type { Address } from './address.ts';
import type { Content } from './content.ts';
import type { Privacy } from './privacy.ts';

/** Who sends or receives: an address and, where one is known, the instance of it (GRUU, XMPP resource). */
export type Entity = {
  readonly address: Address;
  /** Decoded text of `gr` or of the resourcepart (RFC 7247, section 6.3). */
  readonly instance?: string;
};

/** A text with its language tag as sent (RFC 5646); no tag means that the sender gave none. */
export type LocalizedText = { readonly text: string; readonly language?: string };

/** What became of a message (RFC 5438, section 5.1): it reached a device, or was shown. */
export type DispositionStatus = 'delivered' | 'displayed';

/** What the author of a message asks to be told of it. */
export type Wants = {
  readonly delivered?: true;
  readonly displayed?: true;
  /** How he asked, and so how he is told: in a stanza (XEP-0184, XEP-0333) or in message/cpim (RFC 5438). */
  readonly as: 'stanza' | 'imdn';
  /** What he calls the message: stanza id, imdn.Message-ID. At most 256 characters. */
  readonly id: string;
  /** DateTime of the message/cpim as sent, which a notification repeats. */
  readonly dateTime?: string;
};

/** One pager-mode message on its way (RFC 3860, section 3.4.1: the message operation). */
export type InstantMessage = {
  readonly op: 'message';
  /**
   * Names this operation everywhere: queue, log, stanza id. A token of at most 40 characters of `A-Z a-z 0-9 - _`.
   * Made by the mapper from what the sender's protocol repeats in a retransmission, so that the same request gives
   * the same id (CPIM TransID).
   */
  readonly id: string;
  readonly source: Entity;
  readonly destination: Entity;
  /** Whom its author wrote to, where that is another address: an alias, or a telephone number. He knows no other. */
  readonly writtenTo?: Entity;
  /** How many more hops it may make; what SIP calls Max-Forwards. Refused when it would fall below zero. */
  readonly hops: number;
  /** When this server took it over, ms since the epoch. */
  readonly acceptedAtMs: number;
  /**
   * After this its author does not want it delivered any more, ms since the epoch; absent where he said nothing. How
   * long this server tries is its own matter and stands in the queue's entry.
   */
  readonly expiresAtMs?: number;
  /** When its author says it was written, ms since the epoch: SIP Date, XEP-0203 stamp. */
  readonly sentAtMs?: number;
  /** What binds the messages of one conversation: SIP Call-ID, XMPP thread. */
  readonly thread?: string;
  /** The id the sender's own protocol gave it, where an error must name it: XMPP stanza id. */
  readonly senderId?: string;
  /** One per language; the first is the preferred one. */
  readonly subjects?: readonly LocalizedText[];
  /** Language of the content: Content-Language, xml:lang of the chosen body. */
  readonly language?: string;
  readonly content: Content;
  /**
   * The destination's instance, and no other, may have it: it was addressed to a GRUU (RFC 5627, section 6.1). Otherwise
   * the instance is who it is for if he is there (RFC 6121, section 8.5.3).
   */
  readonly isForInstanceOnly?: true;
  /** What its author asks to be told of it; absent: nothing. */
  readonly wants?: Wants;
  /** What its author wishes to keep from everybody whom his side does not trust; absent: nothing. */
  readonly privacy?: Privacy;
  /** Asked for by a sips: URI: it may travel over TLS only, and not into XMPP (RFC 7247, section 8). */
  readonly secure?: true;
  /** End-to-end SIP header fields that we do not interpret; carried between SIP hops only, name and value as sent. */
  readonly extras?: ReadonlyArray<readonly [name: string, value: string]>;
};

/** Word to the sender of a message that was accepted and then could not be delivered. */
export type FailureReport = {
  readonly op: 'report';
  /** Own id of the report, made from that of the message, so that a message is reported once. */
  readonly id: string;
  /** Who could not be reached. */
  readonly source: Entity;
  /** Who is told: the sender of the message. */
  readonly destination: Entity;
  readonly acceptedAtMs: number;
  readonly expiresAtMs?: number;
  readonly thread?: string;
  readonly about: {
    readonly id: string;
    /** The id that the sender's protocol gave the message; the error stanza carries it. */
    readonly senderId?: string;
    readonly subject?: string;
    /** First words of the text, at most 80 characters; absent for content that is not text. */
    readonly excerpt?: string;
  };
  /** Why: an ErrorCode of the core; a plain string here, because the vocabulary knows no core. */
  readonly code: string;
  /** What the far side said in its own words, where it said something; cleaned of control characters. */
  readonly text?: string;
  /** Where the recipient is to be found instead: a URI as the far side gave it. */
  readonly alternative?: string;
};

/** Word to the author of a message that it was delivered, or shown; only where he asked. Its own failure is told nobody. */
export type Disposition = {
  readonly op: 'disposition';
  /** Made from that of the message and the status, so that each is told once. */
  readonly id: string;
  /** Whom the message was written to. */
  readonly source: Entity;
  /** Who is told: its author. */
  readonly destination: Entity;
  readonly acceptedAtMs: number;
  readonly expiresAtMs: number;
  readonly status: DispositionStatus;
  readonly about: Pick<Wants, 'as' | 'id' | 'dateTime'>;
};

/** What the queue holds. */
export type Operation = InstantMessage | FailureReport | Disposition;
