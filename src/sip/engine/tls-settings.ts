import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

/** PEM text, not file names. */
export type TlsFiles = {
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  /** Whom to believe; absent: those Node believes. */
  readonly ca?: string | Buffer;
};

/** Forward secrecy and authenticated encryption only (RFC 9325, section 4.2); TLS 1.3 has nothing else. */
const CIPHERS = [
  ...['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'],
  ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
  ...['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'],
  ...['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
  ...['DHE-RSA-AES128-GCM-SHA256', 'DHE-RSA-AES256-GCM-SHA384'],
].join(':');

/** What both sides of TLS have in common here. Renegotiation is off: nothing in SIP needs it, and it costs CPU. */
export function secureContextOptions(files: TlsFiles | undefined): SecureContextOptions {
  return {
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(files === undefined ? {} : { cert: files.certificate, key: files.key }),
    ...(files?.ca === undefined ? {} : { ca: files.ca }),
  };
}
