import type { Address } from '../../cpim/address.ts';
import { hidesAuthor, type Privacy } from '../../cpim/privacy.ts';
import type { PeerTable } from '../../core/peers.ts';
import type { IdentitySigner } from '../identity/identity-signer.ts';
import { parseNameAddr } from '../header-values.ts';
import { sipUriFromAddress } from '../map-address.ts';
import type { HeaderField, SipOutgoing, SipResponse } from '../message.ts';
import { isOverTls, namesExpectedOf } from '../next-hop.ts';

/** On whose behalf a request goes out, and what he wishes to keep to himself. */
export type OnBehalfOf = { readonly author: Address; readonly privacy?: Privacy };

export type PeerRequestsDeps = {
  readonly request: (outgoing: SipOutgoing) => Promise<SipResponse>;
  readonly peers: Pick<PeerTable, 'isGivenIdentity' | 'securityOf' | 'signaturesOf' | 'peersOf'>;
  /** Signs who sends; absent: nothing is signed. */
  readonly signer?: Pick<IdentitySigner, 'signed'>;
  /** A telephone number of a user of ours, `+15551234`; absent: nobody has one. */
  readonly numberOf?: (user: Address) => string | undefined;
};

/**
 * Sends requests to other SIP domains with what each of them is told about who sends, and over nothing less than it must
 * offer. The one way out to peers, whichever method it is.
 */
export class PeerRequests {
  readonly #deps: PeerRequestsDeps;

  constructor(deps: PeerRequestsDeps) {
    this.#deps = deps;
  }

  /** @param onBehalfOf absent: of nobody but this server */
  request(domain: string, outgoing: SipOutgoing, onBehalfOf?: OnBehalfOf): Promise<SipResponse> {
    const headers = onBehalfOf === undefined ? [] : this.#identityHeaders(domain, onBehalfOf);
    const told = headers.length === 0 ? outgoing : { ...outgoing, headers: [...outgoing.headers, ...headers] };
    const { peers, signer, request } = this.#deps;
    const secured = this.#secured(domain, told);
    const isSigned = signer !== undefined && onBehalfOf !== undefined && peers.signaturesOf(domain).isSigned;
    return isSigned ? this.#signed(secured, onBehalfOf.author, signer) : request(secured);
  }

  /** Once more with all that was signed for one who could not put it together himself (RFC 8224, section 6.1.1). */
  async #signed(outgoing: SipOutgoing, author: Address, signer: Pick<IdentitySigner, 'signed'>): Promise<SipResponse> {
    const { request } = this.#deps;
    const compact = signer.signed(outgoing, author, 'compact');
    const response = await request(compact);
    if (response.status !== 438 || compact === outgoing) return response;
    return request(signer.signed(outgoing, author, 'full'));
  }

  /**
   * Within the trust domain who it is, whatever From says, and what he wishes, for those who pass it on (RFC 3325, sections
   * 5 and 9.3); outside of it nothing but that he does not wish to be named.
   */
  #identityHeaders(domain: string, { author, privacy }: OnBehalfOf): readonly HeaderField[] {
    const { peers, numberOf } = this.#deps;
    if (!peers.isGivenIdentity(domain)) return hidesAuthor(privacy) ? [['Privacy', 'id']] : [];
    const number = numberOf?.(author);
    return [
      ['P-Asserted-Identity', `<${sipUriFromAddress(author)}>`],
      ...(number === undefined ? [] : [['P-Asserted-Identity', `<tel:${number}>`] as const]),
      ...(privacy === undefined ? [] : [['Privacy', privacy.join(';')] as const]),
    ];
  }

  /**
   * A peer that must have TLS gets nothing without it, wherever its own Contact or Record-Route would lead: what is not over
   * TLS goes to its next hop instead, which is.
   */
  #secured(domain: string, outgoing: SipOutgoing): SipOutgoing {
    const { peers } = this.#deps;
    if (peers.securityOf(domain) === 'none') return outgoing;
    const { nextHop } = outgoing;
    // A flow is what a request of the peer has come over, and was good enough then.
    const isOverFlow = nextHop !== undefined && 'flow' in nextHop;
    if (!isOverFlow && isOverTls(nextHop?.uri ?? firstHopOf(outgoing))) return outgoing;
    const uri = peers.peersOf(domain).find(({ link }) => link === 'sip')?.nextHop;
    const expectNames = namesExpectedOf(domain, uri);
    if (isOverFlow) return { ...outgoing, expectNames };
    return uri === undefined ? outgoing : { ...outgoing, nextHop: { uri }, expectNames };
  }
}

function firstHopOf({ headers, uri }: SipOutgoing): string {
  const route = headers.find(([name]) => name === 'Route');
  return route === undefined ? uri : (parseNameAddr(route[1])?.uri ?? uri);
}
