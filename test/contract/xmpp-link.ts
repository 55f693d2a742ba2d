import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import { textOf, type XmlElement } from '../../src/cpim/xml.ts';
import type { LinkEvents, XmppLink } from '../../src/xmpp/link.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { until } from '../support/until.ts';

/** The far side of a link, as the contract drives it. */
export type LinkPeer = {
  /** Stanzas taken, pings left out, oldest first. */
  readonly received: readonly XmlElement[];
  /** How many streams have ever been opened on it with success. */
  readonly handshakes: number;
  send(stanza: XmlElement): void;
  sendRaw(data: string | Buffer): void;
  /** Cuts the stream. */
  drop(): void;
  /** Listens no more, and again. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Whether pings are answered. */
  answering(answers: boolean): void;
  /** Reads nothing, and reads on. */
  freeze(): void;
  thaw(): void;
};

/** The bounds that links of the contract are made with. */
export const LINK_LIMITS = { window: 300, inboundMax: 20, stanzaBytesMax: 65_536, answerBytesMax: 200_000 };

export type LinkWorld = {
  readonly link: XmppLink;
  readonly peer: LinkPeer;
  readonly clock: FakeClock;
  /** A domain of ours on the link, and one of the peer. */
  readonly own: string;
  readonly far: string;
  /** Whether the peer takes the secret that the link has. */
  readonly trusting: (trusts: boolean) => void;
  /** How it tries again: the bounds of its longest pause, and how often within two minutes; 3 to 5 s when absent. */
  readonly pace?: { readonly longestMs: readonly [number, number]; readonly tries: readonly [number, number] };
  /** Gives the link the right secret anew: of one that does not try again by itself. */
  readonly mend?: () => void;
  readonly end: () => Promise<void>;
};

type Seen = { readonly stanzas: XmlElement[]; readonly changes: string[]; hold: (() => Promise<void>) | undefined };

