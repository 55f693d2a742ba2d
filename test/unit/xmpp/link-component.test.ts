import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { XmlElement } from '../../../src/cpim/xml.ts';
import { LINK_LIMITS, xmppLinkContract, type LinkWorld } from '../../contract/xmpp-link.ts';
import { componentWorld } from '../../support/component-world.ts';
import { until } from '../../support/until.ts';

xmppLinkContract('ComponentLink', async (): Promise<LinkWorld> => {
  const { link, server, clock, end, trusting } = await componentWorld({ limits: LINK_LIMITS });
  return { link, peer: server, clock, own: 'sip.xmpp.example', far: 'xmpp.example', trusting, end };
});

test('component: answers that wait are bounded by their bytes, not by their characters', async () => {
  // Much more than sockets hold: what is counted shows.
  const limits = { answerBytesMax: 12_000_000, stanzaBytesMax: 65_536 };
  const { link, server, end } = await componentWorld({ limits });
  const text = '日'.repeat(20_000);
  const [total, most] = [600, 450];
  let answered = 0;
  const answer: XmlElement = {
    name: 'message',
    attrs: { from: 'romeo@sip.xmpp.example', to: 'juliet@xmpp.example' },
    children: [{ name: 'body', attrs: {}, children: [text] }],
  };
  try {
    await link.start({
      onUp: () => undefined,
      onDown: () => undefined,
      onStanza: () => {
        answered += 1;
        link.post(answer);
      },
    });
    server.freeze();
    const ask = { ...answer, attrs: { from: 'juliet@xmpp.example', to: 'romeo@sip.xmpp.example' } };
    for (let n = 0; n < total; n += 1) server.send(ask);
    let before = -1;
    await until(
      () => {
        const isStill = answered > 0 && answered === before;
        before = answered;
        return isStill;
      },
      { what: 'nothing more is read', everyMs: 200 },
    );
    assert.ok(answered >= 12_000_000 / 60_200 && answered <= most, `${answered} of ${total} answered`);
    server.thaw();
    await until(() => answered === total, { what: 'reading goes on', everyMs: 2 });
  } finally {
    await end();
  }
});

test('component: a stop without grace ends one that is still waiting, as when its lease is lost in a hand-over', async () => {
  const { link, server, end } = await componentWorld();
  try {
    await link.start({ onUp: () => undefined, onDown: () => undefined, onStanza: () => undefined });
    server.answering(false);
    const attrs = { from: 'romeo@sip.xmpp.example', to: 'juliet@xmpp.example' };
    const lost = assert.rejects(link.send({ name: 'message', attrs, children: [] }));
    const stopped = link.stop(5_000);
    await link.stop(0);
    // No time has passed.
    await Promise.all([stopped, lost]);
    assert.equal(link.state().at, 'stopped');
  } finally {
    await end();
  }
});
