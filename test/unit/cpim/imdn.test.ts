import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../src/cpim/content-error.ts';
import { contentFromBytes, type Content } from '../../../src/cpim/content.ts';
import { type Notice, writeNotification } from '../../../src/cpim/imdn.ts';
import { noticeFrom, wantsFrom } from '../../support/imdn-in.ts';
import { parseMessageCpim } from '../../../src/cpim/message-cpim.ts';

const content = (type: string, ...lines: string[]): Content => contentFromBytes(type, Buffer.from(lines.join('\r\n')));
const cpim = (...lines: string[]): Content => content('message/cpim', ...lines);

/** RFC 5438, sections 7.1.1.1, 7.2.1.1, 7.2.1.2 and 8.1. */
const IMDN = 'xmlns="urn:ietf:params:xml:ns:imdn"';
const document = (outcome: string, attrs = IMDN): string => `<?xml version="1.0" encoding="UTF-8"?>
<imdn ${attrs}>
  <message-id>34jk324j</message-id>
  <datetime>2008-04-04T12:16:49-05:00</datetime>
  <recipient-uri>im:bob@example.com</recipient-uri>
  <original-recipient-uri
    >im:bob@example.com</original-recipient-uri>
  ${outcome}
</imdn>`;
const DELIVERED = document('<delivery-notification>\n<status>\n<delivered/>\n</status>\n</delivery-notification>');
const DISPLAYED = document('<display-notification><status><displayed/></status></display-notification>');
const about = (status?: Notice['status']): Notice => ({
  messageId: '34jk324j',
  ...(status === undefined ? {} : { status }),
});

const NOTICES: ReadonlyArray<readonly [name: string, content: Content, notice: Notice | undefined]> = [
  [
    'the delivery notification of RFC 5438, section 7.2.1.1',
    cpim(
      'From: Bob <im:bob@example.com>',
      'To: Alice <im:alice@example.com>',
      'NS: imdn <urn:ietf:params:imdn>',
      'imdn.Message-ID: d834jied93rf',
      'Content-type: message/imdn+xml',
      'Content-Disposition: notification',
      '',
      DELIVERED,
    ),
    about('delivered'),
  ],
  ['the display notification of section 7.2.1.2, bare', content('message/imdn+xml', DISPLAYED), about('displayed')],
  ['a type with a parameter', content('Message/IMDN+XML;charset=UTF-8', DISPLAYED), about('displayed')],
  [
    'elements with a prefix',
    content('message/imdn+xml', '<i:imdn xmlns:i="urn:ietf:params:xml:ns:imdn"><i:message-id>a</i:message-id><i:delivery-notification><i:status><i:delivered/></i:status></i:delivery-notification></i:imdn>'),
    { messageId: 'a', status: 'delivered' },
  ],
  ['a message that failed', content('message/imdn+xml', document('<delivery-notification><status><failed/></status></delivery-notification>')), about()],
  ['a message that an intermediary has (section 8.1)', content('message/imdn+xml', document('<processing-notification><status><processed/></status></processing-notification>')), about()],
  ['delivered where only shown can be', content('message/imdn+xml', document('<display-notification><status><delivered/></status></display-notification>')), about()],
  ['another content', content('text/plain', DELIVERED), undefined],
  ['another content in message/cpim', cpim('', 'Content-type: text/plain', '', DELIVERED), undefined],
]; // prettier-ignore
for (const [name, given, notice] of NOTICES) {
  test(`imdn: ${name}`, () => assert.deepEqual(noticeFrom(given), notice));
}

