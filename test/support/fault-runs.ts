import type { TestStore } from './interpres-process.ts';

type Transport = 'udp' | 'tcp';

/** Faults that are run one after the other, over each transport, on each store. */
export type FaultRuns<Report extends object> = {
  readonly faults: Readonly<
    Record<string, (transport: Transport, number: number, store: TestStore) => Promise<Report>>
  >;
  /** How often each, where the command line does not say. */
  readonly runs: number;
  readonly stores: readonly TestStore[];
  /** Whether a fault needs one of the stores. */
  readonly needs?: (fault: string) => TestStore | undefined;
  /** Whether something happened that may not. */
  readonly isBroken: (report: Report, fault: string) => boolean;
};

/** Runs what the command line names, everything when it names nothing: a line of JSON per run; ends this process. */
export async function runFaults<Report extends object>(plan: FaultRuns<Report>): Promise<never> {
  const words = process.argv.slice(2);
  const runs = Number(words.find((word) => /^[0-9]+$/.test(word)) ?? plan.runs);
  const namesNone = (of: readonly string[]): boolean => !of.some((one) => words.includes(one));
  const wanted = <Name extends string>(of: readonly Name[]): readonly Name[] =>
    namesNone(of) ? of : of.filter((one) => words.includes(one));
  let isBroken = false;
  for (const store of wanted(plan.stores)) {
    for (const name of wanted(Object.keys(plan.faults))) {
      if ((plan.needs?.(name) ?? store) !== store) continue;
      for (const transport of ['udp', 'tcp'] as const) {
        for (let number = 1; number <= runs; number++) {
          const report = await plan.faults[name]!(transport, number, store);
          process.stdout.write(`${JSON.stringify({ run: number, ...report })}\n`);
          if (plan.isBroken(report, name)) isBroken = true;
        }
      }
    }
  }
  process.exit(isBroken ? 1 : 0);
}
