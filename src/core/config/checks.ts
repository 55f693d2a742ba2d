import { parseCidr } from '../cidr.ts';
import { drachtioFaults } from './drachtio-checks.ts';
import { near, schemaAt, valueAt, type ConfigPath, type ValueFault } from './faults.ts';
import { federationFaults, federationPeerFaults } from './federation-checks.ts';
import { identityFaults } from './identity-checks.ts';
import { listenFaults } from './listen-checks.ts';
import { numberFaults } from './number-checks.ts';
import { domainAt, listAt, recordAt, textAt } from './places.ts';
import { secretFaults, secretKeyFaults } from './secrets.ts';
import { areAccountKeys, isBearerToken, isOverTls, parseDomain, parseListen, parseRedisUrl } from './values.ts';

/**
 * What one key alone does not show: names that meet in two places, secrets, and blocks that trust everybody.
 *
 * Looks at whatever has the right type and passes over the rest, so that these faults come together with the schema's.
 */
export function crossFaults(values: unknown): ValueFault[] {
  const own = ownDomains(values);
  return [
    ...duplicates(own),
    ...linkFaults(values, own),
    ...accountFaults(values),
    ...peerFaults(values, own),
    ...sipFaults(values),
    ...drachtioFaults(values),
    ...listenFaults(values),
    ...httpFaults(values),
    ...storeFaults(values),
    ...nextHopFaults(values),
    ...securityFaults(values),
    ...identityFaults(values),
    ...numberFaults(values, new Set(own.map(({ name }) => name))),
    ...trustFaults(values),
    ...orderFaults(values),
  ];
}

type Named = { readonly name: string; readonly path: ConfigPath };

function ownDomains(values: unknown): Named[] {
  return listAt(values, ['domains']).flatMap(({ value, path }) => {
    const text = typeof value === 'string' ? value : textAt(value, ['name']);
    const name = text === undefined ? undefined : parseDomain(text);
    return name === undefined ? [] : [{ name, path }];
  });
}

function duplicates(own: readonly Named[]): ValueFault[] {
  const seen = new Set<string>();
  return own.flatMap(({ name, path }) => {
    if (seen.has(name)) return [{ path, text: `${name} is named a second time, expected once` }];
    seen.add(name);
    return [];
  });
}

function linkFaults(values: unknown, own: readonly Named[]): ValueFault[] {
  const faults: ValueFault[] = [];
  const names = new Set(own.map(({ name }) => name));
  const addresses = new Set<string>();
  for (const [key, link] of Object.entries(recordAt(values, ['links']))) {
    const path = ['links', key];
    if (key === 'sip' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(key)) {
      faults.push({
        path,
        atKey: true,
        text: `found the name '${key.slice(0, 64)}', expected letters, digits, . _ - and not 'sip'`,
      });
    }
    if (textAt(link, ['type']) === 'xmpp-account') {
      faults.push(...accountLinkFaults(values, link, path, names));
      continue;
    }
    if (textAt(link, ['type']) === 'xmpp-s2s') {
      faults.push(...federationFaults(link, path));
      continue;
    }
    // Of a type that is none, or is not given, nobody knows what else it needs.
    if (textAt(link, ['type']) !== 'xmpp-component') continue;
    const name = domainAt(link, ['name']);
    const domain = domainAt(link, ['domain']) ?? name;
    if (domain !== undefined && !names.has(domain)) {
      const hint = near(domain, [...names]);
      const at = textAt(link, ['domain']) === undefined ? 'name' : 'domain';
      faults.push({
        path: [...path, at],
        text: `found ${domain}, expected the link to stand for one of our domains (${[...names].join(', ')})${at === 'name' ? ': say which with `domain`' : ''}${hint}`,
      });
    }
    if (name !== undefined) {
      const address = `${name} ${textAt(link, ['host']) ?? ''} ${JSON.stringify(valueAt(link, ['port']) ?? 5347)}`;
      if (addresses.has(address))
        faults.push({ path: [...path, 'name'], text: `${name} at the same server is another link's already` });
      addresses.add(address);
    }
    faults.push(...secretKeyFaults(link, path));
  }
  return faults;
}

