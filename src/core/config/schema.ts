/**
 * The shape of the configuration file. This schema is the one source: the checks, `config/example.yaml` and
 * `docs/config.md` are made from it, and `z.infer` is never written down twice.
 */
import * as z from 'zod';
import { commands, directory } from './directory.ts';
import { drachtio, engine } from './drachtio.ts';
import { addressBlocks, dnsServers, domain, plain } from './kinds.ts';
import { meta, seconds, text } from './meta.ts';
import { accounts, link } from './links.ts';
import { presence } from './presence.ts';
import { registration } from './registration.ts';
import { store } from './store.ts';
import { aliases, numbers } from './numbers.ts';
import { peerIdentity, peerSecurity, sipIdentity } from './trust.ts';
import {
  BEARER_TOKEN_FORM,
  isBearerToken,
  isNodeName,
  parseAdvertise,
  isOrigin,
  parseHostPort,
  parseListen,
  parseNextHop,
  parseXmppNextHop,
} from './values.ts';

const nextHop = text(
  'a SIP URI without user part, sip:host:port;transport=tcp',
  (value) => parseNextHop(value) !== undefined,
);

const peerNextHop = text(
  'a SIP URI without user part, sip:host:port;transport=tcp, or tcp://host:port, tls://host:port',
  (value) => parseNextHop(value) !== undefined || parseXmppNextHop(value) !== undefined,
);

const ownDomain = z.union([
  domain,
  z.strictObject({
    name: domain.meta(meta({ about: 'The domain.' })),
    trust: addressBlocks.default([]).meta(
      meta({
        about:
          'IP addresses of a SIP core that has authenticated the users of this domain: its requests are taken as theirs.',
      }),
    ),
    nextHop: nextHop.optional().meta(
      meta({
        about:
          'The SIP core behind which users of this domain are that have neither a password nor a contact here: what is for them goes there, a SIP URI, and their presence is watched there. Needs `trust`, or TLS.',
      }),
    ),
    edge: z
      .boolean()
      .default(false)
      .meta(
        meta({
          about:
            'Phones of those users come by way of this server: their REGISTER goes on to the core with a Path, and what the core sends comes back over the connection of the phone (RFC 5626). The core must ask phones for their passwords although their requests come from here.',
        }),
      ),
  }),
]);

const peer = z.strictObject({
  domain: domain.meta(meta({ about: 'The domain of somebody else.', sample: 'xmpp.example' })),
  link: plain.meta(
    meta({ about: 'The link it is reached over: a name of the `links` section, or `sip`.', sample: 'office' }),
  ),
  nextHop: peerNextHop.optional().meta(
    meta({
      about:
        'Where what is for it goes: a SIP URI with `link: sip`; over a link of type `xmpp-s2s`, `tcp://host:port` or, for direct TLS, `tls://host:port`. Absent: found by DNS (RFC 3263; SRV for XMPP).',
      sample: 'sip:192.0.2.7:5060;transport=tcp',
      commented: true,
    }),
  ),
  trust: addressBlocks.default([]).meta(
    meta({
      about:
        'IP addresses its requests may come from (only with `link: sip`); a TLS certificate for the domain does as well.',
      sample: ['192.0.2.7'],
      commented: true,
    }),
  ),
  security: peerSecurity,
  identity: peerIdentity,
});

