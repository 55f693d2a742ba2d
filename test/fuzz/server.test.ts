import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PLACES, RunningApp, SteerableClock } from '../support/running-app.ts';
import { answerTo, headerOf, MessageSplitter, statusOf } from '../support/sip-wire.ts';
import { until } from '../support/until.ts';
import { PresencePhone } from '../support/presence-phone.ts';
import { FuzzRun } from './fuzz-run.ts';
import { MARKS, mutatedAnswer, mutatedNotify, serverCase } from './server-corpus.ts';

/**
 * Mutated SIP messages over UDP and TCP, mutated stanzas over the link and mutated answers, from strangers and from those
 * the server believes, against one whole server, while two users go on writing to each other and two go on publishing
 * and watching. A run is repeated as far as it does not hang on what the server has given out.
 */
const RUN = new FuzzRun({ seed: 3261, cases: 10_000 });

const BELIEVED = '127.0.0.67';
const BATCH = 25;
/** Cases between two that end the stream of the link. */
const BREAK_EVERY = 4_000;
const MIB = 1024 * 1024;
const GROWTH_BYTES_MAX = 24 * MIB;
const ANSWER_WITHIN_MS = 2_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Answers by whom and what, and messages on the link. */
const seen: Record<string, number> = {};
/** Faults seen, each with when. */
const faults: string[] = [];
let current = -1;
const fault = (what: string): void => {
  if (faults.length < 20) faults.push(`about case ${current}: ${what}`);
};

/** What the server has given out last: names of dialogs with the one that is believed, an entity-tag, an id of an iq. */
const given = { call: 'none', fromTag: 'none', toTag: 'none', etag: 'none', iq: 'none' };

/** Puts what was given out where a case has marks for it; the first two are half of the time not of one dialog. */
function withGiven(text: string): string {
  let out = text;
  for (const [name, mark] of Object.entries(MARKS)) out = out.replaceAll(mark, given[name as keyof typeof given]);
  return out;
}

function learn(answer: string, status: number): void {
  const tagOf = (name: string): string => /;tag=([^;\s>]{1,200})/.exec(headerOf(answer, name) ?? '')?.[1] ?? 'none';
  const etag = headerOf(answer, 'SIP-ETag');
  if (etag !== undefined) given.etag = etag;
  if (status !== 200 || headerOf(answer, 'CSeq')?.endsWith(' SUBSCRIBE') !== true) return;
  Object.assign(given, { call: headerOf(answer, 'Call-ID'), fromTag: tagOf('From'), toTag: tagOf('To') });
}

async function udpSocket(address: string, isBelieved: boolean): Promise<UdpSocket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * MIB });
  let answered = 0;
  socket.on('message', (bytes, from) => {
    const text = bytes.toString('latin1');
    const status = statusOf(text);
    if (status !== undefined) {
      checkAnswer(text, status, isBelieved);
      if (isBelieved) learn(text, status);
      return;
    }
    seen['notify'] = (seen['notify'] ?? 0) + Number(text.startsWith('NOTIFY '));
    answered += 1;
    socket.send(
      Buffer.from(mutatedAnswer(answerTo(text, '200 OK'), RUN.seed + answered), 'latin1'),
      from.port,
      from.address,
    );
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

/** Input is never the server's failure, and a stranger gets nothing done. */
function checkAnswer(text: string, status: number, isBelieved: boolean): void {
  // That one is about the order of requests in a dialog (RFC 3261, section 12.2.2).
  if (status === 500 && !text.startsWith('SIP/2.0 500 CSeq Out Of Order')) fault(`answered 500: ${text.slice(0, 300)}`);
  const kind = `${isBelieved ? 'believed' : 'stranger'} ${Math.floor(status / 100)}xx`;
  seen[kind] = (seen[kind] ?? 0) + 1;
  if (isBelieved || status < 200 || status >= 300) return;
  if (headerOf(text, 'CSeq')?.endsWith(' OPTIONS') !== true) fault(`a stranger was answered ${text.slice(0, 300)}`);
}

function overTcp(world: RunningApp, bytes: Buffer, isBelieved: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port: world.ports.tcp, host: PLACES.server, localAddress: isBelieved ? BELIEVED : PLACES.stranger }); // prettier-ignore
    const splitter = new MessageSplitter();
    socket.setEncoding('latin1').on('error', () => undefined);
    socket.on('data', (chunk: string) => {
      for (const answer of splitter.push(chunk)) checkAnswer(answer, statusOf(answer) ?? 0, isBelieved);
    });
    socket.on('close', () => resolve());
    socket.write(bytes, () => setTimeout(() => socket.destroy(), 30));
  });
}

