import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { addressKey, type Address } from '../cpim/address.ts';
import type { InstantMessage, Wants } from '../cpim/operation.ts';
import type { Named, ReceiptNames } from '../core/receipts/receipt-names.ts';
import { derivedKey } from './durable-secret.ts';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
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
    const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(about));
    const parts = [nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()];
    const name = `${id}.${Buffer.concat(parts).toString('base64url')}`;
    return name.length > NAME_LENGTH_MAX ? undefined : name;
  };

  const read = (name: string, recipient: Address, author: Address): Named | undefined => {
    const [, id, sealed] = name.length > NAME_LENGTH_MAX ? [] : (NAME.exec(name) ?? []);
    if (id === undefined || sealed === undefined) return undefined;
    const bytes = Buffer.from(sealed, 'base64url');
    // base64url has several spellings of one value; only ours is a name.
    if (bytes.length < NONCE_BYTES + TAG_BYTES || bytes.toString('base64url') !== sealed) return undefined;
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(aboutOf(id, recipient, author)));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    let text: string;
    try {
      const data = bytes.subarray(NONCE_BYTES, -TAG_BYTES);
      text = Buffer.concat([decipher.update(data), decipher.final()]).toString('utf8');
    } catch {
      // Not made here, or about a message of others.
      return undefined;
    }
    // What has the seal is what we wrote.
    const [kinds, as, messageId, dateTime, instance, writtenTo] = JSON.parse(text) as Sealed;
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