const sip = z.strictObject({
  engine,
  advertise: z
    .array(text('udp|tcp|tls://host:port', (value) => parseAdvertise(value) !== undefined))
    .default([])
    .meta(
      meta({
        about:
          'Where phones and peers reach this server, or all of its nodes: what stands in its Contacts, and the address of a load balancer where there is one. Absent: the addresses it listens on.',
        sample: ['udp://198.51.100.1:5060', 'tcp://198.51.100.1:5060'],
        commented: true,
      }),
    ),
  listen: z
    .array(text('udp|tcp|tls|ws|wss://address:port', (value) => parseListen(value) !== undefined))
    .min(1)
    .optional()
    .meta(
      meta({
        about:
          'Where SIP is listened for: udp, tcp, tls, and ws or wss for browsers (WebSocket), IPv6 in brackets. Needed with `engine: embedded`.',
        sample: ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060'],
        shown: true,
      }),
    ),
  identity: sipIdentity,
  tls: z
    .strictObject({
      certificate: plain.meta(
        meta({
          about: 'PEM file with the certificate of this server and those between it and its root.',
          sample: './cert.pem',
        }),
      ),
      key: plain.meta(meta({ about: 'PEM file with its private key.', sample: './key.pem' })),
      ca: plain.optional().meta(
        meta({
          about: 'PEM file with the roots that peers are checked against; absent: those of Node.',
          sample: './ca.pem',
        }),
      ),
      warnDays: z
        .int()
        .min(0)
        .max(366)
        .default(21)
        .meta(
          meta({
            about:
              'So many days before a certificate of this server is over, the log says so each day; `/health` always does.',
          }),
        ),
    })
    .optional()
    .meta(meta({ about: 'Needed by tls and wss listeners, and used for TLS towards peers.' })),
  websocket: z
    .strictObject({
      origins: z.array(text('an origin, https://chat.example, or *', isOrigin)).meta(
        meta({
          about:
            'Pages whose scripts may connect, by their origin; `*`: any page, empty: no browser. Programs that are no browser are let in always.',
          sample: ['https://chat.example'],
        }),
      ),
    })
    .optional()
    .meta(meta({ about: 'Needed by ws and wss listeners (RFC 7118).' })),
  drachtio,
});

const queue = z.strictObject({
  lifetimeSeconds: seconds(60)
    .default(7 * 86_400)
    .meta(meta({ about: 'How long a message is tried before its sender is told that it failed.' })),
  deadLetterSeconds: seconds(0)
    .default(30 * 86_400)
    .meta(meta({ about: 'How long a message that failed is kept for `queue list --dead`.' })),
  rememberSeconds: seconds(64)
    .default(600)
    .meta(
      meta({
        about:
          'How long the id of a delivered message is remembered, so that a repeated request is no second message; the data folder remembers a million at most.',
      }),
    ),
  limits: z
    .strictObject({
      total: z
        .int()
        .min(1)
        .default(500_000)
        .meta(meta({ about: 'Messages waiting in total; above it new ones are refused (503).' })),
      perPeer: z
        .int()
        .min(1)
        .default(250_000)
        .meta(meta({ about: 'Messages waiting for one peer link, SIP peer or local user.' })),
      perSender: z
        .int()
        .min(1)
        .default(20_000)
        .meta(meta({ about: 'Messages waiting from one sender.' })),
    })
    .prefault({})
    .meta(meta({ about: 'Bounds of the queue.' })),
  retry: z
    .strictObject({
      firstSeconds: seconds(1, 3_600)
        .default(2)
        .meta(meta({ about: 'Pause before the second attempt; it doubles with each further one.' })),
      maxSeconds: seconds(1, 86_400)
        .default(600)
        .meta(meta({ about: 'The longest pause between two attempts.' })),
    })
    .prefault({})
    .meta(meta({ about: 'Pauses between attempts of one message that was refused for now.' })),
});

const rates = z.strictObject({
  perSenderPerSecond: z
    .number()
    .positive()
    .max(1e6)
    .default(10)
    .meta(meta({ about: 'Messages per second from one sender, in the long run.' })),
  burst: z
    .int()
    .min(1)
    .max(1e6)
    .default(60)
    .meta(meta({ about: 'Messages one sender may send at once after a rest.' })),
  perPeerPerSecond: z
    .number()
    .positive()
    .max(1e6)
    .default(500)
    .meta(meta({ about: 'Messages per second from all of one peer domain.' })),
  peerBurst: z
    .int()
    .min(1)
    .max(1e6)
    .default(2_000)
    .meta(meta({ about: 'Messages a peer domain may send at once after a rest.' })),
});

