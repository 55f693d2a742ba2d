import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { ConfigError, readConfig, type Config, type TlsConfig } from '../core/config.ts';
import { CommandError } from './command-error.ts';
import { printable } from './printable.ts';

/**
 * Reads and checks the configuration file.
 *
 * @throws CommandError with every fault of the file, each with line, path and remedy.
 */
export function loadConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandError(`cannot read the configuration file: ${reason}`);
  }
  try {
    return readConfig(text, {
      baseFolder: dirname(resolve(path)),
      env: process.env,
      readFile: (file) => readFileSync(file, 'utf8'),
      resolvePath: (folder, file) => resolve(folder, file),
      tlsFault,
    });
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const count = thrown.faults.length;
    const lines = thrown.faults.map((fault) => printable(`${path}:${fault}`));
    throw new CommandError(`${lines.join('\n')}\n${count} ${count === 1 ? 'fault' : 'faults'} in ${path}`);
  }
}

/** Asks the TLS library itself: what it takes here, a listener can use. */
function tlsFault({ certificate, key, ca }: TlsConfig): string | undefined {
  try {
    createSecureContext({ cert: certificate, key, ...(ca === undefined ? {} : { ca }) });
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
