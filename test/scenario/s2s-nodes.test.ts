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
