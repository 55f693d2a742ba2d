import type { ConfigPath, ValueFault } from './faults.ts';
import { secretFaults } from './secrets.ts';
import { areAccountKeys, BEARER_TOKEN_FORM, isBearerToken } from './values.ts';

/** PEM texts, read from the files that the configuration names. */
export type TlsConfig = { readonly certificate: string; readonly key: string; readonly ca?: string };

/** What reading a configuration needs of the world. */
export type ConfigWorld = {
  /** Absolute path of the folder that relative paths in the file start from. */
  readonly baseFolder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a file of the configuration. @throws Error saying why it cannot be read. */
  readonly readFile: (path: string) => string;
  readonly resolvePath: (folder: string, path: string) => string;
  /** Says why certificate, key and roots cannot be used together, undefined when they can; absent: nobody looks. */
  readonly tlsFault?: (tls: TlsConfig) => string | undefined;
};

/** Reads the files that the configuration names; one that cannot be read is a fault of the key that names it. */
export class FileTexts {
  readonly #world: ConfigWorld;
  readonly #faults: ValueFault[];

  constructor(world: ConfigWorld, faults: ValueFault[]) {
    this.#world = world;
    this.#faults = faults;
  }

  secret(file: string, path: ConfigPath): string {
    const secret = this.#firstLine(file, path);
    if (secret !== undefined) this.#faults.push(...secretFaults(secret, path));
    return secret ?? '';
  }

  token(file: string, path: ConfigPath): string {
    const token = this.#firstLine(file, path);
    if (token !== undefined && !isBearerToken(token)) {
      this.#faults.push({
        path,
        text: `found a file without a token in its first line, expected ${BEARER_TOKEN_FORM}`,
      });
    } else if (token !== undefined) this.#faults.push(...secretFaults(token, path));
    return token ?? '';
  }

  /** The first line, whatever is in it. */
  line(file: string, path: ConfigPath): string {
    const line = this.#firstLine(file, path);
    if (line === '') this.#faults.push({ path, text: 'found a file whose first line is empty, expected a password' });
    return line ?? '';
  }

  #firstLine(file: string, path: ConfigPath): string | undefined {
    return this.#read(file, path)?.split(/\r?\n/, 1)[0];
  }

  /** Reads the PEM files; when each is there, they must fit each other as well. */
  tls(
    named: { readonly certificate: string; readonly key: string; readonly ca?: string | undefined } | undefined,
    path: ConfigPath = ['sip', 'tls'],
  ): TlsConfig | undefined {
    if (named === undefined) return undefined;
    const faultsBefore = this.#faults.length;
    const tls = {
      certificate: this.certificates(named.certificate, [...path, 'certificate']),
      key: this.privateKey(named.key, [...path, 'key']),
      ...(named.ca === undefined ? {} : { ca: this.certificates(named.ca, [...path, 'ca']) }),
    };
    const reason = this.#faults.length > faultsBefore ? undefined : this.#world.tlsFault?.(tls);
    if (reason !== undefined) {
      const text = `found files that cannot be used together (${reason}), expected a certificate and its key`;
      this.#faults.push({ path, text });
    }
    return tls;
  }

  /** Certificates, or roots. A file without any makes TLS believe nobody, and says nothing of it. */
  certificates(file: string, path: ConfigPath): string {
    return this.#pem(file, path, /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/, 'a certificate');
  }

  privateKey(file: string, path: ConfigPath): string {
    const text = this.#pem(file, path, /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/, 'a private key');
    if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
      const remedy = 'expected one without (openssl pkey -in FILE -out key.pem)';
      this.#faults.push({ path, text: `found a key that is locked with a passphrase, ${remedy}` });
    }
    return text;
  }

  #pem(file: string, path: ConfigPath, wanted: RegExp, what: string): string {
    const text = this.#read(file, path);
    if (text === undefined) return '';
    if (!text.includes('-----BEGIN ')) {
      this.#faults.push({ path, text: 'found a file without -----BEGIN, expected PEM' });
    } else if (!wanted.test(text)) {
      const found = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(text)?.[1]?.toLowerCase() ?? 'something else';
      this.#faults.push({ path, text: `found a file with ${found} in it, expected ${what}` });
    }
    return text;
  }

  /**
   * A file with the keys of the accounts, which a server without `store` makes itself where it is not there.
   *
   * @returns the absolute path
   */
  accountKeys(file: string, path: ConfigPath, mayBeMissing: boolean): string {
    const where = this.#world.resolvePath(this.#world.baseFolder, file);
    let text: string;
    try {
      text = this.#world.readFile(where);
    } catch (thrown) {
      const isMissing = thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
      if (isMissing && mayBeMissing) return where;
      const reason = thrown instanceof Error ? thrown.message : 'cannot be read';
      const remedy = isMissing ? ': make one (openssl rand -base64 32), the same for every node' : '';
      this.#faults.push({
        path,
        text: `found a file that cannot be read (${reason}), expected a readable one${remedy}`,
      });
      return where;
    }
    if (!areAccountKeys(text)) {
      this.#faults.push({
        path,
        text: 'found a file without keys, expected 32 bytes in base64 on each line (openssl rand -base64 32)',
      });
    }
    return where;
  }

  #read(file: string, path: ConfigPath): string | undefined {
    try {
      return this.#world.readFile(this.#world.resolvePath(this.#world.baseFolder, file));
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : 'cannot be read';
      this.#faults.push({ path, text: `found a file that cannot be read (${reason}), expected a readable one` });
      return undefined;
    }
  }
}