/** The promises of XmppLink, run against one implementation. `make` gives a link that is not started, and its peer. */
export function xmppLinkContract(name: string, make: () => Promise<LinkWorld>): void {
  const promise = (number: number, text: string, run: (world: LinkWorld, seen: Seen) => Promise<void>): void => {
    void it(`${number}: ${text}`, async () => {
      const world = await make();
      const seen: Seen = { stanzas: [], changes: [], hold: undefined };
      const events: LinkEvents = {
        onStanza: (stanza) => {
          seen.stanzas.push(stanza);
          return seen.hold?.();
        },
        onUp: () => void seen.changes.push('up'),
        onDown: () => void seen.changes.push('down'),
      };
      try {
        await world.link.start(events);
        await run(world, seen);
      } finally {
        await world.end();
      }
    });
  };

  void describe(`${name} keeps the promises of XmppLink`, () => {
    promise(1, 'send resolves only when the far side has answered a later ping', async (world) => {
      world.peer.answering(false);
      const outcome = watched(world.link.send(aMessage(world, 'a')));
      await until(() => world.peer.received.length === 1, { what: 'the stanza is written', everyMs: 2 });
      await world.clock.advanceAsync(1_000);
      assert.equal(outcome.state, 'pending');
      assert.equal(world.link.state().unconfirmed, 1);
      world.peer.answering(true);
      await outcome.end;
      assert.equal(outcome.state, 'resolved');
      assert.equal(world.link.state().unconfirmed, 0);
    });

    promise(
      2,
      'send rejects when the link goes down before that, and at once while it is down',
      async (world, seen) => {
        world.peer.answering(false);
        const early = watched(world.link.send(aMessage(world, 'a')));
        await until(() => world.peer.received.length === 1, { what: 'the stanza is written', everyMs: 2 });
        world.peer.drop();
        await early.end;
        assert.equal(early.code, 'peer-unreachable');
        assert.deepEqual(seen.changes, ['up', 'down']);
        const late = watched(world.link.send(aMessage(world, 'b')));
        await late.end;
        assert.equal(late.code, 'peer-unreachable');
        world.peer.answering(true);
        await comesBack(world, 2);
        await world.link.send(aMessage(world, 'c'));
        assert.deepEqual(bodies(world.peer.received), ['a', 'c']);
      },
    );

    promise(3, 'stanzas leave in order, and all after a lost one are lost too, in order', async (world) => {
      world.peer.answering(false);
      const order: string[] = [];
      const many = Array.from({ length: LINK_LIMITS.window + 10 }, (_, n) => `${n}`);
      const ends = many.map((body) =>
        world.link.send(aMessage(world, body)).catch((thrown: unknown) => {
          order.push(`${body} ${GatewayError.of(thrown).code}`);
        }),
      );
      await until(() => world.peer.received.length === LINK_LIMITS.window, { what: 'a window is written', everyMs: 2 });
      assert.deepEqual(bodies(world.peer.received), many.slice(0, LINK_LIMITS.window));
      world.peer.drop();
      await Promise.all(ends);
      assert.deepEqual(
        order,
        many.map((body) => `${body} peer-unreachable`),
      );
    });

    promise(4, 'no stanza given to it ends the stream', async (world) => {
      const own = `romeo@${world.own}`;
      const refused: Array<[XmlElement, string]> = [
        [aMessage(world, 'x'.repeat(LINK_LIMITS.stanzaBytesMax)), 'content-too-large'],
        [
          { name: 'message', attrs: { from: `romeo@evil.example`, to: `juliet@${world.far}` }, children: [] },
          'internal',
        ],
        [{ name: 'message', attrs: { to: `juliet@${world.far}` }, children: [] }, 'internal'],
        [{ name: 'message', attrs: { from: own }, children: [] }, 'internal'],
        [{ name: 'message', attrs: { from: own, to: `juliet x@${world.far}` }, children: [] }, 'internal'],
        [
          { name: 'message', attrs: { from: `ro\u0001meo@${world.own}`, to: `juliet@${world.far}` }, children: [] },
          'internal',
        ],
        [{ name: 'stream:error', attrs: { from: own, to: `juliet@${world.far}` }, children: [] }, 'internal'],
        [{ name: 'message', attrs: { from: own, to: `juliet@${world.far}`, 'a b': '' }, children: [] }, 'internal'],
      ];
      for (const [stanza, code] of refused) {
        const outcome = watched(world.link.send(stanza));
        await outcome.end;
        assert.equal(outcome.code, code);
        world.link.post(stanza);
      }
      await world.link.send(aMessage(world, 'a\u0000b\u0001c\uFFFEd\uD800e]]>&<'));
      assert.deepEqual(bodies(world.peer.received), ['a\uFFFDb\uFFFDc\uFFFDd\uFFFDe]]>&<']);
      assert.equal(world.peer.handshakes, 1);
    });

    promise(
      5,
      'input that is no bounded, well-formed XML ends the stream, which is opened again',
      async (world, seen) => {
        await world.link.send(aMessage(world, 'a'));
        const faults: Array<string | Buffer> = [
          '<message from="a@far.example"><body>&nope;</body></message>',
          '<!DOCTYPE x [<!ENTITY a "b">]>',
          `<message><body>${'x'.repeat(LINK_LIMITS.stanzaBytesMax)}</body></message>`,
          '<a>'.repeat(5_000),
          Buffer.from([0x3c, 0x6d, 0xff, 0xfe, 0x3e]),
          '<message from="a" from="b"/>',
          '<x:message/>',
          '<message></body>',
          '<!-- comment -->',
        ];
        for (const [n, fault] of faults.entries()) {
          world.peer.sendRaw(fault);
          await until(() => seen.changes.length === 2 * n + 2, { what: `the stream ends for fault ${n}`, everyMs: 2 });
          await comesBack(world, n + 2);
        }
        assert.deepEqual(seen.stanzas, []);
        await world.link.send(aMessage(world, 'still here'));
      },
    );

    promise(6, 'a lost link is tried again with growing pauses, and is back within 30 s of its peer', async (world) => {
      await world.peer.stop();
      await until(() => world.link.state().at === 'down', { what: 'the loss is seen', everyMs: 2 });
      // Each failed try begins a new time of being down.
      const tries = [world.link.state().sinceMs];
      for (let ms = 0; ms < 120_000; ms += 250) {
        await world.clock.advanceAsync(250);
        await until(() => world.link.state().at === 'down', { what: 'the try fails', everyMs: 1 });
        const { sinceMs } = world.link.state();
        if (sinceMs !== tries.at(-1)) tries.push(sinceMs);
      }
      const pauses = tries.slice(1).map((ms, n) => ms - (tries[n] ?? 0));
      const { longestMs, tries: count } = world.pace ?? { longestMs: [3_000, 5_250], tries: [20, 60] };
      assert.ok(pauses.length >= count[0] && pauses.length <= count[1], `tries after ${pauses.join(', ')} ms`);
      assert.ok((pauses[0] ?? 0) <= 1_000, `first after ${pauses[0] ?? '-'} ms`);
      const longest = Math.max(...pauses);
      assert.ok(longest > longestMs[0] && longest <= longestMs[1], `longest ${longest} ms`);
      await world.peer.start();
      await comesBack(world, 2, 30_000);
      // A refusal for the wrong secret is told in words, and is tried again too.
      world.trusting(false);
      world.peer.drop();
      await until(
        async () => {
          await world.clock.advanceAsync(1_000);
          return /secret|password/.test(world.link.state().reason ?? '');
        },
        { what: 'the reason is told', everyMs: 2 },
      );
      world.trusting(true);
      if (world.mend !== undefined) {
        await world.clock.advanceAsync(120_000);
        assert.equal(world.peer.handshakes, 2, 'it does not try again by itself');
        world.mend();
      }
      await comesBack(world, 3, 30_000);
    });

    promise(7, 'at most a window waits for confirmation, the rest waits in memory, in order', async (world) => {
      world.peer.answering(false);
      const bodiesSent = Array.from({ length: LINK_LIMITS.window * 3 }, (_, n) => `${n}`);
      const ends = bodiesSent.map((body) => world.link.send(aMessage(world, body)));
      await until(() => world.peer.received.length === LINK_LIMITS.window, { what: 'a window is written', everyMs: 2 });
      await world.clock.advanceAsync(500);
      assert.equal(world.link.state().unconfirmed, LINK_LIMITS.window);
      assert.equal(world.peer.received.length, LINK_LIMITS.window);
      world.peer.answering(true);
      await Promise.all(ends);
      assert.deepEqual(bodies(world.peer.received), bodiesSent);
    });

    promise(8, 'stanzas come in in order, text intact, however they are cut', async (world, seen) => {
      const texts = ['plain', 'žluťoučký kůň', '日本語', 'שלום עולם', '👩‍👩‍👧 😀', 'a & b < c\r\nd'];
      const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
      const bytes = Buffer.from(
        texts
          .map(
            (text) =>
              `<message from='juliet@${world.far}' to='romeo@${world.own}'><body>${escaped(text)}</body></message>`,
          )
          .join(''),
      );
      // With no ping under way nothing else gets in between.
      await world.link.send(aMessage(world, 'a'));
      for (let at = 0; at < bytes.length; at += 1) {
        world.peer.sendRaw(bytes.subarray(at, at + 1));
        if (at % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await until(() => seen.stanzas.length === texts.length, { what: 'all are in', everyMs: 2 });
      assert.deepEqual(bodies(seen.stanzas), [...texts.slice(0, -1), 'a & b < c\nd']);
    });

    promise(9, 'stop waits for unconfirmed stanzas, ends the stream, connects no more', async (world, seen) => {
      world.peer.answering(false);
      const taken = watched(world.link.send(aMessage(world, 'a')));
      const stopped = watched(world.link.stop(5_000));
      await until(() => world.peer.received.length === 1, { what: 'the stanza is written', everyMs: 2 });
      await world.clock.advanceAsync(1_000);
      assert.equal(stopped.state, 'pending');
      world.peer.answering(true);
      await stopped.end;
      assert.equal(taken.state, 'resolved');
      assert.equal(world.link.state().at, 'stopped');
      await world.clock.advanceAsync(120_000);
      assert.equal(world.peer.handshakes, 1);
      assert.deepEqual(seen.changes, ['up', 'down']);
      const late = watched(world.link.send(aMessage(world, 'b')));
      await late.end;
      assert.equal(late.code, 'peer-unreachable');
    });

    promise(
      9,
      'stop also waits for those that wait for their turn, and writes answers before it closes',
      async (world) => {
        await world.link.send(aMessage(world, 'shows that this peer answers pings'));
        world.peer.answering(false);
        const sent = Array.from({ length: LINK_LIMITS.window + 10 }, (_, n) => `${n}`);
        const ends = sent.map((body) => world.link.send(aMessage(world, body)));
        const stopped = world.link.stop(5_000);
        world.link.post(aMessage(world, 'answer while it stops'));
        const all = LINK_LIMITS.window + 2;
        await until(() => world.peer.received.length === all, { what: 'a window is written', everyMs: 2 });
        world.peer.answering(true);
        await Promise.all(ends);
        await stopped;
        const seen = bodies(world.peer.received).filter((body) => /^[0-9]+$/.test(body));
        assert.deepEqual(seen, sent);
        assert.ok(bodies(world.peer.received).includes('answer while it stops'));
      },
    );

    promise(9, 'answers given just before stop are written', async (world) => {
      await world.link.send(aMessage(world, 'a'));
      world.link.post(aMessage(world, 'answer'));
      await world.link.stop(5_000);
      await until(() => bodies(world.peer.received).includes('answer'), { what: 'the answer is in', everyMs: 2 });
    });

    promise(9, 'stop waits no longer than its grace', async (world) => {
      await world.link.send(aMessage(world, 'shows that this peer answers pings'));
      world.peer.answering(false);
      const lost = watched(world.link.send(aMessage(world, 'a')));
      const stopped = watched(world.link.stop(5_000));
      await until(() => world.peer.received.length === 2, { what: 'the stanza is written', everyMs: 2 });
      await world.clock.advanceAsync(5_000);
      await stopped.end;
      await lost.end;
      assert.equal(lost.code, 'peer-unreachable');
    });

    promise(10, 'post writes outside the window, and drops while the link is down', async (world) => {
      world.peer.answering(false);
      const ends = Array.from({ length: LINK_LIMITS.window + 1 }, (_, n) =>
        world.link.send(aMessage(world, `${n}`)).catch(() => undefined),
      );
      await until(() => world.peer.received.length === LINK_LIMITS.window, { what: 'a window is written', everyMs: 2 });
      world.link.post(aMessage(world, 'answer'));
      await until(() => bodies(world.peer.received).includes('answer'), { what: 'the answer is written', everyMs: 2 });
      world.peer.drop();
      await Promise.all(ends);
      world.link.post(aMessage(world, 'lost answer'));
      world.peer.answering(true);
      await comesBack(world, 2);
      await world.link.send(aMessage(world, 'after'));
      assert.equal(bodies(world.peer.received).includes('lost answer'), false);
    });

    promise(11, 'nothing more is read while many stanzas are under way', async (world, seen) => {
      const held: Array<() => void> = [];
      seen.hold = () => new Promise((resolve) => held.push(resolve));
      // Large ones, so that not all of them fit into one read.
      const filling = 'x'.repeat(4_096);
      const total = LINK_LIMITS.inboundMax * 20;
      for (let n = 0; n < total; n += 1) {
        const attrs = { from: `juliet@${world.far}`, to: `romeo@${world.own}`, id: `${n}` };
        world.peer.send({ name: 'message', attrs, children: [{ name: 'body', attrs: {}, children: [filling] }] });
      }
      await until(() => held.length > LINK_LIMITS.inboundMax, { what: 'the bound is reached', everyMs: 2 });
      for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      assert.ok(held.length < total / 2, `${held.length} of ${total} under way at once`);
      await until(
        () => {
          for (const release of held.splice(0)) release();
          return seen.stanzas.length === total;
        },
        { what: 'all are read in the end', everyMs: 1 },
      );
      assert.deepEqual(
        seen.stanzas.map(({ attrs }) => Number(attrs['id'])),
        Array.from({ length: total }, (_, n) => n),
      );
    });

    promise(11, 'a peer that does not read its answers is not read either', async (world, seen) => {
      world.peer.freeze();
      let answered = 0;
      seen.hold = () => {
        answered += 1;
        world.link.post(aMessage(world, 'x'.repeat(50_000)));
        return Promise.resolve();
      };
      const total = 600;
      const ask = aMessage(world, 'x'.repeat(1_000));
      for (let n = 0; n < total; n += 1) {
        world.peer.send({ ...ask, attrs: { from: `juliet@${world.far}`, to: `romeo@${world.own}` } });
      }
      await until(() => answered > 0, { what: 'reading begins', everyMs: 2 });
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const before = answered;
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(answered, before);
      assert.ok(answered < total, `${answered} of ${total} answered into memory`);
      world.peer.thaw();
      await until(() => answered === total, { what: 'reading goes on', everyMs: 2 });
    });
  });
}

function aMessage(world: LinkWorld, body: string): XmlElement {
  return {
    name: 'message',
    attrs: { from: `romeo@${world.own}`, to: `juliet@${world.far}` },
    children: [{ name: 'body', attrs: {}, children: [body] }],
  };
}

function bodies(stanzas: readonly XmlElement[]): string[] {
  return stanzas.map((stanza) => {
    const body = stanza.children.find((child) => typeof child !== 'string' && child.name === 'body');
    return body === undefined || typeof body === 'string' ? '' : textOf(body);
  });
}

type Watched = { state: 'pending' | 'resolved' | 'rejected'; code?: string; readonly end: Promise<void> };

function watched(promise: Promise<void>): Watched {
  const outcome: Watched = {
    state: 'pending',
    end: promise.then(
      () => {
        outcome.state = 'resolved';
      },
      (thrown: unknown) => {
        outcome.state = 'rejected';
        outcome.code = GatewayError.of(thrown).code;
      },
    ),
  };
  return outcome;
}

/** Moves the time until the link has been opened so often; fails when that takes longer than it may. */
async function comesBack(world: LinkWorld, handshakes: number, withinMs = 16_000): Promise<void> {
  let ms = 0;
  await until(
    async () => {
      if (world.peer.handshakes >= handshakes && world.link.state().at === 'up') return true;
      // Time stands still while a try is under way, because the sockets' time is not the clock's.
      if (world.link.state().at === 'down') {
        ms += 250;
        assert.ok(ms <= withinMs, `not back after ${ms} ms`);
        await world.clock.advanceAsync(250);
      }
      return false;
    },
    { what: 'the link is back', everyMs: 1 },
  );
}