/** A SIP peer that answers whatever comes to mind. */
async function wildPartner(port: number): Promise<{ close(): void }> {
  let answered = 0;
  const server = createServer((socket) => {
    const splitter = new MessageSplitter();
    socket.setEncoding('latin1').on('error', () => undefined);
    socket.on('data', (chunk: string) => {
      for (const request of splitter.push(chunk)) {
        answered += 1;
        if (statusOf(request) !== undefined) continue;
        socket.write(mutatedAnswer(answerTo(request, '200 OK'), RUN.seed - answered), 'latin1');
        if (!request.startsWith('SUBSCRIBE ')) continue;
        seen['upstream'] = (seen['upstream'] ?? 0) + 1;
        socket.write(mutatedNotify(request, RUN.seed + answered), 'latin1');
      }
    });
  });
  server.listen(port, PLACES.partner);
  await once(server, 'listening');
  return server;
}

/** Alice writes to bob again and again; gives the slowest answer, ms, and how many there were. */
function bystanders(world: RunningApp): { stop(): Promise<{ slowestMs: number; count: number }> } {
  const state = { isOver: false };
  const done = (async () => {
    const [alice, bob] = [await world.phone('alice'), await world.phone('bob')];
    assert.equal((await bob.register(86_400)).status, 200);
    let slowestMs = 0;
    let count = 0;
    while (!state.isOver) {
      const startedAt = performance.now();
      const { status } = await alice.write(bob.aor, `message ${count}`);
      const tookMs = performance.now() - startedAt;
      // 202 while time runs fast, and nobody's patience lasts.
      if (status !== 200 && status !== 202) fault(`alice was answered ${status}`);
      if (tookMs > ANSWER_WITHIN_MS) fault(`alice waited ${Math.round(tookMs)} ms`);
      slowestMs = Math.max(slowestMs, tookMs);
      count += 1;
      bob.received.length = 0;
      await new Promise((resume) => setTimeout(resume, 20));
    }
    return { slowestMs, count };
  })();
  return {
    stop: () => {
      state.isOver = true;
      return done;
    },
  };
}

/** Dave watches carol, who publishes again and again; gives the slowest of what he is told, ms, and how many there were. */
function watchingBystanders(
  world: RunningApp,
  clock: SteerableClock,
): { stop(): Promise<{ slowestMs: number; count: number }> } {
  const state = { isOver: false };
  const done = (async () => {
    const [carol, dave] = [new PresencePhone(await world.phone('carol')), new PresencePhone(await world.phone('dave'))];
    let watching = await dave.subscribe('sip:carol@sip.example', { expires: 120 });
    let askedAtMs = clock.nowMs();
    let slowestMs = 0;
    let count = 0;
    while (!state.isOver) {
      if (clock.nowMs() - askedAtMs > 40_000) {
        askedAtMs = clock.nowMs();
        const { status } = await watching.refresh(120);
        if (status !== 200) {
          // Only where time ran so fast that nobody could keep up with it.
          if (clock.speed === 1) fault(`dave was answered ${status}`);
          watching = await dave.subscribe('sip:carol@sip.example', { expires: 120 });
        }
      }
      dave.phone.received.length = 0;
      const startedAt = performance.now();
      const { status } = await carol.publish(`state ${count}`, 120);
      // Expired meanwhile: she begins anew.
      if (status !== 200 && status !== 412) fault(`carol was answered ${status}`);
      if (status === 200) {
        await watching.until(({ body }) => body.includes(`>state ${count}<`));
        const tookMs = performance.now() - startedAt;
        if (tookMs > ANSWER_WITHIN_MS) fault(`dave waited ${Math.round(tookMs)} ms`);
        slowestMs = Math.max(slowestMs, tookMs);
        count += 1;
      }
      await new Promise((resume) => setTimeout(resume, 20));
    }
    return { slowestMs, count };
  })();
  // Reported when it is waited for.
  done.catch((error: unknown) => fault(`dave and carol: ${String(error)}`));
  return {
    stop: () => {
      state.isOver = true;
      return done;
    },
  };
}

