import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { XmlElement } from '../../src/cpim/xml.ts';
import { componentWorld, type ComponentWorld } from '../support/component-world.ts';
import { until } from '../support/until.ts';

const MESSAGE: XmlElement = {
  name: 'message',
  attrs: { from: 'romeo@sip.xmpp.example', to: 'juliet@xmpp.example', id: 'a' },
  children: [{ name: 'body', attrs: {}, children: ['x'] }],
};
const EVENTS = { onStanza: () => undefined, onUp: () => undefined, onDown: () => undefined };

/** A link that is up, and ended after the test. */
async function withLink(
  run: (world: ComponentWorld) => Promise<void>,
  options: Parameters<typeof componentWorld>[0] & { before?: (world: ComponentWorld) => void } = {},
): Promise<void> {
  const world = await componentWorld(options);
  options.before?.(world);
  try {
    await run(world);
  } finally {
    await world.end();
  }
}

async function outcomeOf(sent: Promise<void>): Promise<string> {
  return sent.then(
    () => 'taken',
    (thrown: unknown) => GatewayError.of(thrown).code,
  );
}

/** Moves time until the link is up; only while it waits, because the time of sockets is not the clock's. */
async function upAgain({ link, clock }: ComponentWorld, withinMs: number): Promise<void> {
  let ms = 0;
  await until(
    async () => {
      if (link.state().at === 'down' && ms < withinMs) await clock.advanceAsync(250);
      if (link.state().at === 'down') ms += 250;
      return link.state().at === 'up';
    },
    { what: `it is up within ${withinMs} ms`, everyMs: 1 },
  );
}

for (const [condition, remedy] of [
  ['not-authorized', /secret/],
  ['host-unknown', /no component of this name/],
  ['conflict', /another connection/],
] as const) {
  test(`link: ${condition} is said once, loudly, with its remedy, and is tried again within 30 s`, () =>
    withLink(
      async (world) => {
        const { link, server, clock, log } = world;
        await link.start(EVENTS);
        assert.equal(link.state().at, 'down');
        assert.match(link.state().reason ?? '', remedy);
        assert.deepEqual(log.at('error'), ['link refused']);
        await clock.advanceAsync(14_900);
        assert.equal(server.connections, 1);
        await clock.advanceAsync(5_100);
        await until(() => server.connections === 2, { what: 'it is tried again', everyMs: 2 });
        await until(() => link.state().at === 'down', { what: 'it is refused again', everyMs: 2 });
        assert.deepEqual(log.at('error'), ['link refused']);
        server.script.refuseWith = undefined;
        await upAgain(world, 30_000);
      },
      {
        before: ({ server }) => {
          server.script.refuseWith = condition;
        },
      },
    ));
}

test('link: a secret and a stream id beyond ASCII give the handshake that servers compute', () =>
  withLink(
    async ({ link, server }) => {
      await link.start(EVENTS);
      assert.equal(link.state().at, 'up');
      assert.equal(server.handshakes, 1);
    },
    {
      secret: 'gehéim \u{1F600}',
      before: ({ server }) => {
        server.script.streamId = `ž<&>'"\u{1F600}`;
      },
    },
  ));

test('link: a server that takes the connection and says nothing is left after 10 s', () =>
  withLink(
    async ({ link, server, clock }) => {
      const started = link.start(EVENTS);
      await until(() => server.connections === 1, { what: 'it connects', everyMs: 2 });
      await clock.advanceAsync(9_900);
      assert.equal(link.state().at, 'connecting');
      await clock.advanceAsync(100);
      await started;
      assert.equal(link.state().at, 'down');
      server.script.silent = false;
      await clock.advanceAsync(1_000);
      await until(() => link.state().at === 'up', { what: 'the next try succeeds', everyMs: 2 });
    },
    {
      before: ({ server }) => {
        server.script.silent = true;
      },
    },
  ));

test('link: a server that stops answering is left after 20 s, and what it had not confirmed is rejected', () =>
  withLink(async (world) => {
    const { link, server, clock } = world;
    await link.start(EVENTS);
    await link.send(MESSAGE);
    server.freeze();
    const lost = outcomeOf(link.send(MESSAGE));
    await clock.advanceAsync(19_000);
    assert.equal(link.state().at, 'up');
    await clock.advanceAsync(2_000);
    assert.equal(await lost, 'peer-unreachable');
    await upAgain(world, 1_000);
    await link.send(MESSAGE);
  }));

test('link: an idle stream whose server is gone without a word is found out', () =>
  withLink(async ({ link, server, clock }) => {
    await link.start(EVENTS);
    await link.send(MESSAGE);
    server.freeze();
    server.script.silent = true;
    await clock.advanceAsync(59_000);
    assert.equal(link.state().at, 'up');
    await clock.advanceAsync(25_000);
    assert.notEqual(link.state().at, 'up');
  }));

