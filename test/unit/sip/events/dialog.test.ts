import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serializeRequest } from '../../../../src/sip/engine/serializer.ts';
import {
  contactUriOf,
  dialogFromSubscribe,
  isDialog,
  nextCseq,
  replaceTarget,
  requestInDialog,
  reserveCseqs,
  resumeDialog,
  takeRemoteCseq,
  targetFrom,
  type Dialog,
} from '../../../../src/sip/events/dialog.ts';
import type { HeaderField } from '../../../../src/sip/message.ts';
import { aRequest, type RequestParts } from '../../../support/sip-request.ts';

const CONTACT: HeaderField = ['Contact', '<sip:romeo@192.0.2.99:5062;transport=tcp>'];

function subscribe(parts: RequestParts = {}) {
  return aRequest({ method: 'SUBSCRIBE', ...parts, headers: parts.headers ?? [CONTACT] });
}

function aDialog(parts: Partial<Dialog> = {}): Dialog {
  return { ...dialogFromSubscribe(subscribe(), 'our1', undefined), ...parts };
}

test('a SUBSCRIBE makes a dialog (RFC 3261, section 12.1.1)', () => {
  const request = subscribe({
    from: '"Romeo" <sip:romeo@sip.example;gr=desk>;tag=r1',
    to: '"J" <sip:juliet@xmpp.example>',
    cseq: 17,
    callId: 'c1@192.0.2.99',
    headers: [
      CONTACT,
      ['Record-Route', '<sip:p2.example;lr>, <sip:p1.example;lr;x=y>'],
      ['Record-Route', '<sip:p0;lr>'],
    ],
  });
  assert.deepEqual(dialogFromSubscribe(request, 'our1', 'tcp-1'), {
    callId: 'c1@192.0.2.99',
    localTag: 'our1',
    remoteTag: 'r1',
    localUri: 'sip:juliet@xmpp.example',
    remoteUri: 'sip:romeo@sip.example;gr=desk',
    remoteTarget: 'sip:romeo@192.0.2.99:5062;transport=tcp',
    routeSet: ['<sip:p2.example;lr>', '<sip:p1.example;lr;x=y>', '<sip:p0;lr>'],
    flow: undefined,
    localCseq: 0,
    localCseqReserved: 0,
    remoteCseq: 17,
  });
});

test('the flow counts where no route leads the way', () => {
  assert.equal(dialogFromSubscribe(subscribe(), 'our1', 'tcp-1').flow, 'tcp-1');
});

test('a From without a tag makes a dialog without one (RFC 3261, section 12.1.1)', () => {
  const dialog = dialogFromSubscribe(subscribe({ from: '<sip:romeo@sip.example>' }), 'our1', undefined);
  assert.equal('remoteTag' in dialog, false);
  const { headers } = requestInDialog(dialog, { method: 'NOTIFY', cseq: 1, headers: [] });
  assert.deepEqual(headers[1], ['To', '<sip:romeo@sip.example>']);
});

test('a dialog goes through JSON', () => {
  const dialog = aDialog();
  const again: unknown = JSON.parse(JSON.stringify(dialog));
  assert.ok(isDialog(again));
  assert.deepEqual({ ...again, flow: undefined }, dialog);
});

test('what of the Contact may not stand in a Request-URI is left out', () => {
  const headers: HeaderField[] = [['Contact', '<sip:a@192.0.2.1;method=INVITE;ob?Subject=x>;expires=5']];
  assert.equal(targetFrom(subscribe({ headers })), 'sip:a@192.0.2.1;ob');
});

