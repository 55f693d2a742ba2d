import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import type { Delivery, Route } from '../../../src/core/ports.ts';
import { parseAddress } from '../../../src/cpim/address.ts';
import type { Operation } from '../../../src/cpim/operation.ts';
import type { XmlElement } from '../../../src/cpim/xml.ts';
import type { XmppLink } from '../../../src/xmpp/link.ts';
import { linkSender } from '../../../src/xmpp/message-sender.ts';

const NOW_MS = 1_700_000_000_000;
const ROUTE: Route = { kind: 'link', hop: 'link:office', link: 'office', domain: 'xmpp.example' };

function address(text: string): NonNullable<ReturnType<typeof parseAddress>> {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

const MESSAGE: Operation = {
  op: 'message',
  id: 'a',
  source: { address: address('romeo@sip.example') },
  destination: { address: address('juliet@xmpp.example') },
  hops: 69,
  acceptedAtMs: NOW_MS,
  content: { type: 'text/plain', text: 'x' },
};
const REPORT: Operation = {
  op: 'report',
  id: 'r-a',
  source: MESSAGE.source,
  destination: MESSAGE.destination,
  acceptedAtMs: NOW_MS,
  about: { id: 'b', senderId: 'm-1' },
  code: 'recipient-unknown',
};

function aDelivery(operation: Operation, maybeSent = false): Delivery {
  return {
    id: operation.id,
    lane: 'l',
    hop: 'link:office',
    owner: 'o',
    expiresAtMs: NOW_MS + 1,
    operation,
    sequence: 1,
    attempt: 1,
    maybeSent,
  };
}

function aSender(owner?: string): { sent: XmlElement[]; send: (delivery: Delivery, route?: Route) => Promise<void> } {
  const sent: XmlElement[] = [];
  const link: Pick<XmppLink, 'send'> = {
    send: (stanza) => {
      sent.push(stanza);
      return Promise.resolve();
    },
  };
  const domains = { domain: 'sip.example', name: 'sip.xmpp.example' };
  const sender = linkSender({
    linkOf: (name) =>
      name === 'office' ? { link: link as XmppLink, domains, ...(owner === undefined ? {} : { owner }) } : undefined,
    clock: { nowMs: () => NOW_MS },
  });
  return { sent, send: (delivery, route = ROUTE) => sender.send(delivery, route) };
}

test('link sender: the stanza is with the link before send returns', () => {
  const { sent, send } = aSender();
  void send(aDelivery(MESSAGE));
  assert.equal(sent.length, 1);
  assert.deepEqual(sent[0]?.attrs, { from: 'romeo@sip.xmpp.example', to: 'juliet@xmpp.example', id: 'a' });
});

test('link sender: what may have been sent before has a delay stamp and the same ids', async () => {
  const { sent, send } = aSender();
  await send(aDelivery(MESSAGE, true));
  assert.equal(sent[0]?.attrs['id'], 'a');
  const names = sent[0].children.map((child) => (typeof child === 'string' ? child : child.name));
  assert.deepEqual(names, ['body', 'origin-id', 'delay']);
});

test('link sender: a report goes as the error stanza it is', async () => {
  const { sent, send } = aSender();
  await send(aDelivery(REPORT));
  assert.deepEqual(sent[0]?.attrs, {
    from: 'romeo@sip.xmpp.example',
    to: 'juliet@xmpp.example',
    id: 'm-1',
    type: 'error',
  });
});

const refusals: Array<[string, Delivery, Route, string]> = [
  ['a route of another kind', aDelivery(MESSAGE), { kind: 'sip', hop: 'sip:x', domain: 'x' }, 'internal'],
  ['a link that is not there', aDelivery(MESSAGE), { ...ROUTE, link: 'other' }, 'peer-unknown'],
  ['a sips message', aDelivery({ ...MESSAGE, secure: true }), ROUTE, 'scheme-unsupported'],
];
for (const [what, delivery, route, code] of refusals) {
  test(`link sender: ${what} is refused with ${code}`, async () => {
    const { sent, send } = aSender();
    await assert.rejects(send(delivery, route), (thrown) => thrown instanceof GatewayError && thrown.code === code);
    assert.deepEqual(sent, []);
  });
}

test('link sender: a sender who wishes not to be named is nobody over a link, and nothing goes over his account', async () => {
  const hidden: Operation = { ...MESSAGE, privacy: ['id', 'critical'] };
  const link = aSender();
  await link.send(aDelivery(hidden));
  assert.match(link.sent[0]?.attrs['from'] ?? '', /^anonymous@/);
  const account = aSender('romeo@sip.example');
  await assert.rejects(
    account.send(aDelivery(hidden)),
    (error) => error instanceof GatewayError && error.code === 'policy-violated' && error.details.status === 500,
  );
  assert.deepEqual(account.sent, []);
});
