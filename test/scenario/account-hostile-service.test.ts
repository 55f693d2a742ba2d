import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { securedSocket } from '../../src/xmpp/account/secured-socket.ts';
import type { AccountServerScript } from '../support/account-server.ts';
import { accountWorld, type AccountWorld } from '../support/account-world.ts';
import { needs } from '../support/peers.ts';

/** A service that wants to harm whoever has an account there. */
async function world(t: TestContext, script: Partial<AccountServerScript>): Promise<AccountWorld> {
  const made = await accountWorld();
  Object.assign(made.server.script, script);
  t.after(() => made.end());
  await Promise.race([
    made.link.start({ onStanza: () => undefined, onUp: () => undefined, onDown: () => undefined }),
    pause(3_000, undefined, { ref: false }),
  ]);
  return made;
}

describe('account: a hostile service', needs('openssl'), () => {
  test('account: that says success before anything was proved is not believed', async (t) => {
    const { link, server } = await world(t, { saysFirst: `<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>` });
    assert.match(link.state().reason ?? '', /something else than what belongs to a log-in now/);
    assert.equal(server.logins, 0);
  });

  for (const { what, script } of [
    { what: 'asks for the same proof again and again', script: { rounds: 500_000, challenges: 200 } },
    {
      what: 'offers its ways to log in again and again',
      script: {
        saysFirst: `<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>`,
      },
    },
  ]) {
    test(`account: that ${what} makes us work once`, async (t) => {
      const { link } = await world(t, script);
      assert.match(link.state().reason ?? '', /something else than what belongs to a log-in now/);
      // Keys are derived by the threads that everything else of the process needs, too.
      const cpuMs = process.cpuUsage().user / 1_000;
      await pause(300);
      assert.ok(process.cpuUsage().user / 1_000 - cpuMs < 900, 'no keys are derived any more');
    });
  }

  test('account: that asks on and on and reads no answer is not read from', async (t) => {
    const { link, server } = await world(t, { counts: 'yes' });
    assert.equal(link.state().at, 'up');
    server.freeze();
    let answers = 0;
    const write = Reflect.get(Duplex.prototype, 'write') as (...given: unknown[]) => boolean;
    t.mock.method(Duplex.prototype, 'write', function (this: Duplex, ...given: unknown[]) {
      if (String(given[0]).startsWith('<a ')) answers += 1;
      return Reflect.apply(write, this, given);
    });
    const asked = `<r xmlns='urn:xmpp:sm:3'/>`.repeat(1_000);
    for (let times = 0; times < 400; times += 1) server.sendRaw(asked);
    let before = -1;
    while (before !== answers) {
      before = answers;
      await pause(200);
    }
    // What the system holds for a reader that does not read, and little more.
    assert.ok(answers > 1_000 && answers < 300_000, `${answers} answers`);
    assert.equal(link.state().at, 'up');
    server.drop();
  });

  test('account: that does not say at once that TLS begins costs no time', async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(
        `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>`,
      );
      socket.on('data', (bytes) => {
        if (bytes.includes('<starttls')) socket.write(`proceed>${' '.repeat(30_000)}`.repeat(2));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const options = { domain: 'chat.example', streamTo: 'chat.example' };
    const target = { host: '127.0.0.1', port, isDirect: false };
    const cpuMs = process.cpuUsage().user / 1_000;
    await assert.rejects(securedSocket(target, '127.0.0.1', options, AbortSignal.timeout(10_000)), /bad input/);
    assert.ok(process.cpuUsage().user / 1_000 - cpuMs < 300, 'read once');
  });

  for (const said of [
    '<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/><a/>',
    '<proceed ></proceed >\n x',
    '<proceed/>\u0016',
  ]) {
    test(`account: that says more in the clear than that TLS begins is left: ${JSON.stringify(said)}`, async (t) => {
      const server = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.write(
          `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>`,
        );
        socket.on('data', (bytes) => {
          if (bytes.includes('<starttls')) socket.write(said);
        });
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => void server.close());
      const { port } = server.address() as AddressInfo;
      const options = { domain: 'chat.example', streamTo: 'chat.example' };
      const target = { host: '127.0.0.1', port, isDirect: false };
      await assert.rejects(
        securedSocket(target, '127.0.0.1', options, AbortSignal.timeout(5_000)),
        /said more than that TLS begins/,
      );
    });
  }
});
