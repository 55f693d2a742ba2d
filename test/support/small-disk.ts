import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** A file system of its own with a size that can be changed while it is in use. */
export interface SmallDisk {
  readonly folder: string;
  resize(size: string): void;
  /** Fails while somebody has a file on it open for writing. */
  setReadOnly(isReadOnly: boolean): void;
  remove(): void;
}

/** Mounts one (tmpfs) at this folder; undefined where this process may not mount. */
export function mountSmallDisk(folder: string, size: string): SmallDisk | undefined {
  mkdirSync(folder, { recursive: true });
  if (mount(['-t', 'tmpfs', '-o', `size=${size}`, 'interpres-test', folder]) !== undefined) return undefined;
  const remount = (options: string): void => {
    const failed = mount(['-o', `remount,${options}`, folder]);
    if (failed !== undefined) throw new Error(failed);
  };
  const remove = (): void => void spawnSync('umount', ['-l', folder], { stdio: 'ignore' });
  process.once('exit', remove);
  return {
    folder,
    resize: (changed) => remount(`size=${changed}`),
    setReadOnly: (isReadOnly) => remount(isReadOnly ? 'ro' : 'rw'),
    remove,
  };
}

/** @returns what went wrong */
function mount(args: readonly string[]): string | undefined {
  const done = spawnSync('mount', [...args], { encoding: 'utf8' });
  return done.status === 0 ? undefined : `mount ${args.join(' ')}: ${done.stderr || String(done.error)}`;
}
