import { valueAt, type ValueFault } from './faults.ts';
import { listAt } from './places.ts';

const PATH = ['sip', 'identity'];

/** What SIP Identity needs: a certificate with its key and place to sign, others' certificates to verify. */
export function identityFaults(values: unknown): ValueFault[] {
  const has = (key: string): boolean => valueAt(values, [...PATH, key]) !== undefined;
  const faults: ValueFault[] = [];
  const own = ['certificate', 'key', 'info'];
  const missing = own.filter((key) => !has(key));
  if (missing.length > 0 && missing.length < own.length) {
    const text = `lacks ${missing.join(' and ')}, expected certificate, key and info together`;
    faults.push({ path: PATH, text });
  }
  const isFilled = (key: string): boolean => listAt(values, [...PATH, key]).length > 0;
  const fetches = isFilled('fetchFrom');
  if (fetches && !has('ca')) {
    faults.push({
      path: [...PATH, 'fetchFrom'],
      text: 'needs `ca`, the roots that what is fetched is checked against',
    });
  }
  const canVerify = fetches || isFilled('certificates');
  for (const { value: peer, path: at } of listAt(values, ['peers'])) {
    const path = [...at, 'identity'];
    if (valueAt(peer, ['identity', 'sign']) === true && missing.length > 0) {
      faults.push({ path: [...path, 'sign'], text: 'needs sip.identity with certificate, key and info' });
    }
    const verify = valueAt(peer, ['identity', 'verify']);
    if ((verify === 'check' || verify === 'require') && !canVerify) {
      const text = 'needs sip.identity with `certificates` or `fetchFrom`: by what else is a signature to be checked?';
      faults.push({ path: [...path, 'verify'], text });
    }
  }
  return faults;
}
