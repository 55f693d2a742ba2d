import { X509Certificate } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import { RecentMap } from '../../core/recent-map.ts';
import { isValidAt } from './certificate.ts';

export type CredentialsConfig = {
  /** Certificates that are known by where they are said to be, PEM: believed as they are. */
  readonly certificates: ReadonlyArray<{ readonly info: string; readonly certificate: string }>;
  /** Hosts (`host` or `host:port`) from which certificates may be fetched; none: from nowhere. */
  readonly fetchFrom: readonly string[];
  /** PEM of the roots that what is fetched is checked against, and the server that has it. */
  readonly ca?: string;
};

/** `unsupported`: it is there, and nobody here believes it. */
export type Credential = { readonly certificate: X509Certificate } | 'not-to-be-had' | 'unsupported';

const FETCH_MS = 4_000;
const FETCH_BYTES_MAX = 64 * 1024;
const KEPT_MS = 3_600_000;
/** What cannot be had is not asked for with each message. */
const FAILED_MS = 30_000;
const KEPT_MAX = 1_000;
const CHAIN_MAX = 5;
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The certificates behind the `info` of Identity (RFC 8224, section 7.2): those that the configuration has, and those of
 * hosts that it names, over HTTPS, without redirections, bounded in size and time. Nothing else is ever fetched: where to
 * is said by whoever sends a request.
 */
export class Credentials {
  readonly #known = new Map<string, X509Certificate>();
  readonly #hosts: ReadonlySet<string>;
  readonly #roots: readonly X509Certificate[];
  readonly #ca: string | undefined;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #log: Log;
  readonly #fetched = new RecentMap<readonly X509Certificate[]>({ keepMs: KEPT_MS, max: KEPT_MAX });
  readonly #failed = new RecentMap<true>({ keepMs: FAILED_MS, max: KEPT_MAX });
  readonly #underWay = new Map<string, Promise<readonly X509Certificate[] | undefined>>();

  constructor({ certificates, fetchFrom, ca }: CredentialsConfig, clock: Pick<Clock, 'nowMs'>, log: Log) {
    for (const { info, certificate } of certificates) this.#known.set(info, new X509Certificate(certificate));
    this.#hosts = new Set(fetchFrom.map((host) => host.toLowerCase()));
    this.#roots = certificatesFrom(Buffer.from(ca ?? ''));
    this.#ca = ca;
    this.#clock = clock;
    this.#log = log;
  }

  /** Never rejects; at once, where nothing has to be fetched. */
  find(info: string): Credential | Promise<Credential> {
    const known = this.#known.get(info);
    if (known !== undefined) return { certificate: known };
    const url = this.#allowed(info);
    const nowMs = this.#clock.nowMs();
    if (url === undefined || this.#failed.get(info, nowMs) === true) return 'not-to-be-had';
    const fetched = this.#fetched.get(info, nowMs);
    if (fetched !== undefined) return this.#judged(fetched);
    return this.#fetch(info, url).then((chain) => (chain === undefined ? 'not-to-be-had' : this.#judged(chain)));
  }

  #allowed(info: string): URL | undefined {
    if (!URL.canParse(info)) return undefined;
    const url = new URL(info);
    const isPlain = url.protocol === 'https:' && url.username === '' && url.password === '';
    return isPlain && this.#hosts.has(url.host) ? url : undefined;
  }

  #fetch(info: string, url: URL): Promise<readonly X509Certificate[] | undefined> {
    const before = this.#underWay.get(info);
    if (before !== undefined) return before;
    const fetching = this.#get(info, url).finally(() => this.#underWay.delete(info));
    this.#underWay.set(info, fetching);
    return fetching;
  }

  async #get(info: string, url: URL): Promise<readonly X509Certificate[] | undefined> {
    try {
      const chain = certificatesFrom(await fetched(url, this.#ca));
      if (chain.length === 0) throw new Error('there is no certificate');
      this.#fetched.set(info, chain, this.#clock.nowMs());
      return chain;
    } catch (error) {
      this.#failed.set(info, true, this.#clock.nowMs());
      this.#log.warn({ peer: url.host, error }, 'certificate of a sender cannot be fetched');
      return undefined;
    }
  }

  #judged(chain: readonly X509Certificate[]): Credential {
    const [certificate] = chain;
    if (certificate === undefined || !isRooted(certificate, chain, this.#roots, this.#clock.nowMs()))
      return 'unsupported';
    return { certificate };
  }
}

/** Whether a certificate leads to one of the roots over those beside it, and all of them are good now. */
function isRooted(
  leaf: X509Certificate,
  beside: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  nowMs: number,
): boolean {
  let current = leaf;
  for (let step = 0; step < CHAIN_MAX; step++) {
    if (!isValidAt(current, nowMs)) return false;
    const issuedBy = (other: X509Certificate): boolean =>
      other.ca && current.checkIssued(other) && current.verify(other.publicKey);
    const root = roots.find(issuedBy);
    if (root !== undefined) return isValidAt(root, nowMs);
    const next = beside.find((other) => other !== current && issuedBy(other));
    if (next === undefined) return false;
    current = next;
  }
  return false;
}

/** PEM, one or several, or DER (RFC 8224, section 7.3). */
function certificatesFrom(bytes: Buffer): readonly X509Certificate[] {
  const blocks = bytes.toString('latin1').match(PEM_BLOCK);
  const found = blocks === null ? (bytes.length === 0 ? [] : [bytes]) : blocks.slice(0, CHAIN_MAX * 10);
  return found.map((one) => new X509Certificate(one));
}

function fetched(url: URL, ca: string | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const asked = httpsRequest(
      url,
      {
        minVersion: 'TLSv1.2',
        agent: false,
        headers: { Accept: 'application/x-pem-file, application/pkix-cert' },
        ...(ca === undefined ? {} : { ca }),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let size = 0;
        // A redirection would lead where the list does not.
        if (answer.statusCode !== 200) {
          fail(new Error(`answered ${answer.statusCode ?? 0}`));
          return;
        }
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > FETCH_BYTES_MAX) fail(new Error('larger than any certificate'));
          else chunks.push(chunk);
        });
        answer.on('end', () => done(Buffer.concat(chunks)));
        answer.on('error', fail);
      },
    );
    // Of the whole of it: a server that sends a byte now and then holds nobody up.
    const late = setTimeout(() => fail(new Error('took too long')), FETCH_MS);
    const fail = (error: Error): void => {
      clearTimeout(late);
      asked.destroy();
      reject(error);
    };
    const done = (bytes: Buffer): void => {
      clearTimeout(late);
      resolve(bytes);
    };
    asked.on('error', fail);
    asked.end();
  });
}