/** A peer entry goes before an account, so that accounts of a peer's domain would be linked in vain. */
function accountLinkFaults(
  values: unknown,
  link: unknown,
  path: ConfigPath,
  own: ReadonlySet<string>,
): readonly ValueFault[] {
  const peers = new Set(listAt(values, ['peers']).map(({ value }) => domainAt(value, ['domain'])));
  const faults: ValueFault[] = [];
  for (const { value, path: at } of listAt(link, ['domains'])) {
    const domain = typeof value === 'string' ? parseDomain(value) : undefined;
    if (domain === undefined) continue;
    if (own.has(domain)) faults.push({ path: [...path, ...at], text: `${domain} is one of our domains` });
    else if (peers.has(domain)) {
      const text = `${domain} is a peer, and what is for it goes the way of its peer entry: take it out here or there`;
      faults.push({ path: [...path, ...at], text });
    }
  }
  for (const key of ['port', 'directTls']) {
    const value = valueAt(link, [key]);
    if (value !== undefined && value !== false && textAt(link, ['host']) === undefined) {
      faults.push({ path: [...path, key], text: 'needs `host`: without it DNS says where a service is' });
    }
  }
  return faults;
}

function accountFaults(values: unknown): ValueFault[] {
  const key = textAt(values, ['accounts', 'key']);
  if (key === undefined) return sharedKeyFaults(values);
  if (textAt(values, ['accounts', 'keyFile']) !== undefined) {
    return [{ path: ['accounts', 'key'], text: 'found `key` and `keyFile`, expected one of them' }];
  }
  return areAccountKeys(key)
    ? []
    : [{ path: ['accounts', 'key'], text: 'is no key; expected 32 bytes in base64 (openssl rand -base64 32)' }];
}

/** Nodes take accounts over from each other: a key that is one node's own would open nothing at the next. */
function sharedKeyFaults(values: unknown): ValueFault[] {
  if (valueAt(values, ['store']) === undefined || textAt(values, ['accounts', 'keyFile']) !== undefined) return [];
  const links = Object.entries(recordAt(values, ['links']));
  const name = links.find(([, link]) => textAt(link, ['type']) === 'xmpp-account')?.[0];
  if (name === undefined) return [];
  const text = 'needs accounts.key or accounts.keyFile beside `store`: every node must have the same key';
  return [{ path: ['links', name, 'type'], text }];
}

function peerFaults(values: unknown, own: readonly Named[]): ValueFault[] {
  const faults: ValueFault[] = [];
  const names = new Set(own.map(({ name }) => name));
  const links = recordAt(values, ['links']);
  const seen = new Set<string>();
  for (const { value, path } of listAt(values, ['peers'])) {
    const domain = domainAt(value, ['domain']);
    const link = textAt(value, ['link']);
    if (domain !== undefined && names.has(domain)) {
      faults.push({ path: [...path, 'domain'], text: `${domain} is one of our domains, expected somebody else's` });
    }
    if (link === undefined) continue;
    if (link !== 'sip' && !Object.hasOwn(links, link)) {
      const known = ['sip', ...Object.keys(links)];
      faults.push({
        path: [...path, 'link'],
        text: `found '${link.slice(0, 64)}', expected one of ${known.join(', ')}${near(link, known)}`,
      });
      continue;
    }
    if (link !== 'sip' && textAt(links[link], ['type']) === 'xmpp-account') {
      const text = `${link} is for accounts that users link: its services need no peer entry`;
      faults.push({ path: [...path, 'link'], text });
      continue;
    }
    const isFederated = link !== 'sip' && textAt(links[link], ['type']) === 'xmpp-s2s';
    faults.push(...federationPeerFaults(value, path, isFederated ? links[link] : undefined));
    if (link !== 'sip') {
      for (const key of isFederated ? ['trust', 'identity'] : ['nextHop', 'trust', 'security', 'identity']) {
        if (valueAt(value, [key]) !== undefined) {
          faults.push({ path: [...path, key], text: `belongs to a peer with link: sip, not to one over ${link}` });
        }
      }
    }
    if (domain === undefined) continue;
    // Over links the source's domain chooses the way, so two ways for one pair of domains would leave it to chance.
    const standsFor =
      link === 'sip' || isFederated
        ? 'sip'
        : (domainAt(links[link], ['domain']) ?? domainAt(links[link], ['name']) ?? link);
    const way = `${domain} ${standsFor}`;
    if (seen.has(way)) {
      const ways = isFederated ? 'link: sip and links of type xmpp-s2s' : 'link: sip';
      faults.push({
        path,
        text: `${domain} is named a second time for ${standsFor === 'sip' ? ways : `a link that stands for ${standsFor}`}, expected once`,
      });
    }
    seen.add(way);
  }
  return faults;
}

