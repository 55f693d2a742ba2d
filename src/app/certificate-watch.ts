import { X509Certificate } from 'node:crypto';
import type { Config } from '../core/config.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import type { CertificateHealth } from '../http/routes-health.ts';

const DAY_MS = 86_400_000;
/** Days before the end of the certificate for drachtio servers that connect here. */
const CONTROL_WARN_DAYS = 21;
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A file of certificates of ours, and how many days before its end the log speaks of it. */
export type WatchedCertificate = { readonly key: string; readonly pem: string; readonly warnDays: number };

/** Those of the configuration, each by its key there. */
export function watchedCertificates({ sip, links }: Config): readonly WatchedCertificate[] {
  const { tls } = sip;
  const ours = tls === undefined ? [] : [{ key: 'sip.tls', pem: tls.certificate, warnDays: tls.warnDays }];
  const control = sip.drachtio.flatMap((server, at) =>
    'listen' in server && server.tls !== undefined
      ? [{ key: `sip.drachtio[${at}].tls`, pem: server.tls.certificate, warnDays: CONTROL_WARN_DAYS }]
      : [],
  );
  const federation = Object.entries(links).flatMap(([name, link]) => {
    if (link.type !== 'xmpp-s2s' || link.certificate === undefined) return [];
    return [{ key: `links.${name}`, pem: link.certificate.certificate, warnDays: link.warnDays }];
  });
  const own = sip.identity?.own;
  const warnDays = tls?.warnDays ?? CONTROL_WARN_DAYS;
  const signing = own === undefined ? [] : [{ key: 'sip.identity', pem: own.certificate, warnDays }];
  return [...ours, ...signing, ...control, ...federation];
}

/** Says in the log, at the start and then once a day, which certificates of this server are about to end or have ended. */
export class CertificateWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #ends: ReadonlyArray<WatchedCertificate & { readonly endsAtMs: number }>;
  #cancel: (() => void) | undefined;

  constructor(certificates: readonly WatchedCertificate[], clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
    this.#ends = certificates.flatMap((certificate) => {
      const endsAtMs = certificateEndMs(certificate.pem);
      return endsAtMs === undefined ? [] : [{ ...certificate, endsAtMs }];
    });
  }

  start(): void {
    this.#look();
    if (this.#ends.length > 0) this.#cancel = this.#clock.after(DAY_MS, () => this.start());
  }

  stop(): void {
    this.#cancel?.();
  }

  health(): Readonly<Record<string, CertificateHealth>> {
    const nowMs = this.#clock.nowMs();
    return Object.fromEntries(
      this.#ends.map(({ key, endsAtMs }) => [
        key,
        { notAfter: new Date(endsAtMs).toISOString(), daysLeft: Math.floor((endsAtMs - nowMs) / DAY_MS) },
      ]),
    );
  }

  #look(): void {
    const nowMs = this.#clock.nowMs();
    for (const { key, endsAtMs, warnDays } of this.#ends) {
      const fields = { certificate: key, notAfter: new Date(endsAtMs).toISOString() };
      if (endsAtMs <= nowMs) {
        this.#log.error(fields, 'certificate is over: peers refuse it, put a new one in place and restart');
      } else if (endsAtMs - nowMs <= warnDays * DAY_MS) {
        this.#log.warn(fields, 'certificate ends soon: put a new one in place and restart');
      }
    }
  }
}

/** When the first of the certificates in a file ends, ms since the epoch; a chain is as good as its weakest part. */
export function certificateEndMs(pem: string): number | undefined {
  const ends = (pem.match(PEM_BLOCK) ?? []).map((block) => {
    try {
      return Date.parse(new X509Certificate(block).validTo);
    } catch {
      return Number.NaN;
    }
  });
  const known = ends.filter((end) => !Number.isNaN(end));
  return known.length === 0 ? undefined : Math.min(...known);
}
