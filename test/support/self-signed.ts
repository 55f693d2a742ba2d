import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
    ['req', '-x509', '-days', '2', ...NEW_KEY, '-keyout', keyFile, '-out', certificateFile, ...subject(name)],
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
  options: {
    readonly commonName?: string;
    readonly by?: Authority;
    /** Until when it holds; two days from now when absent. */
    readonly until?: Date;
    /** It was good in the past. */
    readonly isOver?: true;
  } = {},
): Leaf {
  const by = options.by ?? testAuthority();
  const commonName = options.commonName ?? 'leaf';
  const until = options.isOver === true ? new Date(Date.now() - 86_400_000) : options.until;
  const id = JSON.stringify([names, commonName, by.keyFile, until?.toISOString().slice(0, 13)]);
  const known = leaves.get(id);
  if (known !== undefined) return known;
  const { certificateFile, keyFile } = newFiles();
  const alternatives = names.length > 0 ? [`subjectAltName=${names.join(',')}`] : [];
  const extensions = ['basicConstraints=critical,CA:FALSE', ...alternatives];
  const request = [...NEW_KEY, '-keyout', keyFile, '-out', certificateFile, ...subject(commonName)];
  if (until === undefined) {
    const signing = ['-CA', by.certificateFile, '-CAkey', by.keyFile];
    openssl(['req', '-x509', '-days', '2', ...request, ...signing], extensions);
  } else {
    openssl(['req', '-new', ...request], []);
    signUntil(until, by, certificateFile, extensions);
  }
  const leaf = {
    certificate: readFileSync(certificateFile, 'utf8'),
    key: readFileSync(keyFile, 'utf8'),
    certificateFile,
    keyFile,
  };
  leaves.set(id, leaf);
  return leaf;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Only `openssl ca` takes a date; the request is overwritten with the certificate. */
function signUntil(until: Date, by: Authority, file: string, extensions: readonly string[]): void {
  const config = [
    '[ca]',
    'default_ca = test',
    '[test]',
    `database = ${file}.index`,
    'new_certs_dir = ' + file.slice(0, file.lastIndexOf('/')),
    'default_md = sha256',
    'policy = any',
    'x509_extensions = leaf',
    'rand_serial = yes',
    'unique_subject = no',
    '[any]',
    'commonName = supplied',
    '[leaf]',
    ...extensions.map((extension) => extension.replace('=', ' = ')),
  ];
  writeFileSync(`${file}.cnf`, `${config.join('\n')}\n`);
  writeFileSync(`${file}.index`, '');
  const dates = ['-startdate', asn1Time(new Date(until.getTime() - 30 * 86_400_000)), '-enddate', asn1Time(until)];
  const who = ['-cert', by.certificateFile, '-keyfile', by.keyFile];
  openssl(
    ['ca', '-batch', '-notext', '-config', `${file}.cnf`, '-in', file, '-out', `${file}.new`, ...who, ...dates],
    [],
  );
  writeFileSync(file, readFileSync(`${file}.new`));
}

function asn1Time(date: Date): string {
  return `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
}

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
