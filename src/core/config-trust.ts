/** The keys about who is believed, and what is told to whom. */
import * as z from 'zod';
import { meta } from './config-meta.ts';

/** What a SIP peer must offer at least. */
export const SIP_SECURITY = ['none', 'tls', 'mutual-tls'] as const;

export type SipSecurity = (typeof SIP_SECURITY)[number];

/** What must prove the domain of an XMPP peer at least, between servers. */
export const XMPP_SECURITY = ['certificate', 'dialback-over-tls', 'dialback'] as const;

export type XmppSecurity = (typeof XMPP_SECURITY)[number];

export const peerSecurity = z
  .enum([...SIP_SECURITY, ...XMPP_SECURITY])
  .optional()
  .meta(
    meta({
      about:
        'The least that this peer must offer, with `link: sip`: `none` (the default), what `trust` or a certificate says counts; `tls`, nothing comes or goes but over TLS; `mutual-tls`, and only what a certificate for the domain proves is its own, whatever address it comes from. Over a link of type `xmpp-s2s`: `certificate` (the default), a certificate for the domain; `dialback-over-tls`, TLS with any certificate, and a dialback key; `dialback`, a dialback key alone. TLS is used wherever it is offered.',
      sample: 'mutual-tls',
      commented: true,
    }),
  );

/** In which direction identities are asserted between a peer and us. */
export const ASSERTED = ['none', 'believed', 'given', 'both'] as const;

export type Asserted = (typeof ASSERTED)[number];

export const peerIdentity = z
  .strictObject({
    asserted: z
      .enum(ASSERTED)
      .optional()
      .meta(
        meta({
          about:
            'P-Asserted-Identity (RFC 3325): `believed` from this peer about its own users, `given` to it about senders who wish not to be named to others as well, `both`, or `none`. Absent: believed where it comes from the addresses under `trust`.',
          sample: 'both',
        }),
      ),
  })
  .optional()
  .meta(meta({ about: 'Who sends, between this peer and us (only with `link: sip`).', commented: true }));

export type PeerIdentity = {
  readonly asserted?: Asserted;
};

export function builtIdentity({ asserted }: NonNullable<z.output<typeof peerIdentity>>): PeerIdentity {
  return { ...(asserted === undefined ? {} : { asserted }) };
}
