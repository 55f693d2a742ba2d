import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { parseAddress } from '../../../src/cpim/address.ts';
import type { FailureReport, InstantMessage } from '../../../src/cpim/operation.ts';
import { readXml, writeXml } from '../../../src/cpim/xml.ts';
import {
  messageFromStanza,
  stanzaFromDisposition,
  stanzaFromMessage,
  stanzaFromReport,
} from '../../../src/xmpp/map-message.ts';
import { elementFromMessage, type MessageStanza, readStanza } from '../../../src/xmpp/stanza.ts';
import { loadVectors } from '../../support/vectors.ts';

const DOMAINS = { domain: 'example.net', name: 'sip.example.net' };
const NOW_MS = 1_700_000_000_000;
const CONTEXT = { domains: DOMAINS, nowMs: NOW_MS, maybeSent: false };

function messageStanza(xml: string): MessageStanza {
  const stanza = readStanza(readXml(xml));
  assert.equal(stanza.kind, 'message');
  return stanza;
}

function fromXml(xml: string, randomId = 'random'): InstantMessage | undefined {
  return messageFromStanza(messageStanza(xml), { domains: DOMAINS, nowMs: NOW_MS, randomId: () => randomId });
}

function aMessage(over: Partial<InstantMessage> = {}): InstantMessage {
  return {
    op: 'message',
    id: 'a',
    source: { address: parsed('romeo@example.net') },
    destination: { address: parsed('juliet@example.com') },
    hops: 70,
    acceptedAtMs: NOW_MS,
    content: { type: 'text/plain', text: 'x' },
    ...over,
  };
}

function parsed(text: string): NonNullable<ReturnType<typeof parseAddress>> {
  const address = parseAddress(text);
  assert.ok(address !== undefined);
  return address;
}

for (const vector of loadVectors<InstantMessage, string>('rfc7572/message-to-xmpp')) {
  test(`message to XMPP: ${vector.id} (${vector.source})`, () => {
    const written = writeXml(elementFromMessage(stanzaFromMessage(vector.in, CONTEXT)));
    assert.deepEqual(readXml(written), readXml(vector.out));
  });
}

for (const vector of loadVectors<string, Omit<InstantMessage, 'id'> | null>('rfc7572/message-from-xmpp')) {
  test(`message from XMPP: ${vector.id} (${vector.source})`, () => {
    const message = fromXml(vector.in);
    if (vector.out === null) {
      assert.equal(message, undefined);
      return;
    }
    assert.ok(message !== undefined);
    assert.match(message.id, /^[A-Za-z0-9_-]{1,40}$/);
    assert.deepEqual(message, { ...vector.out, id: message.id });
    // What goes through the queue comes back equal.
    assert.deepEqual(JSON.parse(JSON.stringify(message)), message);
  });
}

test('message: there and back again, everything that both sides know is kept', () => {
  const sent = aMessage({
    source: { address: parsed('juliet@example.com'), instance: 'balcony' },
    destination: { address: parsed('romeo@example.net') },
    thread: 'abc',
    subjects: [{ text: 'S', language: 'en' }],
    language: 'en',
    content: { type: 'text/plain;charset=UTF-8', text: 'a\n<b> & 😀 שלום' },
  });
  const stanza = { ...stanzaFromMessage({ ...sent, source: sent.destination, destination: sent.source }, CONTEXT) };
  const turned = messageFromStanza(
    { ...stanza, from: stanza.to, to: stanza.from },
    { domains: DOMAINS, nowMs: NOW_MS, randomId: () => 'r' },
  );
  assert.deepEqual(turned, { ...sent, id: turned?.id, senderId: 'a' });
});

const text = (id: string): string =>
  `<message from='juliet@example.com/a' to='romeo@sip.example.net' ${id}><body>x</body></message>`;
const origin = (originId: string, id: string, body = 'x', from = 'juliet@example.com/a'): string =>
  `<message from='${from}' to='romeo@sip.example.net' id='${id}'><body>${body}</body><origin-id xmlns='urn:xmpp:sid:0' id='${originId}'/></message>`;

