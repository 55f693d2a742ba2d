/** The keys about who is believed, and what is told to whom. */
import * as z from 'zod';
import type { FileTexts } from './files.ts';
import { plain } from './kinds.ts';
import { meta, text } from './meta.ts';

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

/** What of a peer's requests must be signed (RFC 8224). */
export const IDENTITY_POLICIES = ['off', 'check', 'require'] as const;

export type IdentityPolicy = (typeof IDENTITY_POLICIES)[number];

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
    sign: z
      .boolean()
      .default(false)
      .meta(
        meta({ about: 'Messages and subscriptions to it are signed (SIP Identity, RFC 8224); needs `sip.identity`.' }),
      ),
    verify: z
      .enum(IDENTITY_POLICIES)
      .default('off')
      .meta(
        meta({
          about:
            'What of its messages and subscriptions must be signed: `off`, nothing is looked at; `check`, a signature that is there must be right; `require`, there must be one.',
        }),
      ),
  })
  .optional()
  .meta(meta({ about: 'Who sends, between this peer and us (only with `link: sip`).', commented: true }));

export type PeerIdentity = {
  readonly asserted?: Asserted;
  readonly sign?: boolean;
  readonly verify?: IdentityPolicy;
};

export function builtIdentity({ asserted, sign, verify }: NonNullable<z.output<typeof peerIdentity>>): PeerIdentity {
  return { sign, verify, ...(asserted === undefined ? {} : { asserted }) };
}

const isHttpsUrl = (value: string): boolean => /^https:\/\/[^\s<>"]{1,1000}$/.test(value) && URL.canParse(value);
const isUrl = (value: string): boolean => /^[a-z][a-z0-9+.-]*:[^\s<>"]{1,1000}$/i.test(value) && URL.canParse(value);
const isHost = (value: string): boolean => /^[a-z0-9.-]{1,253}(:[0-9]{1,5})?$/i.test(value);

/** The section `sip.identity`. */
export const sipIdentity = z
  .strictObject({
    certificate: plain
      .optional()
      .meta(meta({ about: 'PEM file with the certificate whose domains are signed for.', sample: './identity.pem' })),
    key: plain
      .optional()
      .meta(meta({ about: 'PEM file with its private key, EC on P-256.', sample: './identity.key' })),
    info: text('a URL that begins with https://', isHttpsUrl)
      .optional()
      .meta(meta({ about: 'Where others get the certificate from.', sample: 'https://sip.example/identity.pem' })),
    certificates: z
      .array(
        z.strictObject({
          info: text('a URL', isUrl).meta(
            meta({
              about: 'Where a peer says that its certificate is.',
              sample: 'https://partner.example/identity.pem',
            }),
          ),
          certificate: plain.meta(
            meta({
              about: 'PEM file with that certificate; believed as it is, and never fetched.',
              sample: './partner.pem',
            }),
          ),
        }),
      )
      .default([])
      .meta(meta({ about: 'Certificates of peers that are known.' })),
    fetchFrom: z
      .array(text('a host, with :port where it is not 443', isHost))
      .default([])
      .meta(
        meta({
          about: 'Hosts from which certificates of senders are fetched over HTTPS; nothing is fetched from any other.',
          sample: ['partner.example'],
        }),
      ),
    ca: plain.optional().meta(
      meta({
        about:
          'PEM file with the roots that fetched certificates, and the servers that have them, are checked against.',
        sample: './identity-ca.pem',
      }),
    ),
    freshnessSeconds: z
      .int()
      .min(1)
      .max(3_600)
      .default(60)
      .meta(meta({ about: 'How far the Date of a signed request may be from now.' })),
  })
  .optional()
  .meta(meta({ about: 'Signatures over who sends a request (SIP Identity, RFC 8224).', commented: true }));

/** PEM texts. */
export type SipIdentityConfig = {
  readonly own?: { readonly certificate: string; readonly key: string; readonly info: string };
  readonly certificates: ReadonlyArray<{ readonly info: string; readonly certificate: string }>;
  readonly fetchFrom: readonly string[];
  readonly ca?: string;
  readonly freshnessSeconds: number;
};

export function builtSipIdentity(
  { certificate, key, info, certificates, fetchFrom, ca, freshnessSeconds }: NonNullable<z.output<typeof sipIdentity>>,
  files: Pick<FileTexts, 'certificates' | 'privateKey'>,
): SipIdentityConfig {
  const path = ['sip', 'identity'];
  const isOwn = certificate !== undefined && key !== undefined && info !== undefined;
  return {
    ...(isOwn
      ? {
          own: {
            certificate: files.certificates(certificate, [...path, 'certificate']),
            key: files.privateKey(key, [...path, 'key']),
            info,
          },
        }
      : {}),
    certificates: certificates.map((one, at) => ({
      info: one.info,
      certificate: files.certificates(one.certificate, [...path, 'certificates', at, 'certificate']),
    })),
    fetchFrom,
    ...(ca === undefined ? {} : { ca: files.certificates(ca, [...path, 'ca']) }),
    freshnessSeconds,
  };
}
