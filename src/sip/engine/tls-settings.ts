import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

/** PEM text, not file names. */
export type TlsFiles = {
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  /** Whom to believe; absent: those Node believes. */
  readonly ca?: string | Buffer;
};

/** What both sides of TLS have in common here. Renegotiation is off: nothing in SIP needs it, and it costs CPU. */
export function secureContextOptions(files: TlsFiles | undefined): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(files === undefined ? {} : { cert: files.certificate, key: files.key }),
    ...(files?.ca === undefined ? {} : { ca: files.ca }),
  };
}
