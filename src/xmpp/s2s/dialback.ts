import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { textOf, type XmlElement } from '../../cpim/xml.ts';
import { conditionNamed } from '../condition-name.ts';
import { formatJid, parseJid } from '../jid.ts';
import { NS, plain } from './stream-elements.ts';

/** What a dialback key is made for: one stream of one pair of domains. */
export type DialbackStream = {
  /** The domain that the key proves: the originating server's. */
  readonly originating: string;
  /** The domain that it is proved to. */
  readonly receiving: string;
  /** The stream's id, given by the receiving server. */
  readonly streamId: string;
};

/**
 * Keys of server dialback, made so that whoever knows the secret can check one without remembering it (XEP-0185).
 *
 * The three parts are joined by blanks, which no domain has, so that no key serves for another division of the same
 * letters (CVE-2016-0756). The secret is unguessable (CVE-2016-1232).
 */
export class DialbackKeys {
  readonly #hashed: string;

  /** @param secret known to every server that answers for our domains, and to nobody else */
  constructor(secret: string) {
    this.#hashed = createHash('sha256').update(secret, 'utf8').digest('hex');
  }

  /** @returns lower-case hex */
  keyFor({ originating, receiving, streamId }: DialbackStream): string {
    return createHmac('sha256', this.#hashed).update(`${receiving} ${originating} ${streamId}`, 'utf8').digest('hex');
  }

  isKeyFor(stream: DialbackStream, key: string): boolean {
    const wanted = Buffer.from(this.keyFor(stream), 'utf8');
    const given = Buffer.from(key, 'utf8');
    return wanted.length === given.length && timingSafeEqual(wanted, given);
  }
}

/** A dialback element (XEP-0220): a key to be checked, or what became of it. */
export type DialbackMessage = {
  readonly kind: 'result' | 'verify';
  /** Domains in canonical form. */
  readonly from: string;
  readonly to: string;
  /** Of the stream whose key is asked about; with `verify` only. */
  readonly id?: string;
  /** Absent: a question. */
  readonly type?: 'valid' | 'invalid' | 'error';
  readonly key: string;
  /** With type `error`. */
  readonly condition?: string;
};

/** Longer than any key that is in use. */
const KEY_UNITS_MAX = 1_024;
const ID_UNITS_MAX = 1_024;

/**
 * Reads a dialback element by its local name.
 *
 * @returns undefined where its ends are no domains, or something that it must have is missing
 */
export function readDialback(name: string, element: XmlElement): DialbackMessage | undefined {
  if (name !== 'result' && name !== 'verify') return undefined;
  const from = domainIn(element.attrs['from']);
  const to = domainIn(element.attrs['to']);
  const { id, type } = element.attrs;
  if (from === undefined || to === undefined) return undefined;
  if (name === 'verify' && (id === undefined || id === '' || id.length > ID_UNITS_MAX)) return undefined;
  if (type !== undefined && type !== 'valid' && type !== 'invalid' && type !== 'error') return undefined;
  const key = textOf(element).trim();
  if (key.length > KEY_UNITS_MAX || (type === undefined && key === '')) return undefined;
  return {
    kind: name,
    from,
    to,
    key,
    ...(name === 'verify' && id !== undefined ? { id } : {}),
    ...(type === undefined ? {} : { type }),
    ...(type === 'error' ? { condition: conditionIn(element) } : {}),
  };
}

/** The element on the wire. An error carries its condition instead of the key (XEP-0220, section 2.4). */
export function dialbackElement({ kind, from, to, id, type, key, condition }: DialbackMessage): XmlElement {
  const attrs = {
    from: formatJid({ domain: from }),
    to: formatJid({ domain: to }),
    ...(id === undefined ? {} : { id }),
    ...(type === undefined ? {} : { type }),
  };
  const name = `db:${kind}`;
  if (type !== 'error') return { name, attrs, children: type === undefined ? [key] : [] };
  const error = {
    name: 'error',
    attrs: { type: 'cancel' },
    children: [plain(condition ?? 'internal-server-error', NS.stanzaErrors)],
  };
  return { name, attrs, children: [error] };
}

/** The answer to a question: its ends turned round. */
export function dialbackAnswer(
  question: DialbackMessage,
  type: 'valid' | 'invalid' | 'error',
  condition?: string,
): DialbackMessage {
  return {
    kind: question.kind,
    from: question.to,
    to: question.from,
    key: '',
    type,
    ...(question.id === undefined ? {} : { id: question.id }),
    ...(condition === undefined ? {} : { condition }),
  };
}

/**
 * The authoritative server's word on a key (XEP-0220, section 2.3): said from the question alone, whoever asks, so that
 * nothing is kept for it.
 */
export function authoritativeAnswer(
  question: DialbackMessage,
  keys: DialbackKeys,
  isOurs: (domain: string) => boolean,
): DialbackMessage {
  if (!isOurs(question.to)) return dialbackAnswer(question, 'error', 'item-not-found');
  const stream = { originating: question.to, receiving: question.from, streamId: question.id ?? '' };
  return dialbackAnswer(question, keys.isKeyFor(stream, question.key) ? 'valid' : 'invalid');
}

function domainIn(text: string | undefined): string | undefined {
  const jid = text === undefined ? undefined : parseJid(text);
  return jid === undefined || jid.local !== undefined || jid.resource !== undefined ? undefined : jid.domain;
}

function conditionIn(element: XmlElement): string {
  const error = element.children.find((child) => typeof child !== 'string' && /^(.*:)?error$/.test(child.name));
  if (error === undefined || typeof error === 'string') return 'undefined-condition';
  for (const child of error.children) {
    if (typeof child !== 'string' && child.attrs['xmlns'] === NS.stanzaErrors && child.name !== 'text')
      return conditionNamed(child.name);
  }
  return 'undefined-condition';
}
