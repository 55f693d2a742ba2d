import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import { childOf, textOf, type XmlElement } from '../../src/cpim/xml.ts';
import { S2sFederation, type S2sOptions } from '../../src/xmpp/link-s2s.ts';
import type { PairLink } from '../../src/xmpp/s2s/pair-link.ts';
import { systemClock } from '../../src/system-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { needs } from '../support/peers.ts';
import { testAuthority, testCertificate } from '../support/self-signed.ts';
import { TcpCutter } from '../support/tcp-cutter.ts';
import { until } from '../support/until.ts';
import { ZoneDns } from '../support/zone-dns.ts';

const NEAR = ['a.example', 'a2.example'];
const FAR = ['b.example', 'b2.example'];

type Side = {
  readonly federation: S2sFederation;
  readonly links: ReadonlyMap<string, PairLink>;
  readonly stanzas: XmlElement[];
  readonly changes: string[];
};

type Security = 'certificate' | 'dialback-over-tls' | 'dialback';

/** Two servers of ours with two domains each, in this process; what the near one opens goes through a proxy. */
async function stage(
  t: TestContext,
  plan: { readonly security: Security; readonly limits?: S2sOptions['limits'] },
): Promise<{ near: Side; far: Side; proxy: TcpCutter }> {
  const { security } = plan;
  const started: Array<() => Promise<void>> = [];
  const side = async (own: readonly string[], theirs: readonly string[], hop: () => number): Promise<Side> => {
    const federation = new S2sFederation({
      name: 'federation',
      listen: [{ transport: 'tcp', address: '127.0.0.1', port: 0 }],
      ...(security === 'dialback'
        ? {}
        : { certificate: testCertificate(own.map((domain) => `DNS:${domain}`)), ca: testAuthority().certificate }),
      dialbackSecret: own.join(' '),
      ownDomains: own,
      peers: theirs.map((domain) => ({
        domain,
        security,
        get nextHop() {
          return { host: '127.0.0.1', port: hop(), isTls: false };
        },
      })),
      dns: new ZoneDns({}),
      clock: systemClock,
      random: () => 0.1,
      log: new LogRecorder(),
      ...(plan.limits === undefined ? {} : { limits: plan.limits }),
    });
    await federation.start();
    const result: Side = { federation, links: new Map(), stanzas: [], changes: [] };
    const links = result.links as Map<string, PairLink>;
    for (const domain of own) {
      for (const peer of theirs) {
        const link = federation.link({ own: domain, peer }, `${domain}/${peer}`, () => false);
        links.set(`${domain} ${peer}`, link);
        await link.start({
          onStanza: (stanza) => {
            const { id = '', from = '', to = '' } = stanza.attrs;
            if (stanza.name === 'message') result.stanzas.push(stanza);
            else link.post({ name: 'iq', attrs: { type: 'result', id, from: to, to: from }, children: [] });
          },
          onUp: () => void result.changes.push(`up ${peer}`),
          onDown: () => void result.changes.push(`down ${peer}`),
        });
      }
    }
    started.push(async () => {
      await Promise.all([...links.values()].map((link) => link.stop(0)));
      await federation.stop();
    });
    return result;
  };
  let toFar = 0;
  let toNear = 0;
  const near = await side(NEAR, FAR, () => toFar);
  const far = await side(FAR, NEAR, () => toNear);
  const proxy = await TcpCutter.to(far.federation.listening[0]?.port ?? 0);
  toFar = proxy.port;
  toNear = near.federation.listening[0]?.port ?? 0;
  t.after(async () => {
    for (const stop of started) await stop();
    await proxy.close();
  });
  return { near, far, proxy };
}

function message(from: string, to: string, body: string): XmlElement {
  const attrs = { from: `romeo@${from}`, to: `juliet@${to}` };
  return { name: 'message', attrs, children: [{ name: 'body', attrs: {}, children: [body] }] };
}

function send(side: Side, from: string, to: string, body: string): Promise<void> {
  const link = side.links.get(`${from} ${to}`);
  if (link === undefined) throw new Error('no such pair');
  return link.send(message(from, to, body));
}

const bodies = (side: Side): string[] =>
  side.stanzas.flatMap((stanza) => {
    const body = childOf(stanza, 'body');
    return body === undefined ? [] : [textOf(body)];
  });

