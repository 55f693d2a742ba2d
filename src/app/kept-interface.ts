import { GatewayError } from '../core/errors.ts';
import type { PresenceKeeper } from './presence-keeper.ts';

/** One call of a method of an interface; arguments and answer are plain data. */
type Call = { readonly method: string; readonly args: readonly unknown[] };

/** The methods of an interface by their names, all of them. */
export type MethodsOf<T> = { readonly [Method in keyof T]: true };

/** An interface that lives where presence is kept: each call of one of its methods is made there. */
export function keptElsewhere<T extends object>(
  keeper: Pick<PresenceKeeper, 'ask'>,
  service: string,
  methods: MethodsOf<T>,
): T {
  const made = Object.keys(methods).map((method) => {
    const call = (...args: unknown[]): Promise<unknown> => keeper.ask(service, { method, args } satisfies Call);
    return [method, call] as const;
  });
  return Object.fromEntries(made) as T;
}

/** Makes those calls, where it is kept; `kept` gives nothing where it is not. */
export function serveKept<T extends object>(
  keeper: Pick<PresenceKeeper, 'serve'>,
  service: string,
  methods: MethodsOf<T>,
  kept: () => T | undefined,
): void {
  keeper.serve(service, kept, (here, { method, args }: Call) => {
    if (!Object.hasOwn(methods, method)) {
      throw new GatewayError('feature-unsupported', `no ${method} of ${service} on this node`);
    }
    const call = here[method as keyof T] as (...given: readonly unknown[]) => unknown;
    // What was left out has come as null.
    const given = args.map((arg) => arg ?? undefined);
    return call.apply(here, given);
  });
}
