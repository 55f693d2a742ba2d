/** A node of several that does not run the pair with a peer, whose server has opened its stream to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { XmlElement } from '../../src/cpim/xml.ts';
import { RawStream } from '../support/s2s-peer.ts';
import { FAR, OWN, s2sWorld } from '../support/s2s-world.ts';
import { until } from '../support/until.ts';

const RUN = 'runOfThisOne';

test('s2s: a stream to a node that does not run its pair: stanzas are taken, the rest is told to whom it concerns', async (t) => {
  const told: string[] = [];
  const taken: XmlElement[] = [];
  const posted: XmlElement[] = [];
  const world = await s2sWorld({
    more: {
      others: {
        run: RUN,
        ponged: (run, { peer }, id) => {
          told.push(`${run} ${peer} ${id}`);
          return run === 'another';
        },
        peerIsThere: ({ own, peer }) => void told.push(`${own} ${peer} is there`),
      },
    },
  });
  t.after(() => world.end());
  const ends = { own: OWN, peer: FAR };
  world.federation.listen(ends, {
    onStanza: (stanza) => void taken.push(stanza),
    post: (stanza) => void posted.push(stanza),
  });
  const stream = await RawStream.open({ port: world.port, from: FAR, to: OWN });
  t.after(() => stream.end());
  await stream.features();
  stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
  assert.equal((await stream.until('db:result')).attrs['type'], 'valid');
  assert.deepEqual(told.splice(0), [`${OWN} ${FAR} is there`]);

  const pong = (id: string): string => `<iq type='result' from='${FAR}' to='${OWN}' id='${id}'/>`;
  stream.write(pong('ping-another.abc-1') + pong('ping-gone.abc-1') + pong(`ping-${RUN}.abc-1`) + pong('mine'));
  stream.write(`<message from='juliet@${FAR}' to='romeo@${OWN}' id='m1'><body>hello</body></message>`);
  stream.write(`<iq type='get' from='juliet@${FAR}' to='other.example' id='i1'><x xmlns='y'/></iq>`);
  await until(() => posted.length === 1, { what: 'what is for nobody here is refused' });
  assert.deepEqual(told, [`another ${FAR} ping-another.abc-1`, `gone ${FAR} ping-gone.abc-1`]);
  assert.deepEqual(
    taken.map(({ attrs }) => attrs['id']),
    ['ping-gone.abc-1', `ping-${RUN}.abc-1`, 'mine', 'm1'],
  );
  assert.equal(posted[0]?.attrs['id'], 'i1');
  // One that is used in one direction only leads nowhere.
  const answer = { name: 'iq', attrs: { type: 'result', from: OWN, to: FAR, id: 'i1' }, children: [] };
  assert.equal(world.federation.answer(ends, answer), false);
});

for (const bidi of [true, false]) {
  const what = bidi ? 'stays open, what comes over it is taken here' : 'is closed in good order';
  test(`s2s: a pair goes over to another node: a stream used ${bidi ? 'both ways' : 'one way'} ${what}`, async (t) => {
    const world = await s2sWorld({ script: { bidi, sm: !bidi } });
    t.after(() => world.end());
    const { federation, link, peer } = world;
    const taken: string[] = [];
    const take = (stanza: XmlElement): void => void taken.push(stanza.attrs['id'] ?? '');
    federation.listen({ own: OWN, peer: FAR }, { onStanza: take, post: () => undefined });
    await link.start({ onStanza: take, onUp: () => undefined, onDown: () => undefined });
    assert.equal(await federation.canReach(FAR), true);
    const stanza = (id: string): XmlElement => ({
      name: 'message',
      attrs: { id, from: `romeo@${OWN}`, to: `juliet@${FAR}` },
      children: [],
    });
    const back = (id: string): XmlElement => ({
      name: 'message',
      attrs: { id, from: `juliet@${FAR}`, to: `romeo@${OWN}` },
      children: [],
    });
    await link.send(stanza('before'));
    peer.answering(false);
    const sent = link.send(stanza('under way'));
    await until(() => peer.received.some(({ attrs }) => attrs['id'] === 'under way'), { what: 'it is written' });
    const letGo = link.letGo(5_000);
    if (bidi) {
      peer.send(back('meanwhile'));
      await until(() => taken.includes('meanwhile'), { what: 'what comes meanwhile is taken' });
    }
    peer.answering(true);
    await Promise.all([letGo, sent]);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([link.state().at, peer.streamErrors], ['stopped', []]);
    assert.equal(federation.streamCount, bidi ? 1 : 0);
    if (!bidi) return;
    peer.send(back('afterwards'));
    await until(() => taken.includes('afterwards'), { what: 'what comes afterwards is taken' });
    // And it is used again when the pair comes back.
    const again = federation.link({ own: OWN, peer: FAR }, link.name, () => true);
    await again.start({ onStanza: take, onUp: () => undefined, onDown: () => undefined });
    await again.send(stanza('again'));
    assert.deepEqual([peer.handshakes, federation.streamCount], [1, 1]);
    const stopped = again.stop(0);
    await world.clock.advanceAsync(1);
    await stopped;
  });
}

test('s2s: a peer to whose server no connection can be had is out of reach', async (t) => {
  const world = await s2sWorld();
  t.after(() => world.end());
  await world.peer.stop();
  assert.equal(await world.federation.canReach(FAR), false);
});

test('s2s: a stop without grace ends a hand-over that is still waiting, as when the lease is lost in it', async (t) => {
  const world = await s2sWorld();
  t.after(() => world.end());
  const { link, peer } = world;
  await link.start({ onStanza: () => undefined, onUp: () => undefined, onDown: () => undefined });
  peer.answering(false);
  const attrs = { from: `romeo@${OWN}`, to: `juliet@${FAR}` };
  void link.send({ name: 'message', attrs, children: [] }).catch(() => undefined);
  const letGo = link.letGo(5_000);
  await link.stop(0);
  // No time has passed.
  await letGo;
  assert.equal(link.state().at, 'stopped');
});