describe('s2s: two servers of ours', needs('openssl'), () => {
  for (const security of ['certificate', 'dialback-over-tls', 'dialback'] as const) {
    test(`s2s: two servers of ours, ${security}: one stream carries stanzas both ways`, async (t) => {
      const { near, far, proxy } = await stage(t, { security });
      await send(near, 'a.example', 'b.example', 'there');
      await send(far, 'b.example', 'a.example', 'and back');
      assert.deepEqual(bodies(far), ['there']);
      assert.deepEqual(bodies(near), ['and back']);
      assert.equal(proxy.open, 1);
      await until(() => near.federation.streamCount === 1, { what: 'one stream is left at the near end' });
      await until(() => far.federation.streamCount === 1, { what: 'one stream is left at the far end' });
    });
  }

  test('s2s: all pairs of domains of two servers share one stream, each proved for itself', async (t) => {
    const { near, far } = await stage(t, { security: 'certificate' });
    for (const from of NEAR) for (const to of FAR) await send(near, from, to, `${from} ${to}`);
    for (const from of FAR) for (const to of NEAR) await send(far, from, to, `${from} ${to}`);
    assert.deepEqual(
      bodies(far),
      NEAR.flatMap((from) => FAR.map((to) => `${from} ${to}`)),
    );
    assert.deepEqual(
      bodies(near),
      FAR.flatMap((from) => NEAR.map((to) => `${from} ${to}`)),
    );
    assert.equal(near.federation.streamCount, 1);
    assert.equal(far.federation.streamCount, 1);
  });

  test('s2s: by dialback, too, many pairs share a stream', async (t) => {
    const { near, far } = await stage(t, { security: 'dialback' });
    for (const from of NEAR) for (const to of FAR) await send(near, from, to, `${from} ${to}`);
    assert.deepEqual(
      bodies(far),
      NEAR.flatMap((from) => FAR.map((to) => `${from} ${to}`)),
    );
    await until(() => near.federation.streamCount === 1, { what: 'one stream is left' });
  });

  test('s2s: a stream that is cut is taken up again: nothing lost, nothing twice, nobody told', async (t) => {
    const { near, far, proxy } = await stage(t, { security: 'certificate' });
    await send(near, 'a.example', 'b.example', 'first');
    const sent: Array<Promise<void>> = [];
    const back: Array<Promise<void>> = [];
    for (let n = 0; n < 400; n += 1) {
      sent.push(send(near, 'a.example', 'b.example', `${n}`));
      back.push(send(far, 'b.example', 'a.example', `back ${n}`));
      if (n === 120 || n === 260) {
        await new Promise((resolve) => setImmediate(resolve));
        proxy.cut();
      }
      if (n % 40 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await Promise.all([...sent, ...back]);
    assert.deepEqual(bodies(far), ['first', ...Array.from({ length: 400 }, (_, n) => `${n}`)]);
    assert.deepEqual(
      bodies(near),
      Array.from({ length: 400 }, (_, n) => `back ${n}`),
    );
    assert.equal(proxy.connections >= 2, true);
    assert.deepEqual(
      near.changes.filter((change) => change.startsWith('down')),
      [],
    );
    assert.deepEqual(
      far.changes.filter((change) => change.startsWith('down')),
      [],
    );
  });

  test('s2s: a stream over which nothing goes is closed, which is no outage, and the next stanza opens one', async (t) => {
    const { near, far, proxy } = await stage(t, { security: 'certificate', limits: { idleMs: 300 } });
    await send(near, 'a.example', 'b.example', 'first');
    await until(() => near.federation.streamCount === 0 && far.federation.streamCount === 0, { what: 'all is closed' });
    assert.equal(near.links.get('a.example b.example')?.state().at, 'up');
    assert.deepEqual(
      near.changes.filter((change) => change.startsWith('down')),
      [],
    );
    await send(near, 'a.example', 'b.example', 'second');
    assert.deepEqual(bodies(far), ['first', 'second']);
    assert.equal(proxy.connections, 2);
  });

  test('s2s: a pair whose peer is away is down alone, and is not looked for while nothing waits', async (t) => {
    const { near, far } = await stage(t, { security: 'certificate' });
    await send(near, 'a.example', 'b.example', 'first');
    await Promise.all([...far.links.values()].map((link) => link.stop(0)));
    await far.federation.stop();
    await assert.rejects(
      send(near, 'a.example', 'b2.example', 'lost'),
      (error) => error instanceof GatewayError && error.code === 'peer-unreachable',
    );
    assert.equal(near.links.get('a.example b2.example')?.state().at, 'down');
    assert.equal(near.links.get('a2.example b2.example')?.state().at, 'up');
  });
});
