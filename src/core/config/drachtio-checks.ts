import { parseCidr } from '../cidr.ts';
import { DRACHTIO_PORT } from './drachtio.ts';
import { valueAt, type ConfigPath, type ValueFault } from './faults.ts';
import { listAt, textAt } from './places.ts';
import { secretKeyFaults } from './secrets.ts';
import { isOverTls, parseListen } from './values.ts';

/** What belongs to the one engine and not to the other, and what each entry needs. */
export function drachtioFaults(values: unknown): ValueFault[] {
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
  const places = new Set<string>();
  for (const { value, path } of listAt(values, ['sip', 'drachtio'])) faults.push(...entryFaults(value, path, places));
  return [...faults, ...certificateFaults(values)];
}

function entryFaults(entry: unknown, path: ConfigPath, places: Set<string>): ValueFault[] {
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
  const isTls = parseListen(textAt(entry, ['listen']) ?? '')?.transport === 'tls';
  if (isTls && !(has('tls', 'certificate') && has('tls', 'key'))) {
    fault(['listen'], 'found a tls listener, expected `tls` with certificate and key');
  }
  if (isListen && !isTls && has('tls')) fault(['tls'], 'belongs to `listen: tls://`, expected that or none');
  const trusted = listAt(entry, ['trust']);
  if (isListen && trusted.length === 0) {
    fault(['trust'], 'is missing; expected the addresses of the drachtio servers that connect');
  }
  if (!isListen && trusted.length > 0) fault(['trust'], 'belongs to `listen`, expected none here');
  for (const { value, path: at } of trusted) {
    if (typeof value !== 'string' || parseCidr(value)?.bits !== 0) continue;
    faults.push({
      path: [...path, ...at],
      text: `found '${value}', which trusts everybody; expected the addresses of those servers`,
    });
  }
  return [...faults, ...secretKeyFaults(entry, path)];
}

/** A drachtio server tells nobody what certificate a far end has shown. */
function certificateFaults(values: unknown): ValueFault[] {
  const peers = listAt(values, ['peers']).flatMap(({ value, path }): ValueFault[] => {
    if (valueAt(value, ['security']) !== 'mutual-tls') return [];
    const text =
      'found mutual-tls, expected tls or none and `trust`: a drachtio server does not tell whose certificate it was shown';
    return [{ path: [...path, 'security'], text }];
  });
  const domains = listAt(values, ['domains']).flatMap(({ value, path }): ValueFault[] => {
    const nextHop = textAt(value, ['nextHop']);
    if (nextHop === undefined || !isOverTls(nextHop) || listAt(value, ['trust']).length > 0) return [];
    const text =
      'needs `trust` with the addresses of that core: a drachtio server does not tell whose certificate it was shown';
    return [{ path: [...path, 'nextHop'], text }];
  });
  return [...peers, ...domains];
}