test(`a whole server: ${RUN.title}`, async () => {
  const unexpected = (error: unknown): void =>
    fault(`unexpected: ${error instanceof Error ? error.stack : String(error)}`);
  process.on('uncaughtException', unexpected);
  process.on('unhandledRejection', unexpected);
  const clock = new SteerableClock();
  const world = await RunningApp.start({
    clock,
    rateLimits: 'off',
    homeTrust: [BELIEVED],
    coreTrust: [BELIEVED],
    presence: 'default: allow, notifyIntervalSeconds: 0, expires: { min: 60, default: 60, max: 120 }',
    extra: 'queue: { lifetimeSeconds: 60, deadLetterSeconds: 0, rememberSeconds: 64 }\n',
    onLogLine: (line) => {
      if (line.includes('"level":"error"')) fault(line.slice(0, 1_500));
      if (/[\0-\x1f\x7f-\x9f\u2028\u2029\u202e]/.test(line.trimEnd())) fault(`raw controls in ${line.slice(0, 300)}`);
    },
  });
  const [believed, stranger] = [await udpSocket(BELIEVED, true), await udpSocket(PLACES.stranger, false)];
  const partner = await wildPartner(world.ports.partner);
  world.xmpp.onStanza = ({ name, attrs }) => {
    seen[name] = (seen[name] ?? 0) + 1;
    if (name === 'iq' && attrs['type'] === 'get') given.iq = attrs['id'] ?? 'none';
    if (!/^([^@]*@)?sip\.xmpp\.example(\/|$)/.test(attrs['from'] ?? '')) fault(`stanza from ${attrs['from'] ?? ''}`);
    const to = attrs['to'] ?? '';
    if (attrs['type'] === 'error' && /^([^@/]*@)?sip\.xmpp\.example(\/|$)/.test(to))
      fault(`an error to ourselves: ${to}`);
  };
  await Promise.all([
    world.rule('erin@sip.example', '*', 'polite-block'),
    world.rule('mallory@sip.example', '*', 'block'),
  ]);
  const others = bystanders(world);
  const watching = watchingBystanders(world, clock);
  const open = new Set<Promise<void>>();
  const held: string[] = [];
  let lastBreak = 0;
  let breaks = 0;

  const send = (number: number): void => {
    const next = serverCase(RUN.seed, number, believed.address().port);
    if (next.kind === 'stanza') {
      if (!next.breaks) held.push(withGiven(next.text));
      else if (number - lastBreak >= BREAK_EVERY || RUN.only !== undefined) {
        lastBreak = number;
        breaks += 1;
        world.xmpp.sendRaw(`${next.text}</never>`);
      }
    } else if (next.kind === 'udp') {
      const bytes = Buffer.from(withGiven(next.bytes.toString('latin1')), 'latin1');
      (next.isTrusted ? believed : stranger).send(bytes.subarray(0, 60_000), world.ports.udp, PLACES.server);
    } else {
      const bytes = Buffer.from(withGiven(next.bytes.toString('latin1')), 'latin1');
      const exchange = overTcp(world, bytes, next.isTrusted).finally(() => open.delete(exchange));
      open.add(exchange);
    }
  };
  const isUp = (): boolean => world.xmpp.connected && world.app.health().links['office']?.at === 'up';
  const run = async (from: number, to: number): Promise<void> => {
    for (let number = from; number < to; number += 1) {
      current = number;
      send(number);
      if (number % BATCH !== BATCH - 1) continue;
      if (isUp()) for (const text of held.splice(0)) world.xmpp.sendRaw(text);
      world.xmpp.stanzas.length = 0;
      await new Promise((resume) => setImmediate(resume));
      while (open.size > 40) await Promise.race(open);
      assert.deepEqual(faults, [], `FUZZ_SEED=${RUN.seed}`);
    }
    await Promise.all(open);
    await world.untilLinkUp(20_000);
    for (const text of held.splice(0)) world.xmpp.sendRaw(text);
  };
  /** Lets the time of everything accepted run out, and looks at what is left. */
  const settled = async (): Promise<number> => {
    clock.run(30);
    await until(() => world.app.health().queue.live <= 1, { what: 'an empty queue', withinMs: 20_000 });
    const nowMs = clock.nowMs();
    // All dialogs end, and the last answers to them.
    await until(() => clock.nowMs() - nowMs > 200_000, { what: 'time passes', withinMs: 20_000 });
    clock.run(1);
    await world.untilLinkUp(20_000);
    world.xmpp.stanzas.length = 0;
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };

  try {
    if (RUN.only !== undefined) {
      await run(RUN.only, RUN.only + 1);
      await settled();
    } else {
      const warm = Math.floor(RUN.cases / 4);
      await run(0, warm);
      const before = await settled();
      await run(warm, RUN.cases);
      let after = await settled();
      for (let more = 0; more < 3 && after - before > GROWTH_BYTES_MAX; more += 1) after = await settled();
      const { slowestMs, count } = await others.stop();
      const told = await watching.stop();
      const grown = Math.round((after - before) / MIB);
      console.log(
        `slowest answer ${Math.round(slowestMs)} ms of ${count}, slowest NOTIFY ${Math.round(told.slowestMs)} ms of ${told.count}, ${grown} MiB more, link ended ${breaks} times; ${JSON.stringify(seen)}`,
      );
      assert.ok(after - before < GROWTH_BYTES_MAX, `${grown} MiB more`);
      assert.ok(count > 10 && told.count > 10 && (breaks > 0 || RUN.cases < 2 * BREAK_EVERY));
      // A run that nobody lets in, or everybody, tests nothing.
      for (const kind of ['believed 2xx', 'believed 4xx', 'stranger 4xx', 'message', 'iq', 'presence', 'notify']) {
        assert.ok((seen[kind] ?? 0) > RUN.cases / 100, `${kind}: ${JSON.stringify(seen)}`);
      }
      // The link fell for no other reason.
      assert.ok(world.xmpp.handshakes <= 1 + breaks, `${world.xmpp.handshakes} handshakes after ${breaks} breaks`);
    }
    assert.deepEqual(faults, [], `FUZZ_SEED=${RUN.seed}`);
  } finally {
    clock.run(1);
    await others.stop().catch(() => undefined);
    await watching.stop().catch(() => undefined);
    believed.close();
    stranger.close();
    partner.close();
    await world.stop();
    process.off('uncaughtException', unexpected);
    process.off('unhandledRejection', unexpected);
  }
});
