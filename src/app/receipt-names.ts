import { createHmac } from 'node:crypto';
import { addressKey, type Address } from '../cpim/address.ts';
import type { InstantMessage, Wants } from '../cpim/operation.ts';
import type { Named, ReceiptNames } from '../core/receipts/receipt-names.ts';
import { NONCE_BYTES, opened, sealed } from '../crypto/sealing.ts';
import { derivedKey } from './durable-secret.ts';

const INSTANCE_LENGTH_MAX = 100;
const NAME_LENGTH_MAX = 700;
const NAME = /^([A-Za-z0-9_-]{1,40})\.([A-Za-z0-9_-]{38,})$/;

type Sealed = readonly [
  kinds: string,
  as: 's' | 'i',
  id: string,
  dateTime: string,
  instance: string,
  writtenTo: string,
];

/**
 * Names that are sealed with AES-256-GCM over id, recipient and author. The nonce is a sum of what is sealed, keyed, so
 * that the same message has the same name and two messages never share a nonce.
 *
 * @param secret durable, and common to all nodes; the keys are made from it
 */
export function receiptNames(secret: Uint8Array): ReceiptNames {
  const key = derivedKey(secret, 'receipt key');
  const nonceKey = derivedKey(secret, 'receipt nonce');

  const nameOf = (message: InstantMessage): string | undefined => {
    const { id, wants, source } = message;
    if (wants === undefined) return undefined;
    const { instance = '' } = source;
    const text = JSON.stringify([
      `${wants.delivered === true ? 'd' : ''}${wants.displayed === true ? 's' : ''}`,
      wants.as === 'stanza' ? 's' : 'i',
      wants.id,
      wants.dateTime ?? '',
      // Without it the author's server chooses among his devices.
      instance.length > INSTANCE_LENGTH_MAX ? '' : instance,
      message.writtenTo?.address ?? '',
    ]);
    const about = aboutOf(id, message.destination.address, source.address);
    const nonce = createHmac('sha256', nonceKey)
      .update(JSON.stringify([about, text]))
      .digest()
      .subarray(0, NONCE_BYTES);
    const name = `${id}.${sealed(key, nonce, about, Buffer.from(text)).toString('base64url')}`;
    return name.length > NAME_LENGTH_MAX ? undefined : name;
  };

  const read = (name: string, recipient: Address, author: Address): Named | undefined => {
    const [, id, written] = name.length > NAME_LENGTH_MAX ? [] : (NAME.exec(name) ?? []);
    if (id === undefined || written === undefined) return undefined;
    const bytes = Buffer.from(written, 'base64url');
    // base64url has several spellings of one value; only ours is a name.
    if (bytes.toString('base64url') !== written) return undefined;
    const plain = opened(key, aboutOf(id, recipient, author), bytes);
    // Not made here, or about a message of others.
    if (plain === undefined) return undefined;
    // What has the seal is what we wrote.
    const [kinds, as, messageId, dateTime, instance, writtenTo] = JSON.parse(plain.toString('utf8')) as Sealed;
    const wants: Wants = {
      as: as === 's' ? 'stanza' : 'imdn',
      id: messageId,
      ...(kinds.includes('d') ? { delivered: true } : {}),
      ...(kinds.includes('s') ? { displayed: true } : {}),
      ...(dateTime === '' ? {} : { dateTime }),
    };
    return {
      id,
      wants,
      ...(instance === '' ? {} : { authorInstance: instance }),
      ...(writtenTo === '' ? {} : { writtenTo: writtenTo as Address }),
    };
  };

  return { nameOf, read };
}

function aboutOf(id: string, recipient: Address, author: Address): string {
  return JSON.stringify([id, addressKey(recipient), addressKey(author)]);
}
