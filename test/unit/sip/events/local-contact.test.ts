import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalContacts } from '../../../../src/sip/events/local-contact.ts';
import type { SipTransport } from '../../../../src/sip/message.ts';

type Places = Readonly<Partial<Record<SipTransport, string>>>;
type Row = readonly [name: string, places: Places, transport: SipTransport, isSecure: boolean, contact: string];
const ALL: Places = { udp: '192.0.2.10:5060', tcp: '192.0.2.10:5062', tls: '192.0.2.10:5061' };
const ROWS: readonly Row[] = [
  ['UDP', ALL, 'udp', false, 'sip:192.0.2.10:5060'],
  ['TCP', ALL, 'tcp', false, 'sip:192.0.2.10:5062;transport=tcp'],
  ['TLS: the name in the certificate', ALL, 'tls', false, 'sip:sip.example;transport=tls'],
  ['sips', ALL, 'tls', true, 'sips:sip.example'],
  ['IPv6', { udp: '[2001:db8::1]:5060' }, 'udp', false, 'sip:[2001:db8::1]:5060'],
  ['no listener of that transport: another one', { udp: '192.0.2.10:5060' }, 'tcp', false, 'sip:192.0.2.10:5060'],
  ['no listener at all: the domain', {}, 'tcp', false, 'sip:sip.example'],
];
for (const [name, places, transport, isSecure, contact] of ROWS) {
  test(`our Contact: ${name}`, async () => {
    const asked: string[] = [];
    const contacts = new LocalContacts({
      reachableAt: async (way, remoteAddress) => {
        asked.push(remoteAddress);
        return places[way];
      },
    });
    const towards = () => contacts.towards({ transport, remoteAddress: '192.0.2.99' }, 'sip.example', isSecure);
    assert.equal(await towards(), contact);
    assert.equal(await towards(), contact);
    assert.ok(asked.every((address) => address === '192.0.2.99'));
  });
}
