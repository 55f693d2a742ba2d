import type { Config } from '../core/config.ts';
import { GatewayError } from '../core/errors.ts';

/** What a server could not have of the system, as far as an operator can do something about it. */
const REMEDIES: Readonly<Record<string, (place: string) => string>> = {
  EADDRINUSE: (place) => `${place} is in use: end the program that has it`,
  EADDRNOTAVAIL: (place) => `${place} is no address of this machine`,
  EACCES: (place) => `this user may not listen on ${place}: let it (below 1024: CAP_NET_BIND_SERVICE)`,
  EPERM: (place) => `this user may not listen on ${place}`,
  ENOTFOUND: (place) => `${place} has no address`,
};

/**
 * Why a server did not start and what to do about it, in one line.
 *
 * @returns undefined for what is no operator's to mend: a fault of ours.
 */
export function startFault(thrown: unknown, config: Config, configPath: string): string | undefined {
  if (thrown instanceof GatewayError) return thrown.message;
  if (!isSystemError(thrown)) return undefined;
  const { code = '', address, hostname, port, message } = thrown;
  const host = address ?? hostname;
  const remedy = REMEDIES[code];
  if (remedy === undefined || host === undefined) return message;
  const place = port === undefined ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const isHttp = config.http?.listen.host === host && config.http.listen.port === port;
  const isControl = config.sip.drachtio.some((server) => 'listen' in server && server.listen.port === port);
  const federation = Object.entries(config.links).find(
    ([, link]) => link.type === 'xmpp-s2s' && link.listen.some((one) => one.port === port && one.address === host),
  );
  const key = isHttp
    ? 'http.listen'
    : isControl
      ? 'sip.drachtio[].listen'
      : federation !== undefined
        ? `links.${federation[0]}.listen`
        : 'sip.listen';
  return `${remedy(place)}, or change ${key} in ${configPath} (${code})`;
}

type SystemError = NodeJS.ErrnoException & {
  readonly address?: string;
  readonly hostname?: string;
  readonly port?: number;
};

function isSystemError(thrown: unknown): thrown is SystemError {
  return thrown instanceof Error && 'code' in thrown && 'syscall' in thrown;
}
