import type { ConfigPath, ValueFault } from './faults.ts';
import { listAt, recordAt, textAt } from './places.ts';
import { parseHostPort, parseListen } from './values.ts';

/** A TCP port that is listened for: SIP, WebSocket, XMPP servers, drachtio servers or operators. */
type Door = { readonly path: ConfigPath; readonly address: string; readonly port: number; readonly asWritten: string };

/**
 * TCP ports that two parts of this server would listen for: the second would not start. What stands twice in one list is
 * told where that list is looked at.
 */
export function listenFaults(values: unknown): ValueFault[] {
  const faults: ValueFault[] = [];
  const seen: Door[] = [];
  const written = new Set<string>();
  for (const door of doors(values)) {
    const other = seen.find((one) => one.port === door.port && meet(one.address, door.address));
    if (other === undefined) seen.push(door);
    else if (!written.has(door.asWritten)) {
      const place = other.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');
      const text = `found port ${door.port}, which ${place.slice(1)} listens for already, expected another`;
      faults.push({ path: door.path, text });
    }
    written.add(door.asWritten);
  }
  return faults;
}

function* doors(values: unknown): Iterable<Door> {
  const federations = Object.keys(recordAt(values, ['links'])).map((name) => ['links', name, 'listen']);
  for (const list of [['sip', 'listen'], ...federations]) {
    for (const { value, path } of listAt(values, list)) yield* door(value, path, list);
  }
  for (const { value, path } of listAt(values, ['sip', 'drachtio'])) {
    yield* door(textAt(value, ['listen']), [...path, 'listen'], path);
  }
  const http = parseHostPort(textAt(values, ['http', 'listen']) ?? '');
  if (http === undefined || http.port === 0) return;
  yield { path: ['http', 'listen'], address: http.host, port: http.port, asWritten: 'http' };
}

function* door(value: unknown, path: ConfigPath, list: ConfigPath): Iterable<Door> {
  const listen = typeof value === 'string' ? parseListen(value) : undefined;
  if (listen === undefined || listen.transport === 'udp' || listen.port === 0) return;
  const { transport, address, port } = listen;
  // Where XMPP servers are listened for, one place stands once whatever its scheme.
  const scheme = list[0] === 'links' ? '' : transport;
  yield { path, address, port, asWritten: [...list, scheme, address, port].join(' ') };
}

/** The address that stands for all of them takes the port of each. */
function meet(one: string, other: string): boolean {
  if (one === other || one === '::' || other === '::') return true;
  const isFour = (address: string): boolean => !address.includes(':');
  return (one === '0.0.0.0' && isFour(other)) || (other === '0.0.0.0' && isFour(one));
}