const same: Array<[string, string, string, boolean]> = [
  ['the same origin-id under another id', origin('o', '1'), origin('o', '2'), true],
  ['another origin-id', origin('o', '1'), origin('p', '1'), false],
  ['another text under one origin-id', origin('o', '1'), origin('o', '1', 'y'), false],
  ['another sender', origin('o', '1'), origin('o', '1', 'x', 'nurse@example.com/a'), false],
  ['another instance of the sender', origin('o', '1'), origin('o', '1', 'x', 'juliet@example.com/b'), false],
  ['an origin-id and an id that read alike', origin('1', 'z'), text(`id='1'`), false],
  [
    'the same words under a counted id, which a client repeats with its next stream',
    text(`id='1'`),
    text(`id='1'`),
    false,
  ],
  ['no id at all', text(''), text(''), false],
];
for (const [what, one, other, isSame] of same) {
  test(`message from XMPP: ${what} is ${isSame ? 'one message' : 'another message'}`, () => {
    assert.equal(fromXml(one, 'r1')?.id === fromXml(other, 'r2')?.id, isSame);
  });
}

test('message from XMPP: a localpart that begins with an escaped space is refused', () => {
  assert.throws(
    () => fromXml(`<message from='juliet@example.com' to='\\20a@sip.example.net'><body>x</body></message>`),
    (thrown) => thrown instanceof GatewayError && thrown.code === 'address-malformed',
  );
});

const delays: Array<[string, Partial<InstantMessage>, boolean, number | undefined]> = [
  ['fresh', {}, false, undefined],
  ['30 s old', { acceptedAtMs: NOW_MS - 30_000 }, false, undefined],
  ['older than 30 s', { acceptedAtMs: NOW_MS - 30_001 }, false, NOW_MS - 30_001],
  ['perhaps sent before', {}, true, NOW_MS],
  ['written an hour before it was accepted', { sentAtMs: NOW_MS - 3_600_000 }, false, NOW_MS - 3_600_000],
  [
    'an hour old by the DateTime of its message/cpim, which is not passed (RFC 3922, section 4.2.4)',
    {
      content: {
        type: 'message/cpim',
        base64: btoa('DateTime: 2023-11-14T21:13:20Z\r\n\r\nContent-Type: text/plain\r\n\r\nx'),
      },
    },
    false,
    undefined,
  ],
  ['from a clock that is years behind', { sentAtMs: 0 }, false, undefined],
  ['from a clock that is ahead', { sentAtMs: NOW_MS + 3_600_000 }, false, undefined],
];
for (const [what, over, maybeSent, stampMs] of delays) {
  test(`message to XMPP: delay stamp of one that is ${what}: ${stampMs === undefined ? 'none' : 'yes'}`, () => {
    const stanza = stanzaFromMessage(aMessage(over), { ...CONTEXT, maybeSent });
    assert.equal(stanza.delay?.stampMs, stampMs);
    if (stampMs !== undefined) assert.deepEqual(stanza.delay?.from, { domain: 'sip.example.net' });
  });
}

const refusals: Array<[string, Partial<InstantMessage>, string]> = [
  ['content of another type', { content: { type: 'image/png', base64: '' } }, 'content-unsupported'],
  [
    'text in an unknown charset',
    { content: { type: 'text/plain;charset=nope', base64: 'eA==' } },
    'content-unsupported',
  ],
  [
    'an address that no JID can have',
    { destination: { address: parsed('%E2%99%9A@example.com') } },
    'address-malformed',
  ],
  ['a sender of another domain of ours', { source: { address: parsed('a@core.example') } }, 'sender-forbidden'],
];
for (const [what, over, code] of refusals) {
  test(`message to XMPP: ${what} is refused with ${code}`, () => {
    assert.throws(
      () => stanzaFromMessage(aMessage(over), CONTEXT),
      (thrown) => thrown instanceof GatewayError && thrown.code === code,
    );
  });
}

test('report to XMPP: an error stanza with the id that the sender gave (RFC 6120, section 8.3.1)', () => {
  const report: FailureReport = {
    op: 'report',
    id: 'r-a',
    source: { address: parsed('romeo@example.net') },
    destination: { address: parsed('juliet@example.com'), instance: 'balcony' },
    acceptedAtMs: NOW_MS,
    about: { id: 'a', senderId: 'm-1' },
    code: 'recipient-unknown',
    text: 'Not Found',
  };
  assert.deepEqual(
    readXml(writeXml(elementFromMessage(stanzaFromReport(report, DOMAINS)))),
    readXml(
      `<message from='romeo@sip.example.net' to='juliet@example.com/balcony' id='m-1' type='error'><error type='cancel'>` +
        `<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Not Found</text></error></message>`,
    ),
  );
  const fromPhone = stanzaFromReport({ ...report, source: { ...report.source, instance: 'desk' } }, DOMAINS);
  assert.equal(fromPhone.from.resource, 'desk', 'from whom the stanza went to');
  assert.equal(
    stanzaFromReport({ ...report, code: 'no code of ours' }, DOMAINS).error?.condition,
    'internal-server-error',
  );
});

