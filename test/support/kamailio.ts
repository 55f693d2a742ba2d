import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { startProcess, untilBound, untilListening, type TestProcess } from './process.ts';
import { filled } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/kamailio.cfg', import.meta.url), 'utf8');
const TLS_TEMPLATE = readFileSync(new URL('./peers/kamailio-tls.cfg', import.meta.url), 'utf8');
const PRESENCE_TEMPLATE = readFileSync(new URL('./peers/kamailio-presence.cfg', import.meta.url), 'utf8');

export type KamailioOptions = {
  readonly folder: string;
  /** Its SIP domain; whoever registers there needs no password. */
  readonly domain: string;
  /** Its loopback port, UDP and TCP. */
  readonly port: number;
  /** Loopback port of the one it sends everything to that is not for its own domain; over TCP, but for presence. */
  readonly neighbourPort: number;
};

/** Starts Kamailio as somebody else's SIP domain: registrar and proxy. */
export function startKamailio(options: KamailioOptions): Promise<TestProcess> {
  const { domain, port, neighbourPort } = options;
  const config = filled(TEMPLATE, { DOMAIN: domain, PORT: port, NEIGHBOUR: neighbourPort });
  return run(join(options.folder, 'kamailio'), config, port);
}

export type KamailioTlsOptions = KamailioOptions & {
  /** Its loopback port for TLS; its own users speak UDP at `port`. `neighbourPort` is one for TLS. */
  readonly tlsPort: number;
  /** What it shows; PEM files. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Whom it believes; a PEM file. */
  readonly caFile: string;
};

/**
 * Starts Kamailio as a SIP domain whose neighbour has to show a certificate with the name he sends for. It answers over
 * the connection a request came by, and sends over it too, where the Via has `alias` (RFC 5923).
 */
export function startKamailioTls(options: KamailioTlsOptions): Promise<TestProcess> {
  const { domain, port, tlsPort, neighbourPort, certificateFile, keyFile, caFile } = options;
  const folder = join(options.folder, 'kamailio-tls');
  mkdirSync(folder, { recursive: true });
  const side = [
    'method = TLSv1.2+',
    'verify_certificate = yes',
    'require_certificate = yes',
    `certificate = ${certificateFile}`,
    `private_key = ${keyFile}`,
    `ca_list = ${caFile}`,
  ].join('\n');
  writeFileSync(join(folder, 'tls.cfg'), `[server:default]\n${side}\n[client:default]\n${side}\n`);
  const config = filled(TLS_TEMPLATE, {
    DOMAIN: domain,
    PORT: port,
    TLS_PORT: tlsPort,
    NEIGHBOUR: neighbourPort,
    FOLDER: folder,
  });
  return run(folder, config, port, tlsPort);
}

export type KamailioPresenceOptions = KamailioOptions & {
  /** What it and its neighbour speak. */
  readonly transport: 'udp' | 'tcp';
  /** Shorter subscriptions are refused with 423; seconds, default 4. */
  readonly minExpires?: number;
};

/** What a presentity there lets every watcher of his see; `undefined`: nothing yet, his watchers wait. */
export type KamailioRule = 'allow' | 'block' | undefined;

/** Kamailio with its presence server. */
export interface KamailioPresence {
  process(): TestProcess;
  /** Starts it again: it has forgotten subscriptions and publications, not rules. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Lines it wrote for each SUBSCRIBE that came: `user@domain -> presentity cseq=… expires=… proto=… call=… to=…`. */
  watchers(): readonly string[];
  /**
   * Decides for a presentity there. It is asked to look at his watchers again, and may look at the old rule once more:
   * to be repeated until it shows.
   */
  decide(presentity: string, rule: KamailioRule): void;
}

/** The tables of its text database that presence needs. */
const TABLES = ['presentity', 'active_watchers', 'watchers'];
const TABLES_FOLDER = '/usr/share/kamailio/dbtext/kamailio';

