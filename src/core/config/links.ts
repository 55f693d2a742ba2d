/** The `links` section of the configuration: ways to XMPP domains, by their type. */
import * as z from 'zod';
import { domain, plain, port } from './kinds.ts';
import { meta, seconds, text } from './meta.ts';
import { parseStreamListen } from './values.ts';

const xmppComponent = z.strictObject({
  type: z
    .literal('xmpp-component')
    .meta(meta({ about: 'An external component of an XMPP server (XEP-0114).', sample: 'xmpp-component' })),
  host: plain.meta(meta({ about: 'Where the XMPP server listens for components.', sample: '127.0.0.1' })),
  port: port.default(5347).meta(meta({ about: 'Its port for components.' })),
  name: domain.meta(meta({ about: 'Our address on the XMPP side.', sample: 'sip.xmpp.example' })),
  domain: domain.optional().meta(
    meta({
      about: 'The domain of ours that the link stands for; absent: the same as `name`.',
      sample: 'sip.example',
    }),
  ),
  registration: z
    .boolean()
    .default(false)
    .meta(
      meta({
        about:
          'Whether XMPP users may register with this link as a gateway (XEP-0077, XEP-0100): they see in their rosters whether it is there, and are helped to add contacts. Nothing else needs it.',
        commented: true,
      }),
    ),
  secret: plain
    .optional()
    .meta(
      meta({ about: 'The secret shared with the XMPP server; this or `secretFile`.', sample: '${INTERPRES_SECRET}' }),
    ),
  secretFile: plain.optional().meta(
    meta({
      about: 'A file whose first line is the secret; this or `secret`.',
      sample: './component.secret',
      commented: true,
    }),
  ),
});

const xmppAccount = z.strictObject({
  type: z.literal('xmpp-account').meta(
    meta({
      about:
        'Lets users of ours link their own accounts on public XMPP services (`interpres accounts add`): messages and presence between them and their contacts there go through these accounts. Each account is logged in as a client.',
      sample: 'xmpp-account',
    }),
  ),
  domains: z
    .array(domain)
    .min(1)
    .meta(meta({ about: 'The services whose accounts may be linked, by domain; no other.', sample: ['chat.example'] })),
  host: plain.optional().meta(
    meta({
      about: 'Where these services are reached; absent: found by DNS (SRV, XEP-0368), else the domain itself.',
      sample: 'xmpp.chat.example',
      commented: true,
    }),
  ),
  port: port.optional().meta(
    meta({
      about: 'The port at `host`; absent: 5222, or 5223 with `directTls`.',
      sample: 5222,
      commented: true,
    }),
  ),
  directTls: z
    .boolean()
    .default(false)
    .meta(meta({ about: 'TLS from the first byte at `host`, instead of STARTTLS. One of them is always used.' })),
  ca: plain.optional().meta(
    meta({
      about:
        'PEM file with the roots that the certificates of the services are checked against; absent: those of Node.',
      sample: './ca.pem',
      commented: true,
    }),
  ),
  allowPlain: z
    .boolean()
    .default(false)
    .meta(
      meta({
        about:
          'Send the password itself, over TLS, to a service that offers no SCRAM. Without it such a service is not logged in to.',
      }),
    ),
  contacts: z
    .enum(['anyone', 'roster'])
    .default('anyone')
    .meta(
      meta({
        about:
          'Whom messages go to and come from: anyone whom the account can reach, or contacts in its roster alone. Requests to see somebody are passed on in any case.',
      }),
    ),
  priority: z
    .int()
    .min(0)
    .max(127)
    .default(0)
    .meta(
      meta({ about: 'Priority of our resource beside the other clients of an account (RFC 6121, section 4.7.2.3).' }),
    ),
  accountsMax: z
    .int()
    .min(1)
    .max(100_000)
    .default(1_000)
    .meta(meta({ about: 'Accounts that may be linked over this link in total; a user has one at most.' })),
});

const xmppS2s = z.strictObject({
  type: z.literal('xmpp-s2s').meta(
    meta({
      about:
        'Federation with XMPP domains directly, server to server (RFC 6120), for all our domains. Each peer is named in `peers`.',
      sample: 'xmpp-s2s',
    }),
  ),
  listen: z
    .array(text('tcp|tls://address:port', (value) => parseStreamListen(value) !== undefined))
    .min(1)
    .meta(
      meta({
        about:
          'Where peers connect: `tcp` for STARTTLS (5269), `tls` for direct TLS (XEP-0368, 5270). IPv6 in brackets.',
        sample: ['tcp://127.0.0.1:5269', 'tls://127.0.0.1:5270'],
      }),
    ),
  certificate: plain.optional().meta(
    meta({
      about:
        'PEM file with our certificate, which names all our domains and may be used by clients too, and those between it and its root. Read at the start. Without it only peers with `security: dialback` can be had.',
      sample: './cert.pem',
    }),
  ),
  key: plain.optional().meta(
    meta({
      about: 'PEM file with its private key.',
      sample: './key.pem',
    }),
  ),
  ca: plain.optional().meta(
    meta({
      about: 'PEM file with the roots that peers are checked against; absent: those of Node.',
      sample: './ca.pem',
      commented: true,
    }),
  ),
  warnDays: z
    .int()
    .min(0)
    .max(366)
    .default(21)
    .meta(meta({ about: 'How many days before the end of the certificate the log begins to warn; 0: never before.' })),
  idleSeconds: seconds(10)
    .default(600)
    .meta(meta({ about: 'A stream over which nothing went for so long is closed; the next stanza opens one.' })),
  authenticateSeconds: seconds(1, 600)
    .default(30)
    .meta(meta({ about: 'How long somebody who has connected may take to prove his domain.' })),
  streamsPerAddress: z
    .int()
    .min(1)
    .max(100_000)
    .default(50)
    .meta(meta({ about: 'Streams opened to us from one IPv4 address, or one /64 of IPv6, at once.' })),
  streams: z
    .int()
    .min(1)
    .max(100_000)
    .default(2_000)
    .meta(meta({ about: 'Streams opened to us at once in total.' })),
  unprovedStreams: z
    .int()
    .min(1)
    .max(100_000)
    .default(200)
    .meta(meta({ about: 'Streams opened to us on which nobody has proved his domain yet.' })),
});

/** One link; which keys it has depends on its type. */
export const link = z.discriminatedUnion('type', [xmppComponent, xmppAccount, xmppS2s]);

/** Where the passwords of linked accounts are encrypted. */
export const accounts = z.strictObject({
  keyFile: plain.optional().meta(
    meta({
      about:
        'The file with the key that the passwords of linked accounts are encrypted with; absent: `account.key` in the data folder. Made at first use where it is not there. With `store` it must be there, or `key`: all nodes need one and the same.',
      sample: './account.key',
    }),
  ),
  key: plain.optional().meta(
    meta({
      about:
        'The key itself, 32 bytes in base64 (`openssl rand -base64 32`), from the environment; older ones after it, separated by blanks. This or `keyFile`.',
      sample: '${INTERPRES_ACCOUNT_KEY}',
      commented: true,
    }),
  ),
});
