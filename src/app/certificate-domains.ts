import { X509Certificate } from 'node:crypto';
import type { Config } from '../core/config.ts';
import { certificateNames, certifies } from '../xmpp/s2s/certificate-names.ts';

/** A domain of ours that the certificate of a link does not name, so that it proves us to no peer. */
export type UncertifiedDomain = { readonly key: string; readonly domain: string };

/** What is missing in the certificates that are shown to XMPP servers, by their keys in the configuration. */
export function uncertifiedDomains({
  links,
  domains,
}: Pick<Config, 'links' | 'domains'>): readonly UncertifiedDomain[] {
  return Object.entries(links).flatMap(([name, link]) => {
    if (link.type !== 'xmpp-s2s' || link.certificate === undefined) return [];
    // The first in the file is ours; those behind it lead to its root.
    const names = certificateNames(new X509Certificate(link.certificate.certificate).raw);
    const missing = domains.filter((own) => !certifies(names, own.name));
    return missing.map((own) => ({ key: `links.${name}.certificate`, domain: own.name }));
  });
}
