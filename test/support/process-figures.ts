import { readFileSync } from 'node:fs';

/** Clock ticks per second in /proc, on every Linux this runs on. */
const TICKS_PER_SECOND = 100;

/** User and system time that a process has used, its threads included; seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Memory of a process now and at most so far; megabytes. */
export function memoryMegabytes(pid: number): { readonly resident: number; readonly highest: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return { resident: Math.round(kilobytes('VmRSS') / 1_024), highest: Math.round(kilobytes('VmHWM') / 1_024) };
}