/** Starts Kamailio as a SIP domain with a presence server: what is not for its own domain is record-routed. */
export async function startKamailioPresence(options: KamailioPresenceOptions): Promise<KamailioPresence> {
  const { domain, port, neighbourPort, transport } = options;
  const folder = join(options.folder, `kamailio-${domain}`);
  const tables = join(folder, 'db');
  mkdirSync(tables, { recursive: true });
  const begin = (table: string): void => copyFileSync(join(TABLES_FOLDER, table), join(tables, table));
  for (const table of ['version', 'xcap']) begin(table);
  const [head = ''] = readFileSync(join(tables, 'xcap'), 'utf8').split('\n');
  const rules = new Map<string, KamailioRule>();
  const config = filled(PRESENCE_TEMPLATE, {
    DOMAIN: domain,
    PORT: port,
    NEIGHBOUR: neighbourPort,
    FOLDER: folder,
    TRANSPORT: transport,
    MIN_EXPIRES: options.minExpires ?? 4,
  });
  let running: TestProcess | undefined;
  const self: KamailioPresence = {
    process: () => running!,
    async start() {
      for (const table of TABLES) begin(table);
      running = await run(folder, config, port);
    },
    async stop() {
      await running?.stop();
    },
    watchers: () => [...running!.output().matchAll(/watch: (.*)/g)].map(([, line = '']) => line),
    decide(presentity, rule) {
      rules.set(presentity, rule);
      const rows = [...rules].map(([user, said], at) => (said === undefined ? '' : ruleRow(at, user, domain, said)));
      writeFileSync(join(tables, 'xcap'), `${head}\n${rows.join('')}`);
      const socket = createSocket('udp4');
      socket.send(lookAgain(presentity, domain), port, '127.0.0.1', () => socket.close());
    },
  };
  await self.start();
  return self;
}

async function run(folder: string, config: string, udpPort: number, tcpPort = udpPort): Promise<TestProcess> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'kamailio.cfg');
  writeFileSync(file, config);
  const process = await startProcess({
    name: 'kamailio',
    command: commandPath('kamailio')!,
    args: [
      ...['-f', file, '-L', modulesFolder(), '-DD', '-E', '-m', '64', '-M', '8'],
      ...['-Y', folder, '-P', join(folder, 'pid')],
    ],
    folder,
  });
  await untilBound(udpPort, process);
  await untilListening(tcpPort, process);
  return process;
}

/** A rule of RFC 5025 for everybody, as a row of a text table: colons and line ends escaped. */
function ruleRow(id: number, user: string, domain: string, said: 'allow' | 'block'): string {
  const document =
    '<?xml version="1.0"?><ruleset xmlns="urn:ietf:params:xml:ns:common-policy" ' +
    'xmlns:pr="urn:ietf:params:xml:ns:pres-rules"><rule id="all"><conditions><identity><many/></identity></conditions>' +
    `<actions><pr:sub-handling>${said}</pr:sub-handling></actions><transformations><pr:provide-services>` +
    '<pr:all-services/></pr:provide-services><pr:provide-persons><pr:all-persons/></pr:provide-persons>' +
    '<pr:provide-all-attributes/></transformations></rule></ruleset>';
  const row = [id, user, domain, document.replaceAll(':', '\\:'), 2, 'etag', 0, 'index', 0];
  return `${row.join(':')}\n`;
}

/** What makes it look at the watchers of somebody again; its answer does not matter. */
function lookAgain(presentity: string, domain: string): string {
  const token = randomBytes(6).toString('hex');
  const lines = [
    `OPTIONS sip:rules-changed@${domain} SIP/2.0`,
    `Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK${token}`,
    'Max-Forwards: 70',
    `From: <sip:admin@${domain}>;tag=${token}`,
    `To: <sip:rules-changed@${domain}>`,
    `Call-ID: ${token}`,
    'CSeq: 1 OPTIONS',
    `Subject: ${presentity}`,
    'Content-Length: 0',
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function modulesFolder(): string {
  for (const name of ['kamailio', ...readdirSync('/usr/lib').map((folder) => `${folder}/kamailio`)]) {
    try {
      readdirSync(`/usr/lib/${name}/modules`);
      return `/usr/lib/${name}/modules/`;
    } catch {
      continue; // not this architecture
    }
  }
  throw new Error('no folder kamailio/modules under /usr/lib');
}
