import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { XmlElement } from '../../src/cpim/xml.ts';
import type { S2sOptions } from '../../src/xmpp/link-s2s.ts';
import { needs } from '../support/peers.ts';
import { RawStream, type RawStreamOptions } from '../support/s2s-peer.ts';
import { FAR, OWN, s2sWorld, type S2sWorld } from '../support/s2s-world.ts';
import { testAuthority, testCertificate } from '../support/self-signed.ts';
import { until } from '../support/until.ts';

const OURS = testCertificate([`DNS:${OWN}`]);
const THEIRS = testCertificate([`DNS:${FAR}`]);
const LISTEN = [
  { transport: 'tcp', address: '127.0.0.1', port: 0 },
  { transport: 'tls', address: '127.0.0.1', port: 0 },
] as const;

type Stage = S2sWorld & {
  readonly stanzas: XmlElement[];
  readonly raw: (options?: Partial<RawStreamOptions>) => Promise<RawStream>;
};

/** Our server, with a scripted one of the peer that says of every key that it is its own; the link is started. */
async function stage(
  t: TestContext,
  more: Partial<S2sOptions> = {},
  limits: S2sOptions['limits'] = {},
): Promise<Stage> {
  const world = await s2sWorld({
    more: { listen: LISTEN, certificate: OURS, ca: testAuthority().certificate, ...more },
    limits,
  });
  world.wanted = false;
  const stanzas: XmlElement[] = [];
  const streams: RawStream[] = [];
  await world.link.start({
    onStanza: (stanza) => void stanzas.push(stanza),
    onUp: () => undefined,
    onDown: () => undefined,
  });
  t.after(async () => {
    for (const stream of streams) stream.end();
    await world.end();
  });
  return {
    ...world,
    stanzas,
    async raw(options = {}) {
      const stream = await RawStream.open({ port: world.port, from: FAR, to: OWN, ...options });
      streams.push(stream);
      return stream;
    },
  };
}

const peerWith = (security: 'certificate' | 'dialback-over-tls' | 'dialback', port = 9) => ({
  peers: [{ domain: FAR, security, nextHop: { host: '127.0.0.1', port, isTls: false } }],
});

const message = (from: string, to = `romeo@${OWN}`): string =>
  `<message from='${from}' to='${to}' id='m1'><body>hello</body></message>`;

/** Why the peer has not proved its domain, as the log says it: once, however often it is tried. */
function unprovedReason({ log }: Pick<S2sWorld, 'log'>): string {
  const lines = log.lines.filter((line) => line.message === 'peer has not proved its domain' && line.level === 'warn');
  assert.deepEqual(
    lines.map(({ fields }) => fields.peer),
    [FAR],
  );
  return lines.map(({ fields }) => String(fields['reason'])).join();
}

const featuresOf = (features: XmlElement): string[] =>
  features.children.map((child) => (typeof child === 'string' ? child : child.name));