export const ConfigSchema = z.strictObject({
  domains: z
    .array(ownDomain)
    .min(1)
    .meta(
      meta({
        about:
          'What this server is authoritative for: a domain, or `{ name, trust: [addresses], nextHop }` for a domain behind a SIP core at these addresses that has authenticated its users.',
        sample: ['sip.example'],
      }),
    ),
  data: plain.default('./data').meta(
    meta({
      about:
        "The embedded store's folder: queue, users, registrations; with a `store` only the control socket is there.",
      sample: './data',
      shown: true,
    }),
  ),
  store: store.optional().meta(
    meta({
      about:
        'Keeps queue, users, registrations and presence in Redis (run with `appendonly yes` and `maxmemory-policy noeviction`); absent: in the data folder.',
    }),
  ),
  node: text('letters, digits, dots and hyphens, 63 at most', isNodeName)
    .optional()
    .meta(
      meta({
        about:
          'The name of this node among those on one Redis (section `store`), each of which has one of its own; absent: that of the host.',
        sample: 'a',
        commented: true,
      }),
    ),
  sip: sip.meta(meta({ about: 'The SIP side.' })),
  links: z
    .record(plain, link)
    .default({})
    .meta(meta({ about: 'Ways to XMPP domains, each under a name of its own.' })),
  peers: z
    .array(peer)
    .default([])
    .meta(meta({ about: 'Domains of others. One that is not named here is refused, in and out.' })),
  accounts: accounts
    .prefault({})
    .meta(
      meta({ about: 'Accounts that users have linked (links of type `xmpp-account`): how their passwords are kept.' }),
    ),
  http: z
    .strictObject({
      listen: text('address:port', (value) => parseHostPort(value) !== undefined).meta(
        meta({ about: 'Where `GET /health` is answered.', sample: '127.0.0.1:8080' }),
      ),
      token: text(BEARER_TOKEN_FORM, isBearerToken)
        .optional()
        .meta(
          meta({
            about:
              'With it, everything that an operator may do is served here too, to requests with `Authorization: Bearer` and this token. It crosses the network in the clear: put TLS before it.',
            sample: '${INTERPRES_TOKEN}',
            commented: true,
          }),
        ),
      tokenFile: plain.optional().meta(
        meta({
          about: 'A file whose first line is the token; this or `token`.',
          sample: './http.token',
          commented: true,
        }),
      ),
    })
    .optional()
    .meta(
      meta({
        about: 'The door for monitoring, and with a token for administration; absent: closed.',
        shown: true,
      }),
    ),
  dns: z
    .strictObject({
      servers: dnsServers.default([]).meta(meta({ about: 'DNS servers to ask; empty: those of the system.' })),
    })
    .prefault({})
    .meta(meta({ about: 'Finding SIP peers (RFC 3263).' })),
  enum: numbers.optional().meta(
    meta({
      about: 'Finding whom a telephone number stands for (ENUM, RFC 6116); absent: numbers are not looked up.',
    }),
  ),
  aliases,
  registration: registration.prefault({}).meta(meta({ about: 'Registration of local users.' })),
  presence: presence.prefault({}).meta(meta({ about: 'Presence of local users, and who may see it.' })),
  directory: directory.prefault({}).meta(meta({ about: 'What users are called and look like, and who is told.' })),
  commands,
  queue: queue.prefault({}).meta(meta({ about: 'What was accepted and not yet delivered.' })),
  limits: z
    .strictObject({
      messageBytes: z
        .int()
        .min(1_300)
        .max(1024 * 1024)
        .default(65_536)
        .meta(meta({ about: 'Largest content of a message; above it 413.' })),
      stanzaBytes: z
        .int()
        .min(10_000)
        .max(64 * 1024 * 1024)
        .default(262_144)
        .meta(meta({ about: 'Largest stanza read from or written to a link.' })),
    })
    .prefault({})
    .meta(meta({ about: 'Sizes, bytes.' })),
  rateLimits: z
    .union([z.literal('off'), rates])
    .prefault({})
    .meta(meta({ about: 'How fast messages are accepted; `off` only for load tests.' })),
  log: z
    .strictObject({
      level: z
        .enum(['error', 'warn', 'info', 'debug', 'trace'])
        .default('info')
        .meta(
          meta({
            about:
              'The least that is logged; `trace` has a line for each SIP request and each stanza, in and out, without bodies and credentials.',
          }),
        ),
    })
    .prefault({})
    .meta(meta({ about: 'The log, JSON lines on standard output.' })),
});

/** The file's values after the checks, defaults filled in, texts not yet taken apart. */
export type ConfigValues = z.output<typeof ConfigSchema>;
