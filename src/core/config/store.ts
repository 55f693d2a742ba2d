/** The section `store` of the configuration: the Redis that keeps everything, in the place of the data folder. */
import * as z from 'zod';
import type { FileTexts } from './files.ts';
import { plain } from './kinds.ts';
import { meta, text } from './meta.ts';
import { parseRedisUrl, REDIS_SERVER_FORM, REDIS_URL_FORM, type HostPort } from './values.ts';

const isServer = (value: string): boolean => {
  const url = parseRedisUrl(value);
  return url !== undefined && url.username === undefined && url.password === undefined && url.database === undefined;
};
const servers = z.array(text(REDIS_SERVER_FORM, isServer)).min(1);

/** The section `store`. Which of its keys go together is a matter of `storeFaults`. */
export const store = z.strictObject({
  type: z
    .literal('redis')
    .meta(meta({ about: 'The kind of store; absent with the section: the data folder.', sample: 'redis' })),
  url: text(REDIS_URL_FORM, (value) => parseRedisUrl(value) !== undefined)
    .optional()
    .meta(
      meta({
        about:
          'One Redis: redis://host:port/database, rediss:// for TLS. One of `url`, `sentinels` and `cluster` is given.',
        sample: 'redis://127.0.0.1:6379/0',
      }),
    ),
  sentinels: servers.optional().meta(
    meta({
      about:
        'The Sentinels that know which Redis is the master (rediss:// for all: Sentinels and Redis are spoken to over TLS).',
      sample: ['redis://192.0.2.1:26379', 'redis://192.0.2.2:26379', 'redis://192.0.2.3:26379'],
      commented: true,
    }),
  ),
  sentinelName: plain
    .optional()
    .meta(meta({ about: 'The name under which the Sentinels watch the master.', sample: 'mymaster', commented: true })),
  sentinelPassword: plain
    .optional()
    .meta(
      meta({ about: 'The password of the Sentinels themselves.', sample: '${SENTINEL_PASSWORD}', commented: true }),
    ),
  cluster: servers.optional().meta(
    meta({
      about: 'Some nodes of a Redis Cluster; the others are found by them. All our keys are in one slot.',
      sample: ['redis://192.0.2.1:6379', 'redis://192.0.2.2:6379'],
      commented: true,
    }),
  ),
  database: z
    .int()
    .min(0)
    .max(9_999)
    .optional()
    .meta(meta({ about: 'The number of the database behind Sentinels; absent: 0.', sample: 1, commented: true })),
  username: plain
    .optional()
    .meta(
      meta({ about: 'The user to log in as (ACL); absent: the default one.', sample: 'interpres', commented: true }),
    ),
  password: plain.optional().meta(
    meta({
      about: 'The password of Redis, where the URL has none; this or `passwordFile`.',
      sample: '${REDIS_PASSWORD}',
      commented: true,
    }),
  ),
  passwordFile: plain.optional().meta(
    meta({
      about: 'A file whose first line is the password; this or `password`.',
      sample: './redis.password',
      commented: true,
    }),
  ),
  ca: plain.optional().meta(
    meta({
      about: 'PEM file with the roots that the certificate of Redis is checked against; absent: those of Node.',
      sample: './redis-ca.pem',
      commented: true,
    }),
  ),
  prefix: text('1 to 64 letters, digits, . _ -', (value) => /^[A-Za-z0-9._-]{1,64}$/.test(value))
    .default('interpres')
    .meta(meta({ about: 'What all our keys begin with, in braces; nodes of one domain have the same.' })),
});

/** How the Redis is reached that is the store, and how our keys begin there. */
export type StoreConfig = {
  readonly type: 'redis';
  /** One of these three ways. */
  readonly servers:
    | { readonly kind: 'one'; readonly server: HostPort }
    | {
        readonly kind: 'sentinels';
        readonly sentinels: readonly HostPort[];
        readonly name: string;
        readonly password?: string;
      }
    | { readonly kind: 'cluster'; readonly nodes: readonly HostPort[] };
  readonly database: number;
  readonly username?: string;
  readonly password?: string;
  /** Present: over TLS; `ca` is PEM, absent: the roots of Node. */
  readonly tls?: { readonly ca?: string };
  readonly prefix: string;
};

/** Takes the checked section apart. @returns undefined where no server is named, which `storeFaults` has said */
export function builtStore(values: z.output<typeof store>, files: FileTexts): StoreConfig | undefined {
  const { url, sentinels, sentinelName, sentinelPassword, cluster, ca, passwordFile, prefix } = values;
  const named = [...(url === undefined ? [] : [url]), ...(sentinels ?? []), ...(cluster ?? [])];
  const all = named.flatMap((text) => parseRedisUrl(text) ?? []);
  const [first] = all;
  if (first === undefined) return undefined;
  const places = all.map(({ host, port }) => ({ host, port }));
  const secret = passwordFile === undefined ? undefined : files.line(passwordFile, ['store', 'passwordFile']);
  const username = values.username ?? first.username;
  const password = values.password ?? first.password ?? secret;
  return {
    type: 'redis',
    servers:
      sentinels !== undefined
        ? {
            kind: 'sentinels',
            sentinels: places,
            name: sentinelName ?? '',
            ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
          }
        : cluster !== undefined
          ? { kind: 'cluster', nodes: places }
          : { kind: 'one', server: { host: first.host, port: first.port } },
    database: values.database ?? first.database ?? 0,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(first.isTls ? { tls: ca === undefined ? {} : { ca: files.certificates(ca, ['store', 'ca']) } } : {}),
    prefix,
  };
}
