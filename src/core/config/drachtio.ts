/** The keys `sip.engine` and `sip.drachtio`: SIP carried by drachtio servers. */
import * as z from 'zod';
import type { FileTexts } from './files.ts';
import { addressBlocks, plain, port } from './kinds.ts';
import { meta, text } from './meta.ts';
import { parseStreamListen, type StreamListen } from './values.ts';

export const engine = z
  .enum(['embedded', 'drachtio'])
  .default('embedded')
  .meta(
    meta({
      about:
        'Who carries SIP: `embedded`, this server itself at `listen`; `drachtio`, the drachtio servers of `drachtio`. What those lack stands in docs/drachtio.md.',
    }),
  );

/** One entry of `sip.drachtio`. Which of its keys go together is a matter of `drachtioFaults`. */
const server = z.strictObject({
  host: plain.optional().meta(
    meta({
      about: 'A drachtio server that is connected to: its admin address; this or `listen`.',
      sample: '127.0.0.1',
    }),
  ),
  port: port.optional().meta(meta({ about: 'Its admin port; absent: 9022.', sample: 9022 })),
  listen: text('tcp|tls://address:port', (value) => parseStreamListen(value) !== undefined)
    .optional()
    .meta(
      meta({
        about: 'Where drachtio servers connect to, when their routing sends requests here; this or `host`.',
        sample: 'tcp://127.0.0.1:9023',
        commented: true,
      }),
    ),
  trust: addressBlocks.default([]).meta(
    meta({
      about:
        'With `listen`: the addresses of the drachtio servers. Whoever connects from there is told the secret, and believed where requests come from.',
      sample: ['192.0.2.10'],
      commented: true,
    }),
  ),
  secret: text('text without | and line ends', (value) => !/[|\r\n]/.test(value))
    .optional()
    .meta(
      meta({
        about: 'The secret of the admin section of drachtio.conf.xml; this or `secretFile`.',
        sample: '${DRACHTIO_SECRET}',
      }),
    ),
  secretFile: plain.optional().meta(
    meta({
      about: 'A file whose first line is the secret; this or `secret`.',
      sample: './drachtio.secret',
      commented: true,
    }),
  ),
  tags: z
    .array(text('letters, digits and - _ + @ :, 32 at most', (value) => /^[A-Za-z0-9\-_+@:]{1,32}$/.test(value)))
    .max(20)
    .default([])
    .meta(meta({ about: 'Names by which the routing of the drachtio server chooses this server.' })),
  tls: z
    .strictObject({
      ca: plain.optional().meta(
        meta({
          about:
            "With `host`: PEM file with the roots that the server's certificate is checked against; absent: those of Node.",
          sample: './drachtio-ca.pem',
          commented: true,
        }),
      ),
      servername: plain.optional().meta(
        meta({
          about: 'With `host`: the name in its certificate; absent: `host`.',
          sample: 'edge.sip.example',
          commented: true,
        }),
      ),
      certificate: plain
        .optional()
        .meta(meta({ about: 'With `listen`: PEM file with our certificate.', sample: './cert.pem', commented: true })),
      key: plain
        .optional()
        .meta(meta({ about: 'With `listen`: PEM file with its private key.', sample: './key.pem', commented: true })),
    })
    .optional()
    .meta(meta({ about: 'TLS on the control connection: its presence with `host`, needed with `listen: tls://`.' })),
});

export const drachtio = z
  .array(server)
  .min(1)
  .optional()
  .meta(
    meta({
      about: 'The drachtio servers, with `engine: drachtio`; requests leave over the first that is there.',
      sample: [{ host: '127.0.0.1', port: 9022, secret: '${DRACHTIO_SECRET}' }],
      commented: true,
    }),
  );

/** A drachtio server, or where such servers connect to. Certificates are PEM text. */
export type DrachtioConfig =
  | {
      readonly host: string;
      readonly port: number;
      readonly secret: string;
      readonly tags: readonly string[];
      readonly tls?: { readonly ca?: string; readonly servername?: string };
    }
  | {
      readonly listen: StreamListen;
      /** Addresses and CIDR blocks of the servers that may connect. */
      readonly trust: readonly string[];
      readonly secret: string;
      readonly tags: readonly string[];
      readonly tls?: { readonly certificate: string; readonly key: string };
    };

export const DRACHTIO_PORT = 9022;

/** Takes the checked entries apart. */
export function builtDrachtio(values: z.output<typeof drachtio>, files: FileTexts): readonly DrachtioConfig[] {
  return (values ?? []).flatMap(
    ({ host, port, listen, trust, secret, secretFile, tags, tls }, at): DrachtioConfig[] => {
      const path = ['sip', 'drachtio', at];
      const common = {
        secret: secret ?? (secretFile === undefined ? '' : files.secret(secretFile, [...path, 'secretFile'])),
        tags,
      };
      if (host !== undefined) {
        const { ca, servername } = tls ?? {};
        const trusted = {
          ...(ca === undefined ? {} : { ca: files.certificates(ca, [...path, 'tls', 'ca']) }),
          ...(servername === undefined ? {} : { servername }),
        };
        return [{ host, port: port ?? DRACHTIO_PORT, ...common, ...(tls === undefined ? {} : { tls: trusted }) }];
      }
      const place = parseStreamListen(listen ?? '');
      if (place === undefined) return [];
      const { certificate, key } = tls ?? {};
      const shown =
        certificate === undefined || key === undefined
          ? {}
          : {
              tls: {
                certificate: files.certificates(certificate, [...path, 'tls', 'certificate']),
                key: files.privateKey(key, [...path, 'tls', 'key']),
              },
            };
      return [{ listen: place, trust, ...common, ...shown }];
    },
  );
}
