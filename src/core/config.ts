import {
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type YAMLError,
} from 'yaml';
import type { Address } from '../cpim/address.ts';
import { crossFaults } from './config/checks.ts';
import { builtDrachtio, type DrachtioConfig } from './config/drachtio.ts';
import { schemaFaults, type ConfigPath, type ValueFault } from './config/faults.ts';
import { FileTexts, type ConfigWorld, type TlsConfig } from './config/files.ts';
import { ConfigSchema, type ConfigValues } from './config/schema.ts';
import { builtAliases, builtNumbers, type NumbersConfig } from './config/numbers.ts';
import { builtSipIdentity, type SipIdentityConfig } from './config/trust.ts';
import { builtStore, type StoreConfig } from './config/store.ts';
import { builtLink, builtPeer, type LinkConfig, type PeerConfig } from './config/built-links.ts';
import {
  known,
  parseAdvertise,
  parseDomain,
  parseHostPort,
  parseListen,
  type HostPort,
  type SipListen,
} from './config/values.ts';
import type { RuleAction } from './presence/rules.ts';

export type { ConfigWorld, TlsConfig } from './config/files.ts';
export type {
  AccountLinkConfig,
  ComponentLinkConfig,
  FederationLinkConfig,
  LinkConfig,
  PeerConfig,
} from './config/built-links.ts';
export type { StoreConfig } from './config/store.ts';

/** A domain this server is authoritative for. */
export type OwnDomain = {
  /** Lower case. */
  readonly name: string;
  /** Addresses and CIDR blocks whose requests are taken as its users'. */
  readonly trust: readonly string[];
  /** The SIP core behind which its users are that are not known here, a SIP URI. */
  readonly nextHop?: string;
  /** Phones of the users behind that core register by way of this server. */
  readonly edge?: true;
};

/** The configuration, checked whole: names meet, files were read, paths are absolute, defaults are filled in. */
export type Config = {
  readonly domains: readonly OwnDomain[];
  /** Absolute path of the embedded store's folder. */
  readonly data: string;
  /** Where everything durable is kept instead of the folder. */
  readonly store?: StoreConfig;
  /** The name of this node; only with `store`. */
  readonly node?: string;
  readonly sip: {
    readonly engine: 'embedded' | 'drachtio';
    /** Empty with `engine: drachtio`. */
    readonly listen: readonly SipListen[];
    /** Where all nodes are reached; none: where each listens. */
    readonly advertise: readonly SipListen[];
    /** `warnDays`: before the end of the certificate. */
    readonly tls?: TlsConfig & { readonly warnDays: number };
    /** Absent: nothing is signed, and no signature looked at. */
    readonly identity?: SipIdentityConfig;
    /** Origins of the pages that may connect; `*`: any. */
    readonly websocket?: { readonly origins: readonly string[] };
    /** Empty with `engine: embedded`. */
    readonly drachtio: readonly DrachtioConfig[];
  };
  readonly links: Readonly<Record<string, LinkConfig>>;
  readonly peers: readonly PeerConfig[];
  /** With neither, the key is in the data folder. `keyFile` is an absolute path. */
  readonly accounts: { readonly keyFile?: string; readonly key?: string };
  /** With a token, administration is served there as well. */
  readonly http?: { readonly listen: HostPort; readonly token?: string };
  readonly dns: { readonly servers: readonly string[] };
  /** Absent: telephone numbers are not looked up. */
  readonly enum?: NumbersConfig;
  /** Other addresses of users of ours, by key, with the user. */
  readonly aliases: ReadonlyMap<string, Address>;
  /** The domain of ours that a `tel:` URI belongs to; absent: there is no use for one here. */
  readonly telDomain?: string;
  readonly registration: {
    /** Seconds. */
    readonly expires: { readonly min: number; readonly default: number; readonly max: number };
    readonly contactsMax: number;
    /** SIP URIs with `lr`. */
    readonly serviceRoute: readonly string[];
    readonly flowTimerSeconds?: number;
    /** Addresses and CIDR blocks. */
    readonly edges: readonly string[];
  };
  readonly presence: PresenceConfig;
  readonly directory: DirectoryConfig;
  /** `off`: commands of users are not taken. */
  readonly commands: 'off' | CommandsConfig;
  readonly queue: {
    readonly lifetimeSeconds: number;
    readonly deadLetterSeconds: number;
    readonly rememberSeconds: number;
    readonly limits: { readonly total: number; readonly perPeer: number; readonly perSender: number };
    readonly retry: { readonly firstSeconds: number; readonly maxSeconds: number };
  };
  readonly limits: { readonly messageBytes: number; readonly stanzaBytes: number };
  readonly rateLimits: 'off' | RateLimits;
  readonly log: { readonly level: 'error' | 'warn' | 'info' | 'debug' | 'trace' };
};

