import type { ConfigPath, ValueFault } from './faults.ts';
import { listAt, textAt } from './places.ts';
import { SIP_SECURITY, XMPP_SECURITY } from './trust.ts';
import { parseNextHop, parseListen, parseXmppNextHop } from './values.ts';

/** What is wrong with a link of type `xmpp-s2s` as a whole. */
export function federationFaults(link: unknown, path: ConfigPath): ValueFault[] {
  const faults: ValueFault[] = [];
  const [certificate, key] = [textAt(link, ['certificate']), textAt(link, ['key'])];
  if ((certificate === undefined) !== (key === undefined)) {
    const missing = certificate === undefined ? 'certificate' : 'key';
    faults.push({ path: [...path, missing], text: 'is missing; expected both of `certificate` and `key`, or neither' });
  }
  const seen = new Set<string>();
  for (const { value, path: at } of listAt(link, ['listen'])) {
    const listen = typeof value === 'string' ? parseListen(value) : undefined;
    if (listen === undefined) continue;
    if (listen.transport === 'tls' && certificate === undefined) {
      faults.push({ path: [...path, ...at], text: 'found a tls listener, expected `certificate` and `key` beside it' });
    }
    const place = `${listen.address} ${listen.port}`;
    if (listen.port !== 0 && seen.has(place)) {
      faults.push({ path: [...path, ...at], text: 'is listened for already, expected once' });
    }
    seen.add(place);
  }
  return faults;
}

/**
 * What a peer entry says in words of the other kind of peer: `security` and `nextHop` mean one thing for SIP and another
 * between XMPP servers.
 *
 * @param link the values of the link of type `xmpp-s2s` that it names; undefined: it names something else
 */
export function federationPeerFaults(peer: unknown, path: ConfigPath, link: unknown): ValueFault[] {
  const faults: ValueFault[] = [];
  const isFederated = link !== undefined;
  const security = textAt(peer, ['security']);
  const allowed: readonly string[] = isFederated ? XMPP_SECURITY : SIP_SECURITY;
  const known: readonly string[] = [...SIP_SECURITY, ...XMPP_SECURITY];
  if (security !== undefined && known.includes(security) && !allowed.includes(security)) {
    const kind = isFederated ? 'a peer over XMPP' : 'a SIP peer';
    faults.push({
      path: [...path, 'security'],
      text: `found ${security}, expected one of ${allowed.join(', ')} for ${kind}`,
    });
  }
  const nextHop = textAt(peer, ['nextHop']);
  if (nextHop !== undefined) {
    const [isSip, isXmpp] = [parseNextHop(nextHop) !== undefined, parseXmppNextHop(nextHop) !== undefined];
    if (isFederated && isSip) {
      faults.push({
        path: [...path, 'nextHop'],
        text: `found '${nextHop}', expected tcp://host:port or tls://host:port`,
      });
    } else if (!isFederated && isXmpp) {
      faults.push({ path: [...path, 'nextHop'], text: `found '${nextHop}', expected a SIP URI, sip:host:port` });
    }
  }
  const wantsTls = security === undefined || security === 'certificate' || security === 'dialback-over-tls';
  if (isFederated && wantsTls && textAt(link, ['certificate']) === undefined) {
    const text = `asks for TLS (\`security: ${security ?? 'certificate'}\`), expected \`certificate\` and \`key\` at its link`;
    faults.push({ path: [...path, security === undefined ? 'link' : 'security'], text });
  }
  return faults;
}