describe('s2s: streams that are opened to us', needs('openssl'), () => {
  test('s2s: a peer that asks for a certificate in its policy is offered TLS and nothing else', async (t) => {
    const { raw } = await stage(t, peerWith('certificate'));
    const stream = await raw();
    const features = await stream.features();
    assert.deepEqual(featuresOf(features), ['starttls']);
    assert.match(JSON.stringify(features), /required/);
  });

  test('s2s: EXTERNAL with a certificate for the domain: its stanzas come', async (t) => {
    const { raw, stanzas } = await stage(t, peerWith('certificate'));
    const stream = await raw({ certificate: THEIRS });
    await stream.features();
    await stream.startTls();
    assert.equal(await stream.external(), 'success');
    stream.write(message(`juliet@${FAR}`));
    await until(() => stanzas.length === 1, { what: 'the stanza is in' });
  });

  test('s2s: direct TLS is TLS from the first byte', async (t) => {
    const { raw, stanzas, federation } = await stage(t, peerWith('certificate'));
    const port = federation.listening.find(({ transport }) => transport === 'tls')?.port ?? 0;
    const stream = await raw({ port, directTls: true, certificate: THEIRS });
    assert.ok(featuresOf(await stream.features()).includes('mechanisms'));
    assert.equal(await stream.external(), 'success');
    stream.write(message(`juliet@${FAR}`));
    await until(() => stanzas.length === 1, { what: 'the stanza is in' });
  });

  for (const { what, certificate } of [
    { what: 'a certificate for another domain', certificate: testCertificate(['DNS:other.example']) },
    {
      what: 'a certificate of another authority',
      certificate: testCertificate([`DNS:${FAR}`], { by: testAuthority('nobody') }),
    },
    { what: 'no certificate', certificate: undefined },
  ]) {
    test(`s2s: ${what} proves nothing, and dialback does not make up for it`, async (t) => {
      const { raw, stanzas, peer, log } = await stage(t, peerWith('certificate'));
      const stream = await raw(certificate === undefined ? {} : { certificate });
      await stream.features();
      await stream.startTls();
      assert.equal(await stream.external(), 'failure');
      stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
      const answer = await stream.until('db:result');
      assert.equal(answer.attrs['type'], 'error');
      stream.write(message(`juliet@${FAR}`));
      assert.equal(await stream.streamError(), 'not-authorized');
      assert.deepEqual(stanzas, []);
      assert.equal(peer.connections, 0);
      assert.match(unprovedReason({ log }), /^its certificate is not (?:for xmpp\.example|to be trusted \(.+\))/);
    });
  }

  test('s2s: a peer whose policy wants TLS cannot leave it out', async (t) => {
    const { raw, peer } = await stage(t, peerWith('dialback-over-tls'));
    const stream = await raw();
    assert.deepEqual(featuresOf(await stream.features()), ['starttls']);
    stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
    const answer = await stream.until('db:result');
    assert.equal(answer.attrs['type'], 'error');
    assert.match(JSON.stringify(answer), /policy-violation/);
    assert.equal(peer.connections, 0, 'nobody was asked about the key');
  });

  test('s2s: what was sent in the clear behind STARTTLS is thrown away', async (t) => {
    const { raw, stanzas } = await stage(t, peerWith('dialback'));
    const stream = await raw({ certificate: THEIRS });
    await stream.features();
    stream.write(
      `<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><db:result from='${FAR}' to='${OWN}'>k</db:result>${message(`juliet@${FAR}`)}`,
    );
    await until(() => stream.isClosed || stream.elements.some(({ name }) => name === 'proceed'), { what: 'an answer' });
    assert.deepEqual(stanzas, []);
  });

  test('s2s: nobody speaks before he has proved who he is', async (t) => {
    const { raw, stanzas } = await stage(t);
    const stream = await raw();
    await stream.features();
    stream.write(message(`juliet@${FAR}`));
    assert.equal(await stream.streamError(), 'not-authorized');
    assert.deepEqual(stanzas, []);
  });

  test('s2s: a key that the peer calls its own proves it; a from of another domain ends the stream', async (t) => {
    const world = await stage(t);
    const stream = await provedByDialback(world);
    stream.write(message(`juliet@${FAR}`));
    await until(() => world.stanzas.length === 1, { what: 'the stanza is in' });
    stream.write(message('mallory@other.example'));
    assert.equal(await stream.streamError(), 'invalid-from');
    assert.equal(world.stanzas.length, 1);
  });

  for (const { from, what } of [
    { from: `romeo@${OWN}`, what: 'our own domain' },
    { from: `juliet@sub.${FAR}`, what: 'a domain below the proved one' },
    { from: 'no jid at all@', what: 'what is no address' },
  ]) {
    test(`s2s: a stanza from ${what} ends the stream`, async (t) => {
      const world = await stage(t);
      const stream = await provedByDialback(world);
      stream.write(message(from));
      assert.equal(await stream.streamError(), 'invalid-from');
      assert.deepEqual(world.stanzas, []);
    });
  }

  test('s2s: a stanza for nobody of ours is answered, and harms nobody else', async (t) => {
    const world = await stage(t);
    const stream = await provedByDialback(world);
    stream.write(message(`juliet@${FAR}`, 'someone@elsewhere.example'));
    stream.write(message(`juliet@${FAR}`));
    await until(() => world.stanzas.length === 1, { what: 'the next one is in' });
    await until(() => world.peer.received.some(({ attrs }) => attrs['type'] === 'error'), { what: 'the error is out' });
  });

  test('s2s: a key that the peer does not call its own proves nothing', async (t) => {
    const world = await stage(t);
    const stream = await world.raw();
    await stream.features();
    world.peer.verdictOfKeys = 'invalid';
    stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
    assert.equal((await stream.until('db:result')).attrs['type'], 'invalid');
    stream.write(message(`juliet@${FAR}`));
    assert.equal(await stream.streamError(), 'not-authorized');
    assert.match(
      unprovedReason(world),
      /^the server that DNS or `nextHop` gives for it does not know its dialback key/,
    );
  });

  test("s2s: while the peer's server cannot be asked, its key is neither valid nor invalid", async (t) => {
    const world = await stage(t);
    await world.peer.stop();
    const stream = await world.raw();
    await stream.features();
    stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
    const answer = await stream.until('db:result');
    assert.equal(answer.attrs['type'], 'error');
    assert.match(
      unprovedReason(world),
      /could not be checked with its server \(127\.0\.0\.1:\d+: nobody listens there\)/,
    );
    await world.peer.start();
  });

  test('s2s: an answer to a question that was never asked ends the stream', async (t) => {
    const { raw, stanzas } = await stage(t);
    const stream = await raw();
    await stream.features();
    stream.write(`<db:verify from='${FAR}' to='${OWN}' id='1' type='valid'/>`);
    assert.equal(await stream.streamError(), 'invalid-from');
    assert.deepEqual(stanzas, []);
  });

  test('s2s: we say of a key what is true, to whoever asks, and keep nothing of it', async (t) => {
    const { raw } = await stage(t);
    const stream = await raw();
    await stream.features();
    stream.write(`<db:verify from='${FAR}' to='${OWN}' id='abc'>0123</db:verify>`);
    const answer = await stream.until('db:verify');
    assert.equal(answer.attrs['type'], 'invalid');
    assert.equal(answer.attrs['id'], 'abc');
    stream.write(`<db:verify from='${FAR}' to='other.example' id='abc'>0123</db:verify>`);
    assert.equal((await stream.until('db:verify')).attrs['type'], 'error');
  });

  for (const { what, options, condition } of [
    { what: 'a domain that is no peer', options: { from: 'stranger.example' }, condition: 'policy-violation' },
    { what: 'a domain that is not ours', options: { to: 'other.example' }, condition: 'host-unknown' },
  ]) {
    test(`s2s: a stream with ${what} in its header ends there`, async (t) => {
      const { raw, peer } = await stage(t);
      const stream = await raw(options);
      assert.equal(await stream.streamError(), condition);
      assert.equal(peer.connections, 0);
    });
  }

  for (const { what, text, condition } of [
    {
      what: 'a header of another protocol',
      text: "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
      condition: 'invalid-namespace',
    },
    {
      what: 'no version',
      text: "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>",
      condition: 'unsupported-version',
    },
    { what: 'a DTD', text: '<!DOCTYPE x [<!ENTITY a "b">]>', condition: 'restricted-xml' },
    { what: 'what is no XML', text: 'GET / HTTP/1.1\r\n\r\n', condition: 'not-well-formed' },
  ]) {
    test(`s2s: ${what} ends the stream with ${condition}`, async (t) => {
      const { port } = await stage(t);
      const stream = await RawStream.bare(port);
      stream.write(text);
      assert.equal(await stream.streamError(), condition);
    });
  }

  test('s2s: before anybody has proved who he is only little may be said', async (t) => {
    const { raw } = await stage(t);
    const stream = await raw();
    await stream.features();
    stream.write(`<db:result from='${FAR}' to='${OWN}'>${'k'.repeat(20_000)}</db:result>`);
    assert.equal(await stream.streamError(), 'policy-violation');
  });

  test('s2s: who does not prove who he is in time is sent away', async (t) => {
    const { raw, clock } = await stage(t, {}, { authenticateMs: 5_000 });
    const stream = await raw();
    await stream.features();
    clock.advance(6_000);
    assert.equal(await stream.streamError(), 'connection-timeout');
  });

  test('s2s: one address has so many streams and no more, and others still get in', async (t) => {
    const { raw, federation } = await stage(t, {}, { streamsPerAddress: 3 });
    for (let n = 0; n < 3; n += 1) await (await raw()).features();
    const fourth = await raw();
    assert.equal(await fourth.streamError(), 'resource-constraint');
    assert.equal(federation.streamCount, 3);
  });

  test('s2s: so many streams on which nobody has proved who he is, and no more', async (t) => {
    const { raw } = await stage(t, {}, { unproved: 2 });
    const first = await raw();
    await first.features();
    await (await raw()).features();
    assert.equal(await (await raw()).streamError(), 'resource-constraint');
    first.end();
    await until(
      async () => {
        const stream = await raw();
        const { name } = await stream.until('stream:features', 'stream:error');
        return name === 'stream:features';
      },
      { what: 'there is room again', everyMs: 50 },
    );
  });

  test('s2s: many domains of the peer may be proved on one stream, each for itself', async (t) => {
    const second = 'second.example';
    const world = await s2sWorld({});
    world.wanted = false;
    t.after(() => world.end());
    await world.link.start({ onStanza: () => undefined, onUp: () => undefined, onDown: () => undefined });
    const stream = await RawStream.open({ port: world.port, from: FAR, to: OWN });
    t.after(() => stream.end());
    await stream.features();
    stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
    assert.equal((await stream.until('db:result')).attrs['type'], 'valid');
    // One that is no peer is refused by itself, and the stream goes on.
    stream.write(`<db:result from='${second}' to='${OWN}'>key</db:result>`);
    const answer = await stream.until('db:result');
    assert.equal(answer.attrs['type'], 'error');
    assert.equal(stream.isClosed, false);
  });
});

async function provedByDialback(world: Stage): Promise<RawStream> {
  const stream = await world.raw();
  await stream.features();
  stream.write(`<db:result from='${FAR}' to='${OWN}'>key</db:result>`);
  assert.equal((await stream.until('db:result')).attrs['type'], 'valid');
  return stream;
}
