import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { contentFromBytes } from '../../src/cpim/content.ts';
import { noticeFrom } from '../support/imdn-in.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { needs } from '../support/peers.ts';
import type { PresencePhone } from '../support/presence-phone.ts';
import { says } from '../support/roster-stage.ts';
import { S2sDomain, s2sPorts } from '../support/s2s-federation.ts';
import { testCertificate } from '../support/self-signed.ts';
import { until } from '../support/until.ts';

const A = 'a.example';
const B = 'b.example';

/** Two whole servers of ours, which speak XMPP to each other. */
describe('s2s: two domains of ours', needs('openssl'), () => {
  let a: S2sDomain;
  let b: S2sDomain;
  let alice: PresencePhone;
  let bob: PresencePhone;

  before(async () => {
    const [ofA, ofB] = [await s2sPorts(), await s2sPorts()];
    const peer = (domain: string, port: number): string =>
      `{ domain: ${domain}, link: federation, nextHop: 'tcp://127.0.0.1:${port}' }`;
    const plan = { users: ['alice', 'bob'] };
    a = await S2sDomain.start({
      ...plan,
      domain: A,
      ports: ofA,
      leaf: testCertificate([`DNS:${A}`]),
      peers: [peer(B, ofB.s2s)],
    });
    b = await S2sDomain.start({
      ...plan,
      domain: B,
      ports: ofB,
      leaf: testCertificate([`DNS:${B}`]),
      peers: [peer(A, ofA.s2s)],
    });
    [alice, bob] = await Promise.all([a.phone('alice'), b.phone('bob')]);
  });
  after(async () => {
    await a.stop();
    await b.stop();
  });

  test('s2s: two domains of ours: messages go both ways, in order, confirmed', async () => {
    for (let n = 0; n < 30; n += 1) {
      assert.equal((await alice.phone.write(`sip:bob@${B}`, `to bob ${n}`)).status, 202);
      assert.equal((await bob.phone.write(`sip:alice@${A}`, `to alice ${n}`)).status, 202);
    }
    await until(() => bob.phone.texts.length >= 30 && alice.phone.texts.length >= 30, { what: 'all is there' });
    assert.deepEqual(
      bob.phone.texts,
      Array.from({ length: 30 }, (_, n) => `to bob ${n}`),
    );
    assert.deepEqual(
      alice.phone.texts,
      Array.from({ length: 30 }, (_, n) => `to alice ${n}`),
    );
    await until(() => a.app.health().queue.live + b.app.health().queue.live === 0, { what: 'all is confirmed' });
  });

  test('s2s: two domains of ours: who asks for a receipt gets one from the other server, for what its phone has', async () => {
    const asks = [
      'NS: imdn <urn:ietf:params:imdn>',
      'imdn.Message-ID: 34jk324j',
      'imdn.Disposition-Notification: positive-delivery, display',
      '',
      'Content-Type: text/plain',
      '',
      'are you there',
    ].join('\r\n');
    const cpim: HeaderField = ['Content-Type', 'message/cpim'];
    const notices = (): readonly unknown[] =>
      alice.phone.received
        .filter(({ headers }) => headers.get('Content-Type') === 'message/cpim')
        .map(({ body }) => noticeFrom(contentFromBytes('message/cpim', body)));
    assert.equal((await alice.phone.write(`sip:bob@${B}`, asks, [cpim])).status, 202);
    await until(() => notices().length === 1, {
      what: 'alice is told',
      detail: () => `${a.logText()}\n${b.logText()}`,
    });
    assert.deepEqual(notices(), [{ messageId: '34jk324j', status: 'delivered' }]);
    // As liblinphone does unasked.
    const got = bob.phone.received.find(({ body }) => Buffer.from(body).toString() === 'are you there');
    const shown = `<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>${got?.headers.get('Call-ID')}</message-id><display-notification><status><displayed/></status></display-notification></imdn>`;
    const imdn: HeaderField = ['Content-Type', 'message/imdn+xml'];
    assert.equal((await bob.phone.write(`sip:alice@${A}`, shown, [imdn])).status, 200);
    await until(() => notices().length === 2, { what: 'alice is told more' });
    assert.deepEqual(notices()[1], { messageId: '34jk324j', status: 'displayed' });
    await until(() => a.app.health().queue.live + b.app.health().queue.live === 0, { what: 'all is confirmed' });
  });

  test('s2s: two domains of ours: phones see each other', async () => {
    await bob.publish('in the garden');
    const watching = await alice.subscribe(`sip:bob@${B}`);
    await watching.untilLast(({ state, document }) => state.state === 'active' && document?.tuples.length === 1);
    await alice.publish('at home');
    const back = await bob.subscribe(`sip:alice@${A}`);
    await back.untilLast(says('active', 'open at home'));
    await bob.publish('in the house');
    await watching.untilLast(says('active', 'open in the house'));
  });

  test('s2s: two domains of ours: a user that does not exist is told in words', async () => {
    await alice.phone.write(`sip:nobody@${B}`, 'are you there');
    await until(() => alice.phone.texts.some((text) => text.includes('could not be delivered')), {
      what: 'she is told',
    });
  });

  test('s2s: two domains of ours: one restarts, and what was written meanwhile arrives once', async () => {
    await b.pause();
    await a.untilLink(B, 'down');
    assert.equal((await alice.phone.write(`sip:bob@${B}`, 'while you were out')).status, 202);
    assert.equal(a.app.health().peers[B]?.waiting, 1);
    assert.equal(a.app.health().peers[B]?.reachable, false);
    await b.resume();
    await bob.phone.register();
    await until(() => bob.phone.texts.includes('while you were out'), {
      what: 'it is there',
      withinMs: 15_000,
      detail: () => `${a.logText()}\n--\n${b.logText()}`,
    });
    await a.untilLink(B, 'up');
    assert.equal(bob.phone.texts.filter((text) => text === 'while you were out').length, 1);
  });
});