const LONG = 'x'.repeat(2_000);
const REFUSED: ReadonlyArray<readonly [name: string, parts: RequestParts]> = [
  ['no Contact', { headers: [] }],
  ['two Contacts', { headers: [['Contact', '<sip:a@192.0.2.1>, <sip:b@192.0.2.1>']] }],
  ['two Contact fields', { headers: [CONTACT, CONTACT] }],
  ['a star', { headers: [['Contact', '*']] }],
  ['a Contact of another scheme', { headers: [['Contact', '<tel:+1555>']] }],
  ['a Contact that is none', { headers: [['Contact', '%']] }],
  ['a Contact without a host', { headers: [['Contact', '<sip:@>']] }],
  ['a long Contact', { headers: [['Contact', `<sip:${LONG}@192.0.2.1>`]] }],
  ['a long Call-ID', { callId: LONG }],
  ['a long From', { from: `<sip:${LONG}@sip.example>;tag=1` }],
  ['a long From tag', { from: `<sip:a@sip.example>;tag=${LONG}` }],
  ['a long To', { to: `<sip:${LONG}@sip.example>` }],
  ['a route of another scheme', { headers: [CONTACT, ['Record-Route', '<tel:+1555>']] }],
  ['a long route', { headers: [CONTACT, ['Record-Route', `<sip:${LONG}@p.example;lr>`]] }],
  ['many routes', { headers: [CONTACT, ['Record-Route', Array(17).fill('<sip:p;lr>').join(',')]] }],
  [
    'a sip Contact for a sips presentity',
    { uri: 'sips:juliet@xmpp.example', flow: { transport: 'tls' }, to: '<sip:juliet@xmpp.example>' },
  ],
];
for (const [name, parts] of REFUSED) {
  test(`no dialog: ${name}`, () => {
    assert.throws(() => dialogFromSubscribe(subscribe(parts), 'our1', undefined), { code: 'request-malformed' });
  });
}

test('a request within the dialog goes to the remote target', () => {
  const outgoing = requestInDialog(aDialog(), {
    method: 'NOTIFY',
    cseq: 4,
    headers: [['Event', 'presence']],
    body: Buffer.from('x'),
  });
  assert.deepEqual(outgoing, {
    method: 'NOTIFY',
    uri: 'sip:romeo@192.0.2.99:5062;transport=tcp',
    headers: [
      ['From', '<sip:juliet@xmpp.example>;tag=our1'],
      ['To', '<sip:romeo@sip.example>;tag=f1'],
      ['Call-ID', 'call-1'],
      ['CSeq', '4 NOTIFY'],
      ['Event', 'presence'],
    ],
    body: Buffer.from('x'),
  });
});

test('a request within the dialog goes over its flow', () => {
  const outgoing = requestInDialog(aDialog({ flow: 'tcp-1' }), { method: 'NOTIFY', cseq: 1, headers: [] });
  assert.deepEqual(outgoing.nextHop, { flow: 'tcp-1' });
});

test('a loose router leaves the Request-URI alone', () => {
  const routeSet = ['<sip:p1.example;lr>', '<sip:p2.example;lr=on>'];
  const { uri, headers, nextHop } = requestInDialog(aDialog({ routeSet }), { method: 'NOTIFY', cseq: 1, headers: [] });
  assert.equal(uri, 'sip:romeo@192.0.2.99:5062;transport=tcp');
  assert.deepEqual(headers.slice(0, 2), [
    ['Route', '<sip:p1.example;lr>'],
    ['Route', '<sip:p2.example;lr=on>'],
  ]);
  assert.equal(nextHop, undefined);
});

test('a strict router becomes the Request-URI, the target the last route (RFC 3261, section 12.2.1.1)', () => {
  const dialog = aDialog({
    remoteTarget: 'sip:user@remoteua',
    routeSet: ['<sip:proxy1;method=X?a=b>', '<sip:proxy2>', '<sip:proxy3;lr>', '<sip:proxy4>'],
  });
  const { uri, headers, nextHop } = requestInDialog(dialog, { method: 'NOTIFY', cseq: 1, headers: [] });
  assert.equal(uri, 'sip:proxy1');
  assert.deepEqual(headers.slice(0, 4), [
    ['Route', '<sip:proxy2>'],
    ['Route', '<sip:proxy3;lr>'],
    ['Route', '<sip:proxy4>'],
    ['Route', '<sip:user@remoteua>'],
  ]);
  assert.deepEqual(nextHop, { uri: 'sip:proxy1' });
});

