import { promises as dns } from 'node:dns';
import type { Random } from '../../core/ports.ts';

/** A place where a service may be reached. */
export type ServiceTarget = {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (XEP-0368), else STARTTLS. */
  readonly isDirect: boolean;
};

export type SrvAnswer = {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly name: string;
};

/** Asks for SRV records; empty where there are none. Rejects where nobody could say. */
export type AskSrv = (name: string) => Promise<readonly SrvAnswer[]>;

const PORT = 5222;
/** More places than this are not tried. */
const TARGETS_MAX = 8;
const NO_SUCH_RECORD = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME']);

/**
 * Where the clients of a service connect, in the order in which it is to be tried: both kinds of SRV records as one set
 * (XEP-0368, section 3), else the domain itself at port 5222 (RFC 6120, section 3.2.2).
 *
 * @returns empty where the service says that it takes no clients
 */
export async function serviceTargets(domain: string, ask: AskSrv, random: Random): Promise<readonly ServiceTarget[]> {
  const [direct, plain] = await Promise.all([ask(`_xmpps-client._tcp.${domain}`), ask(`_xmpp-client._tcp.${domain}`)]);
  const records = [
    ...direct.map((srv) => ({ srv, isDirect: true })),
    ...plain.map((srv) => ({ srv, isDirect: false })),
  ];
  if (records.length === 0) return [{ host: domain, port: PORT, isDirect: false }];
  return inOrder(records, random)
    .filter(({ srv }) => srv.name !== '' && srv.name !== '.')
    .slice(0, TARGETS_MAX)
    .map(({ srv, isDirect }) => ({ host: srv.name, port: srv.port, isDirect }));
}

/** Asks these servers; those of the system where there are none. */
export function srvQueries(servers: readonly string[]): AskSrv {
  const resolver = new dns.Resolver({ timeout: 1_000, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);
  return async (name) => {
    try {
      return await resolver.resolveSrv(name);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (typeof code === 'string' && NO_SUCH_RECORD.has(code)) return [];
      throw error;
    }
  };
}

/** The addresses of a host by the same servers; undefined where the system's own way is to be taken. */
export function hostQueries(servers: readonly string[]): (host: string) => Promise<readonly string[]> {
  if (servers.length === 0) return (host) => Promise.resolve([host]);
  const resolver = new dns.Resolver({ timeout: 1_000, tries: 2 });
  resolver.setServers(servers);
  return async (host) => {
    const [v6, v4] = await Promise.allSettled([resolver.resolve6(host), resolver.resolve4(host)]);
    const found = [v4, v6].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length === 0) throw new Error(`no address of ${host} is known`);
    return found;
  };
}

/** RFC 2782: by priority, and within one by chance, as the weights say. */
function inOrder<T extends { readonly srv: SrvAnswer }>(records: readonly T[], random: Random): T[] {
  const left = [...records].sort((a, b) => a.srv.priority - b.srv.priority || a.srv.weight - b.srv.weight);
  const ordered: T[] = [];
  while (left.length > 0) {
    const priority = left[0]?.srv.priority;
    const equals = left.filter(({ srv }) => srv.priority === priority);
    const total = equals.reduce((sum, { srv }) => sum + srv.weight, 0);
    let rest = random() * (total + 1);
    const chosen = equals.find(({ srv }) => (rest -= srv.weight) <= 0) ?? equals[equals.length - 1];
    if (chosen === undefined) break;
    ordered.push(chosen);
    left.splice(left.indexOf(chosen), 1);
  }
  return ordered;
}
