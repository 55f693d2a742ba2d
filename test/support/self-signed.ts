import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryFolder } from './temporary-folder.ts';

export type Authority = { readonly certificate: string; readonly certificateFile: string; readonly keyFile: string };
export type Leaf = {
  readonly certificate: string;
  readonly key: string;
  readonly certificateFile: string;
  readonly keyFile: string;
};

let folder: string | undefined;
let made = 0;
const authorities = new Map<string, Authority>();
const leaves = new Map<string, Leaf>();

/** A certificate authority for tests, made with OpenSSL once per process and name. */
export function testAuthority(name = 'Test CA'): Authority {
  const known = authorities.get(name);
  if (known !== undefined) return known;
  const { certificateFile, keyFile } = newFiles();
  openssl(
    ['req', '-x509', ...NEW_KEY, '-keyout', keyFile, '-out', certificateFile, ...subject(name)],
    ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'],
  );
  const authority = { certificate: readFileSync(certificateFile, 'utf8'), certificateFile, keyFile };
  authorities.set(name, authority);
  return authority;
}

/**
 * A certificate with these names (`DNS:a.example`, `URI:sip:a.example`, `IP:127.0.0.1`) and its key, made once per
 * process. No names: no subjectAltName at all, so that only the common name is left.
 */
export function testCertificate(
  names: readonly string[],
  options: { readonly commonName?: string; readonly by?: Authority } = {},
): Leaf {
  const by = options.by ?? testAuthority();
  const commonName = options.commonName ?? 'leaf';
  const id = JSON.stringify([names, commonName, by.keyFile]);
  const known = leaves.get(id);
  if (known !== undefined) return known;
  const { certificateFile, keyFile } = newFiles();
  openssl(
    [
      ...['req', '-x509', ...NEW_KEY, '-keyout', keyFile, '-out', certificateFile, ...subject(commonName)],
      ...['-CA', by.certificateFile, '-CAkey', by.keyFile],
    ],
    ['basicConstraints=critical,CA:FALSE', ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : [])],
  );
  const leaf = {
    certificate: readFileSync(certificateFile, 'utf8'),
    key: readFileSync(keyFile, 'utf8'),
    certificateFile,
    keyFile,
  };
  leaves.set(id, leaf);
  return leaf;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];

function subject(name: string): string[] {
  return ['-subj', `/CN=${name}`];
}

function newFiles(): { certificateFile: string; keyFile: string } {
  folder ??= temporaryFolder('certificates');
  const number = ++made;
  return { certificateFile: join(folder, `${number}.pem`), keyFile: join(folder, `${number}.key`) };
}

function openssl(args: readonly string[], extensions: readonly string[]): void {
  execFileSync('openssl', [...args, ...extensions.flatMap((extension) => ['-addext', extension])], { stdio: 'pipe' });
}
