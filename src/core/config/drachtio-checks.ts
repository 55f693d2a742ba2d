import { parseCidr } from '../cidr.ts';
import { DRACHTIO_PORT } from './drachtio.ts';
import { valueAt, type ConfigPath, type ValueFault } from './faults.ts';
import { isOverTls, parseListen } from './values.ts';

/** What belongs to the one engine and not to the other, and what each entry needs. */
export function drachtioFaults(
  values: unknown,
  secretFaults: (secret: string, path: ConfigPath) => ValueFault[],
): ValueFault[] {
  const has = (...path: ConfigPath): boolean => valueAt(values, path) !== undefined;
  const faults: ValueFault[] = [];
  const fault = (path: ConfigPath, text: string): void => void faults.push({ path, text });
  if (!has('sip')) return [];
  if (valueAt(values, ['sip', 'engine']) !== 'drachtio') {
    if (!has('sip', 'listen'))
      fault(['sip', 'listen'], 'is missing; expected a list of udp|tcp|tls|ws|wss://address:port');
    if (has('sip', 'drachtio'))
      fault(['sip', 'drachtio'], 'belongs to `engine: drachtio`, expected that or no drachtio servers');
    return faults;
  }
  for (const key of ['listen', 'tls', 'websocket']) {
    const where = key === 'tls' ? 'certificates for SIP' : 'where SIP is listened for';
    if (has('sip', key))
      fault(
        ['sip', key],
        `has no effect with \`engine: drachtio\`: ${where} stands in drachtio.conf.xml; expected none`,
      );
  }
  if (has('registration', 'flowTimerSeconds')) {
    const text =
      "has no effect with `engine: drachtio`: connections of phones are the drachtio server's; expected none";
    fault(['registration', 'flowTimerSeconds'], text);
  }
  if (!has('sip', 'drachtio')) fault(['sip', 'drachtio'], 'is missing; expected a list of { host, port, secret }');
  const entries = valueAt(values, ['sip', 'drachtio']);
  const places = new Set<string>();
  for (const [at, entry] of (Array.isArray(entries) ? (entries as unknown[]) : []).entries()) {
    faults.push(...entryFaults(entry, ['sip', 'drachtio', at], places, secretFaults));
  }
  return [...faults, ...certificateFaults(values)];
}

function entryFaults(
  entry: unknown,
  path: ConfigPath,
  places: Set<string>,
  secretFaults: (secret: string, path: ConfigPath) => ValueFault[],
): ValueFault[] {
  if (typeof entry !== 'object' || entry === null) return [];
  const faults: ValueFault[] = [];
  const has = (...keys: string[]): boolean => valueAt(entry, keys) !== undefined;
  const fault = (keys: readonly string[], text: string): void => void faults.push({ path: [...path, ...keys], text });
  const isListen = has('listen');
  if (has('host') === isListen) {
    fault(
      ['host'],
      isListen ? 'found `host` and `listen`, expected one of them' : 'is missing; expected `host` or `listen`',
    );
  }
  const place = JSON.stringify([
    valueAt(entry, ['host']),
    valueAt(entry, ['port']) ?? DRACHTIO_PORT,
    valueAt(entry, ['listen']),
  ]);
  if (places.has(place)) fault([isListen ? 'listen' : 'host'], 'is named a second time, expected once');
  places.add(place);
  if (isListen && has('port')) fault(['port'], 'belongs to `host`; `listen` has its port in it');
  for (const key of isListen ? ['ca', 'servername'] : ['certificate', 'key']) {
    if (has('tls', key)) fault(['tls', key], `belongs to \`${isListen ? 'host' : 'listen'}\`, expected none here`);
  }
  const listen = valueAt(entry, ['listen']);
  const isTls = typeof listen === 'string' && parseListen(listen)?.transport === 'tls';
  if (isTls && !(has('tls', 'certificate') && has('tls', 'key'))) {
    fault(['listen'], 'found a tls listener, expected `tls` with certificate and key');
  }
  if (isListen && !isTls && has('tls')) fault(['tls'], 'belongs to `listen: tls://`, expected that or none');
  const trust = valueAt(entry, ['trust']);
  const trusted: readonly unknown[] = Array.isArray(trust) ? (trust as unknown[]) : [];
  if (isListen && trusted.length === 0) {
    fault(['trust'], 'is missing; expected the addresses of the drachtio servers that connect');
  }
  if (!isListen && trusted.length > 0) fault(['trust'], 'belongs to `listen`, expected none here');
  for (const [at, address] of trusted.entries()) {
    if (typeof address !== 'string' || parseCidr(address)?.bits !== 0) continue;
    faults.push({
      path: [...path, 'trust', at],
      text: `found '${address}', which trusts everybody; expected the addresses of those servers`,
    });
  }
  const secret = valueAt(entry, ['secret']);
  if (has('secret') === has('secretFile')) {
    fault(
      ['secret'],
      has('secret')
        ? 'found `secret` and `secretFile`, expected one of them'
        : 'is missing; expected `secret` or `secretFile`',
    );
  }
  if (typeof secret === 'string') faults.push(...secretFaults(secret, [...path, 'secret']));
  return faults;
}

/** A drachtio server tells nobody what certificate a far end has shown. */
function certificateFaults(values: unknown): ValueFault[] {
  const listed = (key: string): unknown[] => {
    const list = valueAt(values, [key]);
    return Array.isArray(list) ? (list as unknown[]) : [];
  };
  const peers = listed('peers').flatMap((peer, at): ValueFault[] => {
    if (valueAt(peer, ['security']) !== 'mutual-tls') return [];
    const text =
      'found mutual-tls, expected tls or none and `trust`: a drachtio server does not tell whose certificate it was shown';
    return [{ path: ['peers', at, 'security'], text }];
  });
  const domains = listed('domains').flatMap((own, at): ValueFault[] => {
    const nextHop = valueAt(own, ['nextHop']);
    const trust = valueAt(own, ['trust']);
    if (typeof nextHop !== 'string' || !isOverTls(nextHop) || (Array.isArray(trust) && trust.length > 0)) return [];
    const text =
      'needs `trust` with the addresses of that core: a drachtio server does not tell whose certificate it was shown';
    return [{ path: ['domains', at, 'nextHop'], text }];
  });
  return [...peers, ...domains];
}
