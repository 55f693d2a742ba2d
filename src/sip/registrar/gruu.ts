import { createHash, randomBytes } from 'node:crypto';
import { addressFrom, addressKey, domainOf, localpartOf, type Address } from '../../cpim/address.ts';
import type { Entity } from '../../cpim/operation.ts';
import { deviceOf } from '../../core/devices.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Binding } from '../../core/ports.ts';
import { NONCE_BYTES, opened, sealed } from '../../crypto/sealing.ts';
import { sipUriFromEntity } from '../map-address.ts';
import { formatSipUri, parseSipUri, uriParam, type SipUri } from '../uri.ts';

export type GruuDeps = {
  /** 32 bytes that stay the same over restarts: what was made with others is not known here. */
  readonly secret: Uint8Array;
  readonly isOwn: (domain: string) => boolean;
  /** All contacts of a user, whether they can be reached or not. */
  readonly contactsOf: (userKey: string) => readonly Binding[];
};

/** What the user part of a temporary GRUU begins with. */
const TEMPORARY = 'tgruu.';
const TIME_BYTES = 6;
const DEVICE_BYTES = 8;
/** Names are filled up to a multiple of this, so that their length tells nobody whose it is; bytes. */
const NAME_STEP = 32;
const TEMPORARY_LENGTH_MAX = 600;

/**
 * Addresses of single devices (RFC 5627): the public one is the user's with the device's URN in `gr`; a temporary one
 * says nothing of either to anybody but this server, and no two of them look alike.
 *
 * Neither is kept anywhere. A temporary one holds, encrypted, whose it is, for which device, and since when that one has
 * had such addresses; it ends with the registration, and when the phone starts anew (section 5.1).
 */
export class Gruus {
  readonly #deps: GruuDeps;

  constructor(deps: GruuDeps) {
    this.#deps = deps;
  }

  /** Section 5.4. The same as long as user and device are. */
  publicOf(user: Address, device: string): string {
    return sipUriFromEntity({ address: user, instance: device });
  }

  /** A new one at each call (section 5.1). @param sinceMs `Binding.gruusSinceMs` */
  temporaryOf(user: Address, device: string, sinceMs: number): string {
    const name = Buffer.from(localpartOf(user) ?? '');
    const plain = Buffer.alloc(TIME_BYTES + DEVICE_BYTES + Math.ceil((name.length + 1) / NAME_STEP) * NAME_STEP);
    plain.writeUIntBE(sinceMs, 0, TIME_BYTES);
    deviceHash(device).copy(plain, TIME_BYTES);
    name.copy(plain, TIME_BYTES + DEVICE_BYTES);
    const domain = domainOf(user);
    const bytes = sealed(this.#deps.secret, randomBytes(NONCE_BYTES), domain, plain);
    return `sip:${TEMPORARY}${bytes.toString('base64url')}@${domain};gr`;
  }

  /**
   * The user and device that a URI of ours with `gr` names; undefined for every other URI.
   *
   * @throws GatewayError 'recipient-unknown' for a temporary one that is none of ours, or is over (section 6.1: 404)
   */
  entityOf(uri: SipUri): Entity | undefined {
    const gr = uriParam(uri, 'gr');
    if (gr === undefined || !this.#deps.isOwn(uri.host)) return undefined;
    if (gr === true || gr === '' || uri.user?.startsWith(TEMPORARY) === true) return this.#opened(uri);
    const address = addressFrom(decoded(uri.user), uri.host);
    const device = decoded(gr);
    return address === undefined || device === undefined ? undefined : { address, instance: device };
  }

  /**
   * A Request-URI with a temporary GRUU in it replaced by the public one of the same device; others as they are.
   *
   * @throws GatewayError 'recipient-unknown' as `entityOf`
   */
  withoutTemporary(text: string): string {
    // Looked at for every request: most of them have none.
    if (!/;gr\b/i.test(text)) return text;
    const uri = parseSipUri(text);
    const entity = uri === undefined ? undefined : this.entityOf(uri);
    if (uri === undefined || entity?.instance === undefined || uri.user?.startsWith(TEMPORARY) !== true) return text;
    const named = parseSipUri(this.publicOf(entity.address, entity.instance));
    return named === undefined ? text : formatSipUri({ ...named, scheme: uri.scheme });
  }

  #opened(uri: SipUri): Entity {
    const entity = this.#sealedIn(uri);
    if (entity === undefined) {
      throw new GatewayError('recipient-unknown', 'no temporary address of this server, or over');
    }
    return entity;
  }

  #sealedIn({ user = '', host }: SipUri): Entity | undefined {
    if (!user.startsWith(TEMPORARY) || user.length > TEMPORARY_LENGTH_MAX) return undefined;
    // Undefined where it is forged, or made with another secret.
    const plain = opened(this.#deps.secret, host, Buffer.from(user.slice(TEMPORARY.length), 'base64url'));
    if (plain === undefined || plain.length < TIME_BYTES + DEVICE_BYTES + NAME_STEP) return undefined;
    const name = plain
      .subarray(TIME_BYTES + DEVICE_BYTES)
      .toString('utf8')
      .replace(/\0+$/, '');
    const address = addressFrom(name, host);
    if (address === undefined) return undefined;
    const sinceMs = plain.readUIntBE(0, TIME_BYTES);
    const hash = plain.subarray(TIME_BYTES, TIME_BYTES + DEVICE_BYTES);
    let last: Binding | undefined;
    for (const binding of this.#deps.contactsOf(addressKey(address))) {
      const device = deviceOf(binding);
      if (device === undefined || !deviceHash(device).equals(hash)) continue;
      if (last === undefined || (binding.refreshedAtMs ?? 0) > (last.refreshedAtMs ?? 0)) last = binding;
    }
    const instance = last === undefined ? undefined : deviceOf(last);
    return instance === undefined || last?.gruusSinceMs !== sinceMs ? undefined : { address, instance };
  }
}

function deviceHash(device: string): Buffer {
  return createHash('sha256').update(device.toLowerCase()).digest().subarray(0, DEVICE_BYTES);
}

function decoded(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
