import { parseAddress, addressKey, type Address } from '../../src/cpim/address.ts';
import type { Binding, Delivery, HopId } from '../../src/core/ports.ts';
import type { FailureReport, InstantMessage } from '../../src/cpim/operation.ts';
import { readConfig, type Config } from '../../src/core/config.ts';

/** An address that must be one. */
export function anAddress(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`the test gives no address: ${text}`);
  return address;
}

type MessageParts = Partial<Omit<InstantMessage, 'op' | 'source' | 'destination' | 'content'>> & {
  readonly from?: string;
  readonly to?: string;
  readonly text?: string;
  readonly content?: InstantMessage['content'];
};

/** A message from a SIP user of ours to an XMPP user, where the test says nothing else. */
export function aMessage({ from, to, text, content, ...rest }: MessageParts = {}): InstantMessage {
  return {
    op: 'message',
    id: 'm1',
    source: { address: anAddress(from ?? 'alice@sip.example') },
    destination: { address: anAddress(to ?? 'juliet@xmpp.example') },
    hops: 70,
    acceptedAtMs: 1_700_000_000_000,
    content: content ?? { type: 'text/plain', text: text ?? 'Neither, fair saint, if either thee dislike.' },
    ...rest,
  };
}

/** A report to alice that juliet could not be reached. */
export function aReport(parts: Partial<FailureReport> = {}): FailureReport {
  return {
    op: 'report',
    id: 'r-m1',
    source: { address: anAddress('juliet@xmpp.example') },
    destination: { address: anAddress('alice@sip.example') },
    acceptedAtMs: 1_700_000_000_000,
    about: { id: 'm1' },
    code: 'recipient-unknown',
    ...parts,
  };
}

/** An attempt as the queue hands it over. */
export function aDelivery(
  operation: InstantMessage | FailureReport,
  hop: HopId,
  parts: Partial<Delivery> = {},
): Delivery {
  const owner = addressKey(operation.source.address);
  return {
    id: operation.id,
    lane: `${owner}\n${addressKey(operation.destination.address)}`,
    hop,
    owner,
    expiresAtMs: operation.acceptedAtMs + 7 * 86_400_000,
    operation,
    sequence: 1,
    attempt: 1,
    maybeSent: false,
    ...parts,
  };
}

export function aBinding(parts: Partial<Binding> = {}): Binding {
  return {
    contact: 'sip:alice@192.0.2.1:5060',
    q: 1_000,
    expiresAtMs: 1_700_003_600_000,
    callId: 'call-1',
    cseq: 1,
    ...parts,
  };
}

/** Two own domains, one XMPP peer over a link, one SIP peer; `extra` is appended. */
export function configText(extra = ''): string {
  return `domains:
  - sip.example
  - { name: core.example, trust: ['192.0.2.50', '2001:db8::/32'] }
sip: { listen: ['udp://127.0.0.1:0'] }
links:
  office: { type: xmpp-component, host: 127.0.0.1, name: sip.xmpp.example, domain: sip.example, secret: rig-5f1c }
  second: { type: xmpp-component, host: 127.0.0.1, name: core.xmpp.example, domain: core.example, secret: rig-5f1c }
peers:
  - { domain: xmpp.example, link: office }
  - { domain: xmpp.example, link: second }
  - { domain: partner.example, link: sip, nextHop: 'sip:gw.partner.example;transport=tls', trust: ['198.51.100.0/24'] }
${extra}`;
}

export function aConfig(extra = ''): Config {
  return readConfig(configText(extra), {
    baseFolder: '/etc/interpres',
    env: {},
    readFile: () => {
      throw new Error('the test has no files');
    },
    resolvePath: (folder, path) => `${folder}/${path}`,
  });
}
