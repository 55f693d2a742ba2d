import type { X509Certificate } from 'node:crypto';
import { sipIdentities } from '../engine/certificate-names.ts';

/** The SIP domains that a certificate may sign for, by its subjectAltName alone. */
export function domainsOf({ subjectAltName }: X509Certificate): readonly string[] {
  return sipIdentities({ subjectaltname: subjectAltName ?? '' });
}

/** Whether a certificate has begun and not ended. */
export function isValidAt({ validFrom, validTo }: X509Certificate, nowMs: number): boolean {
  return Date.parse(validFrom) <= nowMs && nowMs <= Date.parse(validTo);
}