for (const [code, condition, address] of [
  ['recipient-moved', 'gone', 'sip:romeo@elsewhere.example'],
  ['recipient-redirected', 'redirect', 'sip:romeo@elsewhere.example'],
  ['recipient-gone', 'gone', undefined],
] as const) {
  test(`report to XMPP: ${code} ${address === undefined ? 'names no' : 'names the new'} address (RFC 7247, section 7.2)`, () => {
    const report: FailureReport = {
      op: 'report',
      id: 'r-a',
      source: { address: parsed('romeo@example.net') },
      destination: { address: parsed('juliet@example.com') },
      acceptedAtMs: NOW_MS,
      about: { id: 'a' },
      code,
      alternative: 'sip:romeo@elsewhere.example',
    };
    const { error } = stanzaFromReport(report, DOMAINS);
    assert.deepEqual([error?.condition, error?.address], [condition, address]);
  });
}

const RECEIPTS = 'urn:xmpp:receipts';
const MARKERS = 'urn:xmpp:chat-markers:0';
const ASKING: ReadonlyArray<readonly [name: string, attrs: string, inner: string, wants: InstantMessage['wants']]> = [
  ['a receipt (XEP-0184, example 3)', `id='r-1'`, `<request xmlns='${RECEIPTS}'/>`, { as: 'stanza', id: 'r-1', delivered: true }],
  ['a marker (XEP-0333)', `id='r-1'`, `<markable xmlns='${MARKERS}'/>`, { as: 'stanza', id: 'r-1', displayed: true }],
  ['nothing without an id', '', `<request xmlns='${RECEIPTS}'/>`, undefined],
  ['nothing under an id without end', `id='${'i'.repeat(257)}'`, `<request xmlns='${RECEIPTS}'/>`, undefined],
  ['nothing for a room', `id='r-1' type='groupchat'`, `<request xmlns='${RECEIPTS}'/>`, undefined],
  ['nothing in another namespace', `id='r-1'`, `<request xmlns='urn:example'/>`, undefined],
]; // prettier-ignore
for (const [name, attrs, inner, wants] of ASKING) {
  test(`message from XMPP asks for ${name}`, () => {
    const from = `from='juliet@example.com/b' to='romeo@sip.example.net'`;
    assert.deepEqual(fromXml(`<message ${from} ${attrs}><body>x</body>${inner}</message>`)?.wants, wants);
  });
}

test('message to XMPP asks only under a name that says which it is', () => {
  const message = aMessage({ wants: { as: 'imdn', id: 'm', delivered: true, displayed: true } });
  const named = stanzaFromMessage(message, { ...CONTEXT, name: 'a.sealed' });
  assert.deepEqual([named.id, named.originId, named.wantsReceipt, named.isMarkable], ['a.sealed', 'a', true, true]);
  const unnamed = stanzaFromMessage(message, CONTEXT);
  assert.deepEqual([unnamed.id, unnamed.wantsReceipt, unnamed.isMarkable], ['a', undefined, undefined]);
});

for (const [status, element] of [
  ['delivered', `<received xmlns='${RECEIPTS}' id='r-1'/>`],
  ['displayed', `<displayed xmlns='${MARKERS}' id='r-1'/>`],
] as const) {
  test(`a word to XMPP that a message was ${status} has no body, asks for nothing, and is read as it was written`, () => {
    const { source, destination, acceptedAtMs } = aMessage();
    const about = { as: 'stanza', id: 'r-1' } as const;
    const parts = { id: 'd-a', source, destination, acceptedAtMs, expiresAtMs: acceptedAtMs + 1, status, about };
    const stanza = stanzaFromDisposition({ op: 'disposition', ...parts }, DOMAINS);
    const written = writeXml(elementFromMessage(stanza));
    const xml = `<message from='romeo@sip.example.net' to='juliet@example.com' id='d-a'>${element}</message>`;
    assert.deepEqual(readXml(written), readXml(xml));
    assert.deepEqual(messageStanza(written), stanza);
  });
}
