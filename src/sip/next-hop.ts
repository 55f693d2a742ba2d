import { parseSipUri, uriParam } from './uri.ts';

/** Whether what is sent to this URI goes over TLS (RFC 3261, section 26.2.2). */
export function isOverTls(text: string): boolean {
  const uri = parseSipUri(text);
  if (uri === undefined) return false;
  const transport = uriParam(uri, 'transport');
  return uri.scheme === 'sips' || (typeof transport === 'string' && transport.toLowerCase() === 'tls');
}

/**
 * The names one of which the certificate of a domain's server must carry: the domain, and the host that is named as the way
 * to it.
 *
 * @param nextHop a SIP URI; absent: the domain itself is looked up
 */
export function namesExpectedOf(domain: string, nextHop: string | undefined): readonly string[] {
  const host = nextHop === undefined ? undefined : parseSipUri(nextHop)?.host;
  return host === undefined || host === domain ? [domain] : [domain, host];
}