export type DirectoryConfig = {
  readonly names: 'watchers' | 'public';
  readonly software: boolean;
  readonly avatarBytes: number;
};

export type CommandsConfig = {
  /** Decoded localpart of the address, in each domain of ours, to which commands are written. */
  readonly user: string;
};

export type PresenceConfig = {
  /** For watchers without a rule. */
  readonly default: RuleAction;
  /** 0: no limit. */
  readonly notifyIntervalSeconds: number;
  /** Seconds; of subscriptions and publications. */
  readonly expires: { readonly min: number; readonly default: number; readonly max: number };
  readonly composition: {
    /** `fallback`: presence is derived from registrations for users who publish nothing. */
    readonly registrations: 'fallback' | 'always' | 'never';
    /** 0: never. */
    readonly staleAfterSeconds: number;
  };
  readonly limits: {
    readonly publicationsPerUser: number;
    readonly documentBytes: number;
    readonly subscriptionsPerWatcher: number;
    readonly watchersPerUser: number;
    readonly pendingPerUser: number;
    readonly subscriptions: number;
  };
  /** How long a request that nobody decided is kept. */
  readonly waitingDays: number;
};

export type RateLimits = {
  readonly perSenderPerSecond: number;
  readonly burst: number;
  readonly perPeerPerSecond: number;
  readonly peerBurst: number;
};

/** Everything that is wrong with a configuration file, in the order of its lines: `line:column path: found, expected`. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

const FILE_LENGTH_MAX = 4 * 1024 * 1024;
/** Aliases beyond this many times the size of the file are an attack or a mistake ("billion laughs"). */
const ALIASES_MAX = 100;

/**
 * Reads a configuration file.
 *
 * `${NAME}` in a value stands for a variable of the environment, `$${` for the two characters themselves. A relative
 * path starts at `world.baseFolder`.
 *
 * @throws ConfigError with every fault at once.
 */
export function readConfig(text: string, world: ConfigWorld): Config {
  if (text.length > FILE_LENGTH_MAX) throw new ConfigError([`1:1 (file): larger than ${FILE_LENGTH_MAX} characters`]);
  const lines = new LineCounter();
  // Level 'error', since 'silent' would also be silent about a second document.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const syntax = [...document.errors, ...document.warnings].map((error) => ({
    ...at(lines, error.pos[0]),
    text: `(file): ${syntaxText(error, text)}`,
  }));
  // A key given twice leaves a tree that can be looked at further; a broken one does not.
  if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) throw inOrder(syntax);

  const written = plainValues(document);
  const faults: ValueFault[] = [];
  const values = substituted(written, world.env, [], faults);
  const checked = ConfigSchema.safeParse(values ?? {});
  if (!checked.success) {
    // What a missing variable leaves behind would be found wrong a second time.
    const told = new Set(faults.map((fault) => pathText(fault.path)));
    const found = schemaFaults(values ?? {}, written ?? {}, checked.error.issues);
    faults.push(...found.filter((fault) => !told.has(pathText(fault.path))));
  }
  faults.push(...crossFaults(values));
  const files = new FileTexts(world, faults);
  const config = checked.success ? built(checked.data, world, files) : undefined;
  if (config === undefined || faults.length > 0 || syntax.length > 0) {
    const placed = faults.map((fault) => ({
      ...at(lines, offsetOf(document, fault)),
      text: `${pathText(fault.path)}: ${fault.text}`,
    }));
    throw inOrder([...syntax, ...placed]);
  }
  return config;
}

type PlacedFault = { readonly line: number; readonly col: number; readonly text: string };

function syntaxText(error: YAMLError, text: string): string {
  if (error.code === 'MULTIPLE_DOCS') return 'found a second document (---), expected one';
  if (error.code !== 'DUPLICATE_KEY') return error.message;
  const key = /^[^\s:]{0,64}/.exec(text.slice(error.pos[0], error.pos[0] + 64))?.[0] ?? '';
  return `found the key ${key} a second time, expected each once`;
}

function inOrder(faults: readonly PlacedFault[]): ConfigError {
  const sorted = [...faults].sort((a, b) => a.line - b.line || a.col - b.col);
  return new ConfigError(sorted.map(({ line, col, text }) => `${line}:${col} ${text}`));
}

function at(lines: LineCounter, offset: number): { line: number; col: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), col: Math.max(1, col) };
}

function plainValues(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (thrown) {
    throw new ConfigError([`1:1 (file): ${thrown instanceof Error ? thrown.message : 'not readable'}`]);
  }
}

/** The same values with every `${NAME}` replaced; a variable that is not set is a fault. */
function substituted(value: unknown, env: ConfigWorld['env'], path: ConfigPath, faults: ValueFault[]): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$?\$\{([^}]{0,200})\}/g, (whole, name: string) => {
      if (whole.startsWith('$$')) return whole.slice(1);
      const set = Object.hasOwn(env, name) ? env[name] : undefined;
      if (set === undefined)
        faults.push({ path, text: `found \${${name}}, expected the environment variable ${name} to be set` });
      return set ?? `\${${name}}`;
    });
  }
  if (Array.isArray(value))
    return value.map((item: unknown, index) => substituted(item, env, [...path, index], faults));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, substituted(item, env, [...path, key], faults)]),
  );
}

