import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** A socket's path must fit into sockaddr_un with its closing NUL: 108 bytes on Linux, 104 on the BSDs and macOS. */
const PATH_BYTES_MAX = 103;

/**
 * Where the server of a data folder listens for the commands of its operator: `control.sock` in the folder, or, where
 * that path is too long for a socket, a file in the system's temporary folder named after the data folder.
 */
export function controlSocketPath(dataFolder: string): string {
  const folder = resolve(dataFolder);
  const path = join(folder, 'control.sock');
  if (Buffer.byteLength(path) <= PATH_BYTES_MAX) return path;
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 24);
  return join(tmpdir(), `interpres-${name}.sock`);
}