test('what is in a dialog can always be written', () => {
  const request = subscribe({
    from: '"a\\"b" <sip:r%00meo@sip.example>;tag=~.+\'',
    to: '<sip:juliet@xmpp.example;x=%41?h=1>',
    callId: '{<~."*>}@[]?/\\',
    headers: [
      [
        'Contact',
        "<sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@192.0.2.1>",
      ],
    ],
  });
  const outgoing = requestInDialog(dialogFromSubscribe(request, 'our1', undefined), {
    method: 'NOTIFY',
    cseq: 1,
    headers: [],
  });
  assert.doesNotThrow(() => serializeRequest(outgoing));
});

test('numbers are those that are reserved, and no others', () => {
  const dialog = aDialog();
  assert.equal(nextCseq(dialog), undefined);
  reserveCseqs(dialog, 2);
  assert.deepEqual([nextCseq(dialog), nextCseq(dialog), nextCseq(dialog)], [1, 2, undefined]);
  reserveCseqs(dialog, 3);
  assert.equal(dialog.localCseqReserved, 5);
});

test('after a restart the first number is above those that are reserved', () => {
  const dialog = aDialog();
  reserveCseqs(dialog, 10);
  nextCseq(dialog);
  const stored = JSON.parse(JSON.stringify(dialog)) as Dialog;
  resumeDialog(stored);
  assert.equal(nextCseq(stored), undefined);
  reserveCseqs(stored, 10);
  assert.equal(nextCseq(stored), 11);
});

test('a dialog does not count beyond 2^31 (RFC 3261, section 8.1.1.5)', () => {
  const dialog = aDialog({ localCseq: 2 ** 31 - 2, localCseqReserved: 2 ** 31 - 2 });
  assert.throws(() => reserveCseqs(dialog, 32), { code: 'internal' });
});

test('numbers of the far side never go down (RFC 3261, section 12.2.2)', () => {
  const dialog = aDialog({ remoteCseq: 5 });
  const taken = [5, 4, 6, 6, 4_294_967_295].map((cseq) => takeRemoteCseq(dialog, subscribe({ cseq })));
  assert.deepEqual(taken, [true, false, true, true, true]);
});

test('a new target can be put back', () => {
  const dialog = aDialog({ flow: 'tcp-1' });
  const before = replaceTarget(dialog, { remoteTarget: 'sip:romeo@192.0.2.7', flow: undefined });
  assert.deepEqual([dialog.remoteTarget, dialog.flow], ['sip:romeo@192.0.2.7', undefined]);
  replaceTarget(dialog, before);
  assert.deepEqual([dialog.remoteTarget, dialog.flow], ['sip:romeo@192.0.2.99:5062;transport=tcp', 'tcp-1']);
});

test('with a route set a new target brings no flow', () => {
  const dialog = aDialog({ routeSet: ['<sip:p;lr>'] });
  replaceTarget(dialog, { remoteTarget: 'sip:romeo@192.0.2.7', flow: 'tcp-2' });
  assert.equal(dialog.flow, undefined);
});

test('one Contact is a Contact', () => {
  assert.equal(contactUriOf(subscribe())?.host, '192.0.2.99');
  assert.equal(contactUriOf(subscribe({ headers: [CONTACT, CONTACT] })), undefined);
});

const good = { ...aDialog(), flow: 'f' };
const NOT_DIALOGS: ReadonlyArray<readonly [name: string, value: unknown]> = [
  ['null', null],
  ['text', 'dialog'],
  ['nothing in it', {}],
  ...(['callId', 'localTag', 'localUri', 'remoteUri', 'remoteTarget', 'routeSet', 'localCseq'] as const).map(
    (field) => [`without ${field}`, { ...good, [field]: undefined }] as const,
  ),
  ['a number as flow', { ...good, flow: 1 }],
  ['numbers as routes', { ...good, routeSet: [1] }],
  ['text as CSeq', { ...good, remoteCseq: '1' }],
  ['text as reserved CSeq', { ...good, localCseqReserved: '1' }],
];
for (const [name, value] of NOT_DIALOGS) {
  test(`out of the store, no dialog: ${name}`, () => assert.equal(isDialog(value), false));
}
