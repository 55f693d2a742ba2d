import type { Clock } from './ports.ts';

/**
 * Resolves when the work is done, at the latest after so long: what is left of it then goes on unheeded.
 *
 * @throws what the work does, within that time
 */
export function atMost(work: Promise<unknown>, ms: number, clock: Pick<Clock, 'after'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, resolve);
    work.then(() => resolve(), reject).finally(cancel);
  });
}
