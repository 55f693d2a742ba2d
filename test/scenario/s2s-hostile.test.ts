import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { XmlElement } from '../../src/cpim/xml.ts';
import { RawStream, type S2sPeerScript } from '../support/s2s-peer.ts';
import { FAR, OWN, s2sWorld, type S2sWorld } from '../support/s2s-world.ts';
import { until } from '../support/until.ts';

/** A peer's server that wants to harm. */
async function world(t: TestContext, script: Partial<S2sPeerScript> = {}): Promise<S2sWorld> {
  const made = await s2sWorld({ script });
  t.after(() => made.end());
  await made.link.start({ onStanza: () => undefined, onUp: () => undefined, onDown: () => undefined });
  return made;
}

const message: XmlElement = {
  name: 'message',
  attrs: { from: `romeo@${OWN}`, to: `juliet@${FAR}`, id: 'm1' },
  children: [{ name: 'body', attrs: {}, children: ['hello'] }],
};

for (const { sm, what } of [
  { sm: true, what: 'with' },
  { sm: false, what: 'without' },
]) {
  test(`s2s: ${what} stream management, a count of stanzas that is none confirms nothing, and hinders nothing`, async (t) => {
    const { link, peer } = await world(t, { sm });
    await link.send(message);
    peer.answering(false);
    let isTaken = false;
    const sent = link.send(message).then(() => (isTaken = true));
    await until(() => peer.received.length === 2, { what: 'the message is there' });
    for (const h of ['', ' h=""', ' h="x"', ' h="-1"', ' h="1.5"', ' h="1e1"', ' h="NaN"', ...(sm ? [] : [' h="2"'])]) {
      peer.sendRaw(`<a xmlns='urn:xmpp:sm:3'${h}/>`);
    }
    // What comes after them has been read when this is answered.
    peer.sendRaw(`<message from='juliet@${FAR}' to='nobody@elsewhere.example' id='m2'><body>x</body></message>`);
    await until(() => peer.received.some(({ attrs }) => attrs['type'] === 'error'), { what: 'an answer' });
    assert.equal(isTaken, false);
    peer.answering(true);
    await sent;
    assert.equal(peer.connections, 1);
  });
}

test('s2s: a peer that opens streams and loses them takes little room from others', async (t) => {
  const { federation, port } = await world(t);
  for (let times = 0; times < 12; times += 1) {
    const stream = await RawStream.open({ port, from: FAR, to: OWN });
    await stream.features();
    stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
    assert.equal((await stream.until('db:result')).attrs['type'], 'valid');
    stream.write(`<enable xmlns='urn:xmpp:sm:3' resume='true'/>`);
    assert.equal((await stream.until('enabled')).attrs['resume'], 'true');
    stream.end();
  }
  await until(() => federation.streamCount <= 9, { what: 'few are kept', withinMs: 3_000 });
  assert.ok(federation.streamCount >= 8, 'a lost one can be taken up again');
});