function sipFaults(values: unknown): ValueFault[] {
  const faults: ValueFault[] = [];
  const seen = new Set<string>();
  for (const { value, path } of listAt(values, ['sip', 'listen'])) {
    const listen = typeof value === 'string' ? parseListen(value) : undefined;
    if (listen === undefined) continue;
    const { transport } = listen;
    const isSecure = transport === 'tls' || transport === 'wss';
    if (isSecure && valueAt(values, ['sip', 'tls']) === undefined) {
      faults.push({ path, text: `found a ${transport} listener, expected a section sip.tls with certificate and key` });
    }
    const isWebSocket = transport === 'ws' || transport === 'wss';
    if (isWebSocket && valueAt(values, ['sip', 'websocket', 'origins']) === undefined) {
      faults.push({
        path,
        text: `found a ${transport} listener, expected sip.websocket.origins: the pages that may connect, ['https://chat.example'], or [] for programs alone`,
      });
    }
    const place = `${transport} ${listen.address} ${listen.port}`;
    if (listen.port !== 0 && seen.has(place)) faults.push({ path, text: 'is listened for already, expected once' });
    seen.add(place);
  }
  return faults;
}

function httpFaults(values: unknown): ValueFault[] {
  const token = textAt(values, ['http', 'token']);
  if (token === undefined) return [];
  const faults = isBearerToken(token) ? secretFaults(token, ['http', 'token']) : [];
  if (textAt(values, ['http', 'tokenFile']) === undefined) return faults;
  return [...faults, { path: ['http', 'token'], text: 'found `token` and `tokenFile`, expected one of them' }];
}

/** The ways to Redis exclude each other, and each has keys of its own. */
function storeFaults(values: unknown): ValueFault[] {
  const section = valueAt(values, ['store']);
  if (section === undefined && textAt(values, ['node']) !== undefined) {
    return [{ path: ['node'], text: 'names a node, expected a section `store`: nodes share a Redis' }];
  }
  if (typeof section !== 'object' || section === null) return [];
  const faults: ValueFault[] = [];
  const has = (key: string): boolean => valueAt(section, [key]) !== undefined;
  const fault = (key: string, text: string): void => void faults.push({ path: ['store', key], text });
  const [way, ...others] = ['url', 'sentinels', 'cluster'].filter(has);
  if (way === undefined) fault('url', 'is missing; expected `url`, `sentinels` or `cluster`');
  for (const other of others) fault(other, `found \`${String(way)}\` and \`${other}\`, expected one of them`);
  if (has('sentinels') && !has('sentinelName')) fault('sentinelName', 'is missing; expected the name of the master');
  for (const key of ['sentinelName', 'sentinelPassword']) {
    if (has(key) && !has('sentinels')) fault(key, 'belongs to `sentinels`, which are not given');
  }
  if (has('database') && has('cluster')) fault('database', 'belongs to `sentinels`: a Cluster has no database but 0');
  else if (has('database') && !has('sentinels')) {
    fault('database', 'belongs to `sentinels`: with `url` it is at its end, redis://host:port/database');
  }
  if (has('password') && has('passwordFile')) fault('password', 'found `password` and `passwordFile`, expected one');
  const url = parseRedisUrl(textAt(section, ['url']) ?? '');
  for (const key of ['password', 'passwordFile']) {
    if (url?.password !== undefined && has(key)) fault(key, 'is given, and the URL has a password too; expected one');
  }
  if (url?.username !== undefined && has('username')) fault('username', 'is given, and the URL has one too');
  const all = [textAt(section, ['url']) ?? '', ...texts(section, 'sentinels'), ...texts(section, 'cluster')];
  const schemes = new Set(all.flatMap((text) => parseRedisUrl(text)?.isTls ?? []));
  if (schemes.size > 1) fault(way ?? 'url', 'found redis:// and rediss:// side by side, expected one for all');
  if (has('ca') && !schemes.has(true)) fault('ca', 'needs TLS: expected rediss:// where the servers are named');
  return faults;
}