test('link: a server that answers no pings at all is said to, and a stanza that it outlives by 250 ms is taken', () =>
  withLink(
    async ({ link, server, clock, log }) => {
      await link.start(EVENTS);
      let taken = false;
      const sent = link.send(MESSAGE).then(() => {
        taken = true;
      });
      await until(() => server.received.length === 1, { what: 'it is written', everyMs: 2 });
      await clock.advanceAsync(2_900);
      assert.equal(taken, false);
      await clock.advanceAsync(400);
      await sent;
      assert.equal(log.at('warn').length, 1);
      assert.match(log.at('warn')[0] ?? '', /answers no pings/);
      taken = false;
      const next = link.send(MESSAGE).then(() => {
        taken = true;
      });
      await until(() => server.received.length === 2, { what: 'the next is written', everyMs: 2 });
      await clock.advanceAsync(150);
      assert.equal(taken, false);
      await clock.advanceAsync(250);
      await next;
    },
    {
      before: ({ server }) => {
        server.script.reflect = false;
      },
    },
  ));

for (const [what, attrs] of [
  ['somebody else', { from: 'mallory@xmpp.example', to: 'sip.xmpp.example' }],
  ['the server', { from: 'xmpp.example', to: 'sip.xmpp.example' }],
  ['nobody', { to: 'sip.xmpp.example' }],
] as const) {
  test(`link: the answer to a ping, right id, from ${what}, confirms nothing (class 12)`, () =>
    withLink(async ({ link, server, clock }) => {
      await link.start(EVENTS);
      server.script.reflect = false;
      const sent = link.send(MESSAGE);
      sent.catch(() => undefined);
      await until(() => server.received.length === 1, { what: 'it is written', everyMs: 2 });
      for (const ping of server.stanzas.filter(({ name }) => name === 'iq')) {
        const id = ping.attrs['id'] ?? '';
        server.send({ name: 'iq', attrs: { ...attrs, id, type: 'result' }, children: [] });
      }
      for (let turn = 0; turn < 20; turn += 1) await clock.advanceAsync(50);
      assert.equal(link.state().unconfirmed, 1);
    }));
}

for (const type of ['result', 'error', 'get'] as const) {
  test(`link: a ping confirms whether it comes back as ${type}`, () =>
    withLink(async ({ link, server }) => {
      await link.start(EVENTS);
      server.script.reflect = false;
      const address = 'sip.xmpp.example';
      server.onStanza = ({ name, attrs }) => {
        if (name !== 'iq') return;
        server.send({ name: 'iq', attrs: { from: address, to: address, id: attrs['id'] ?? '', type }, children: [] });
      };
      await link.send(MESSAGE);
    }));
}

test('link: no stanza of ours is sent twice by the link itself after a loss', () =>
  withLink(async ({ link, server, clock }) => {
    await link.start(EVENTS);
    await link.send(MESSAGE);
    server.script.reflect = false;
    const lost = outcomeOf(link.send(MESSAGE));
    await until(() => server.received.length === 2, { what: 'it is written', everyMs: 2 });
    server.drop();
    assert.equal(await lost, 'peer-unreachable');
    server.answering(true);
    await clock.advanceAsync(1_000);
    await until(() => link.state().at === 'up', { what: 'it is back', everyMs: 2 });
    await link.send(MESSAGE);
    assert.equal(server.received.length, 3);
  }));

test('link: a listener that throws ends neither the process nor the stream', () =>
  withLink(async ({ link, server, log }) => {
    let seen = 0;
    await link.start({
      ...EVENTS,
      onStanza: () => {
        seen += 1;
        throw new Error('listener');
      },
    });
    server.send({ ...MESSAGE, attrs: { from: 'juliet@xmpp.example', to: 'romeo@sip.xmpp.example' } });
    server.send({ ...MESSAGE, attrs: { from: 'juliet@xmpp.example', to: 'romeo@sip.xmpp.example' } });
    await until(() => seen === 2, { what: 'both come', everyMs: 2 });
    assert.equal(link.state().at, 'up');
    assert.deepEqual(log.at('error'), ['link listener failed', 'link listener failed']);
  }));

test('link: stanzas of another namespace are no stanzas', () =>
  withLink(async ({ link, server }) => {
    const seen: string[] = [];
    await link.start({ ...EVENTS, onStanza: ({ attrs }) => void seen.push(attrs['id'] ?? '') });
    server.sendRaw(`<message xmlns='urn:other' from='a@xmpp.example' to='b@sip.xmpp.example' id='1'/>`);
    server.sendRaw(`<x:message xmlns:x='jabber:component:accept' id='2'/><strange id='3'/>`);
    server.sendRaw(`<message from='a@xmpp.example' to='b@sip.xmpp.example' id='4'/>`);
    await until(() => seen.length > 0, { what: 'the last comes', everyMs: 2 });
    assert.deepEqual(seen, ['4']);
  }));

test('link: the clock of the wall may jump, nothing expires for it', () =>
  withLink(async ({ link, server, clock }) => {
    await link.start(EVENTS);
    server.script.reflect = false;
    const sent = link.send(MESSAGE);
    await until(() => server.received.length === 1, { what: 'it is written', everyMs: 2 });
    const startMs = clock.nowMs();
    clock.nowMs = () => startMs + 86_400_000;
    await clock.advanceAsync(100);
    assert.equal(link.state().at, 'up');
    server.answering(true);
    await sent;
  }));
