import { once } from 'node:events';
import { isIP, type Server } from 'node:net';

const BACKLOG = 1_024;

/**
 * Begins to listen.
 *
 * @param onFault told of what goes wrong afterwards
 * @returns the port in use: the one the system chose for 0
 * @throws when the port cannot be had
 */
export async function listenAt(
  server: Server,
  { address, port }: { readonly address: string; readonly port: number },
  onFault: (error: Error) => void,
): Promise<number> {
  server.listen({ host: address, port, ipv6Only: isIP(address) === 6, backlog: BACKLOG });
  await once(server, 'listening');
  server.on('error', onFault);
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : port;
}