function texts(values: unknown, key: string): string[] {
  return listAt(values, [key]).flatMap(({ value }) => (typeof value === 'string' ? [value] : []));
}

/** What a core says about its users comes from where it was asked, and counts only when it is known who that is. */
function nextHopFaults(values: unknown): ValueFault[] {
  return listAt(values, ['domains']).flatMap(({ value, path: at }) => {
    const nextHop = textAt(value, ['nextHop']);
    if (valueAt(value, ['edge']) === true) {
      const path = [...at, 'edge'];
      if (nextHop === undefined)
        return [{ path, text: 'needs `nextHop`: the core whose phones come by way of this server' }];
      if (textAt(values, ['sip', 'engine']) === 'drachtio') {
        return [
          { path, text: 'needs `sip.engine: embedded`: requests cannot be handed on by way of a drachtio server' },
        ];
      }
    }
    if (nextHop === undefined || isOverTls(nextHop) || listAt(value, ['trust']).length > 0) return [];
    const text = 'needs `trust` with the addresses of that core, or TLS (sip:host;transport=tls) and its certificate';
    return [{ path: [...at, 'nextHop'], text }];
  });
}

/** TLS that is asked of a peer needs a way over TLS to him, and something to show him. */
function securityFaults(values: unknown): ValueFault[] {
  return listAt(values, ['peers']).flatMap(({ value, path }) => {
    const security = textAt(value, ['security']);
    if (textAt(value, ['link']) !== 'sip' || (security !== 'tls' && security !== 'mutual-tls')) return [];
    const faults: ValueFault[] = [];
    const nextHop = textAt(value, ['nextHop']);
    if (nextHop !== undefined && !isOverTls(nextHop)) {
      const text = `found '${nextHop}', expected TLS (sip:host;transport=tls), which \`security: ${security}\` asks for`;
      faults.push({ path: [...path, 'nextHop'], text });
    }
    // A drachtio server has a certificate of its own.
    const isEmbedded = valueAt(values, ['sip', 'engine']) !== 'drachtio';
    if (isEmbedded && valueAt(values, ['sip', 'tls']) === undefined) {
      const text = `found ${security}, expected a section sip.tls with certificate and key`;
      faults.push({ path: [...path, 'security'], text });
    }
    if (security === 'mutual-tls' && listAt(value, ['trust']).length > 0) {
      const text = 'counts for nothing with `security: mutual-tls`, expected none: the certificate decides';
      faults.push({ path: [...path, 'trust'], text });
    }
    return faults;
  });
}

function trustFaults(values: unknown): ValueFault[] {
  const lists = [...listAt(values, ['domains']), ...listAt(values, ['peers'])];
  return lists.flatMap(({ value, path }) =>
    listAt(value, ['trust']).flatMap((entry) => {
      if (typeof entry.value !== 'string' || parseCidr(entry.value)?.bits !== 0) return [];
      return [
        {
          path: [...path, ...entry.path],
          text: `found '${entry.value}', which trusts everybody; expected the addresses of that server`,
        },
      ];
    }),
  );
}

/** Pairs of numbers of which the first must not be above the second. */
const ORDERED: ReadonlyArray<readonly [ConfigPath, string, string]> = [
  [['registration', 'expires'], 'min', 'default'],
  [['registration', 'expires'], 'default', 'max'],
  [['presence', 'expires'], 'min', 'default'],
  [['presence', 'expires'], 'default', 'max'],
  [['queue', 'retry'], 'firstSeconds', 'maxSeconds'],
  // Else a message would be accepted that no link can carry.
  [['limits'], 'messageBytes', 'stanzaBytes'],
];

function orderFaults(values: unknown): ValueFault[] {
  const numberAt = (path: ConfigPath): unknown => valueAt(values, path) ?? schemaAt(path)?.default;
  return ORDERED.flatMap(([path, low, high]) => {
    const a = numberAt([...path, low]);
    const b = numberAt([...path, high]);
    if (typeof a !== 'number' || typeof b !== 'number' || a <= b) return [];
    const at = valueAt(values, [...path, low]) === undefined ? high : low;
    return [{ path: [...path, at], text: `found ${low} ${a} and ${high} ${b}, expected ${low} not above ${high}` }];
  });
}