const MALFORMED: ReadonlyArray<readonly [name: string, text: string]> = [
  ['another namespace', document('', 'xmlns="urn:example:imdn"')],
  ['no message-id', `<imdn ${IMDN}/>`],
  ['a DTD', `<!DOCTYPE imdn [<!ENTITY a "b">]>${DELIVERED.slice(DELIVERED.indexOf('<imdn'))}`],
  ['too large', document(`<x>${'a'.repeat(20_000)}</x>`)],
  ['too deep', document('<x>'.repeat(40) + '</x>'.repeat(40))],
  ['too many elements', document('<x/>'.repeat(100))],
  ['no XML', 'delivered'],
];
for (const [name, text] of MALFORMED) {
  test(`imdn refused: ${name}`, () => {
    assert.throws(() => noticeFrom(content('message/imdn+xml', text)), ContentError);
  });
}

const asking = (value: string, ...more: string[]): Content =>
  cpim(
    'From: Alice <im:alice@example.com>',
    'To: Bob <im:bob@example.com>',
    'NS: imdn <urn:ietf:params:imdn>',
    'imdn.Message-ID: 34jk324j',
    'DateTime: 2006-04-04T12:16:49-05:00',
    `imdn.Disposition-Notification: ${value}`,
    ...more,
    'Content-type: text/plain',
    'Content-length: 12',
    '',
    'Hello World',
  );
const wanted = { as: 'imdn', id: '34jk324j', dateTime: '2006-04-04T12:16:49-05:00' } as const;

test('imdn: what the example of RFC 5438, section 7.1.1.3 asks for', () => {
  assert.deepEqual(wantsFrom(asking('positive-delivery, negative-delivery')), { ...wanted, delivered: true });
  assert.deepEqual(wantsFrom(asking('display,unknown , positive-delivery')), {
    ...wanted,
    delivered: true,
    displayed: true,
  });
});

test('imdn: nothing is asked for by other values, without a name, under another prefix, or in a notification', () => {
  assert.equal(wantsFrom(asking('processing')), undefined);
  assert.equal(wantsFrom(asking('Positive-Delivery')), undefined);
  assert.equal(wantsFrom(content('text/plain', 'imdn.Disposition-Notification: display')), undefined);
  const headers = ['NS: imdn <urn:ietf:params:imdn>', 'imdn.Disposition-Notification: positive-delivery'];
  const text = ['', 'Content-type: text/plain', '', 'x'];
  assert.equal(wantsFrom(cpim(...headers, ...text)), undefined);
  assert.equal(wantsFrom(cpim(...headers, `imdn.Message-ID: ${'a'.repeat(257)}`, ...text)), undefined);
  assert.equal(wantsFrom(cpim(...headers, 'imdn.Message-ID: a b', ...text)), undefined);
  assert.equal(
    wantsFrom(cpim(...headers, 'imdn.Message-ID: a', '', 'Content-type: message/imdn+xml', '', DELIVERED)),
    undefined,
  );
  assert.equal(
    wantsFrom(cpim('NS: imdn <urn:example:other>', 'imdn.Message-ID: a', 'imdn.Disposition-Notification: display', ...text)),
    undefined,
  ); // prettier-ignore
});

test('imdn: what is written can be read, is a notification, and asks for none', () => {
  const parts = { id: 'd-1', from: 'sip:juliet@xmpp.example', to: 'sip:alice@sip.example', atMs: 1_700_000_000_000 };
  for (const status of ['delivered', 'displayed'] as const) {
    const bytes = writeNotification({ ...parts, about: { id: 'a<&"\u00e9', dateTime: wanted.dateTime }, status });
    const written = contentFromBytes('message/cpim', bytes);
    assert.deepEqual(noticeFrom(written), { messageId: 'a<&"\u00e9', status });
    assert.equal(wantsFrom(written), undefined);
    const { part, headers } = parseMessageCpim(bytes);
    assert.equal(part.headers.get('content-disposition'), 'notification');
    assert.equal(headers.find(({ name }) => name === 'Message-ID')?.value.trim(), 'd-1');
    assert.match(Buffer.from(part.body).toString(), /<datetime>2006-04-04T12:16:49-05:00<\/datetime>/);
  }
});