/** Takes the checked texts apart. The schema has seen each, so a text that still does not parse is its mistake. */
function built(values: ConfigValues, world: ConfigWorld, files: FileTexts): Config {
  const own = values.domains.map((domain) => known(parseDomain(typeof domain === 'string' ? domain : domain.name)));
  const hasNumbers = values.enum !== undefined || values.aliases.some(({ address }) => address.startsWith('+'));
  const telDomain = hasNumbers ? parseDomain(values.enum?.defaultDomain ?? own[0] ?? '') : undefined;
  const named = values.sip.tls;
  const tls = files.tls(named);
  const store = values.store === undefined ? undefined : builtStore(values.store, files);
  return {
    domains: values.domains.map((own) =>
      typeof own === 'string'
        ? { name: known(parseDomain(own)), trust: [] }
        : {
            name: known(parseDomain(own.name)),
            trust: own.trust,
            ...(own.nextHop === undefined ? {} : { nextHop: own.nextHop }),
            ...(own.edge ? { edge: true } : {}),
          },
    ),
    data: world.resolvePath(world.baseFolder, values.data),
    ...(store === undefined ? {} : { store }),
    ...(values.node === undefined ? {} : { node: values.node }),
    sip: {
      advertise: values.sip.advertise.map((place) => known(parseAdvertise(place))),
      engine: values.sip.engine,
      drachtio: builtDrachtio(values.sip.drachtio, files),
      listen: (values.sip.listen ?? []).map((listen) => known(parseListen(listen))),
      ...(tls === undefined || named === undefined ? {} : { tls: { ...tls, warnDays: named.warnDays } }),
      ...(values.sip.identity === undefined ? {} : { identity: builtSipIdentity(values.sip.identity, files) }),
      ...(values.sip.websocket === undefined ? {} : { websocket: values.sip.websocket }),
    },
    links: Object.fromEntries(
      Object.entries(values.links).map(([key, link]) => [key, builtLink(link, ['links', key], files)]),
    ),
    accounts: {
      ...(values.accounts.key === undefined ? {} : { key: values.accounts.key }),
      ...(values.accounts.keyFile === undefined
        ? {}
        : { keyFile: files.accountKeys(values.accounts.keyFile, ['accounts', 'keyFile'], store === undefined) }),
    },
    peers: values.peers.map((peer) => builtPeer(peer, values.links[peer.link]?.type === 'xmpp-s2s')),
    ...(values.http === undefined ? {} : { http: builtHttp(values.http, files) }),
    dns: values.dns,
    ...(values.enum === undefined ? {} : { enum: builtNumbers(values.enum, own, values.dns.servers) }),
    aliases: builtAliases(values.aliases, own),
    ...(telDomain === undefined ? {} : { telDomain }),
    registration: builtRegistration(values.registration),
    presence: values.presence,
    directory: values.directory,
    commands: values.commands,
    queue: values.queue,
    limits: values.limits,
    rateLimits: values.rateLimits,
    log: values.log,
  };
}

function builtRegistration({ flowTimerSeconds, ...rest }: ConfigValues['registration']): Config['registration'] {
  return { ...rest, ...(flowTimerSeconds === undefined ? {} : { flowTimerSeconds }) };
}

function builtHttp(
  { listen, token, tokenFile }: NonNullable<ConfigValues['http']>,
  files: FileTexts,
): NonNullable<Config['http']> {
  const given = token ?? (tokenFile === undefined ? undefined : files.token(tokenFile, ['http', 'tokenFile']));
  return { listen: known(parseHostPort(listen)), ...(given === undefined ? {} : { token: given }) };
}

/** Where in the text a fault is: at its value, at its key, or, for what is missing, at the nearest thing around it. */
function offsetOf(document: Document, fault: ValueFault): number {
  let node: Node | null | undefined = document.contents;
  let offset = 0;
  for (const [depth, part] of fault.path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isCollection(node)) return offset;
    const isLast = depth === fault.path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && String(isScalar(item.key) ? item.key.value : item.key) === String(part),
      );
      if (pair === undefined) return offset;
      const key = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
      offset = key;
      node = pair.value as Node | null;
      if (isLast && fault.atKey === true) return key;
    } else {
      node = node.items[Number(part)] as Node | undefined;
    }
    // A section is found by its key; what has none, or is one value, by itself.
    if (typeof part === 'number' || !isMap(node)) offset = node?.range?.[0] ?? offset;
  }
  return offset;
}

function pathText(path: ConfigPath): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  return text === '' ? '(file)' : text;
}
