import { valueAt, type ConfigPath, type ValueFault } from './faults.ts';
import { textAt } from './places.ts';

/** Texts that examples and other servers' manuals use for a secret, without what is no letter or digit. */
const KNOWN_SECRETS: ReadonlySet<string> = new Set([
  'admin',
  'alongrandomtext',
  'changeme',
  'component',
  'cymru',
  'default',
  'example',
  'interpres',
  'interpressecret',
  'mysecret',
  'password',
  'secret',
  'test',
  '12345678',
]);

/** What is wrong with the `secret` of a section, which is given there or in a file (`secretFile`). */
export function secretKeyFaults(section: unknown, path: ConfigPath): ValueFault[] {
  if (typeof section !== 'object' || section === null) return [];
  const at = [...path, 'secret'];
  const has = (key: string): boolean => valueAt(section, [key]) !== undefined;
  const secret = textAt(section, ['secret']);
  const faults = secret === undefined ? [] : secretFaults(secret, at);
  if (has('secret') !== has('secretFile')) return faults;
  const text = has('secret')
    ? 'found `secret` and `secretFile`, expected one of them'
    : 'is missing; expected `secret` or `secretFile`';
  return [{ path: at, text }, ...faults];
}

/** No default secret works: what a manual shows is no secret. */
export function secretFaults(secret: string, path: ConfigPath): ValueFault[] {
  if (secret === '') return [{ path, text: 'is empty; expected a secret' }];
  const bare = secret.toLowerCase().replace(/[^a-z0-9]/g, '');
  if (!KNOWN_SECRETS.has(bare)) return [];
  return [{ path, text: 'is a secret that manuals and examples use; expected one of your own (openssl rand -hex 24)' }];
}
