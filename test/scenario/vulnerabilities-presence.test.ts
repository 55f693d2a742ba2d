import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readWatcherInfo } from '../../src/cpim/presence/watcherinfo.ts';
import { readXml, writeXml } from '../../src/cpim/xml.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { PresenceStage } from '../support/presence-stage.ts';
import { PASSWORD, PLACES } from '../support/running-app.ts';
import { rawRequest, type RequestParts } from '../support/raw-sip.ts';
import { ScriptedPhone } from '../support/scripted-phone.ts';
import { pidfOf } from '../support/scripted-presence-server.ts';
import { until } from '../support/until.ts';

/**
 * Presence gives nobody what is not his, makes nobody send what he did not ask for, and has an end everywhere: past faults
 * of programs like this one, tried on a running server over real sockets. The numbers are those of the classes in the
 * project's list of past vulnerabilities.
 */
const PIDF = ['Event: presence', 'Content-Type: application/pidf+xml'];
const DOCUMENT = pidfOf('bob@sip.example', [['t', '<status><basic>open</basic></status>']]);

type SubscribeParts = RequestParts & { readonly contact?: string; readonly expires?: number };

const subscribeOf = ({
  contact = `sip:${PLACES.stranger}:9`,
  expires = 600,
  headers = [],
  ...parts
}: SubscribeParts): Buffer =>
  rawRequest({
    method: 'SUBSCRIBE',
    uri: 'sip:bob@sip.example',
    to: '<sip:bob@sip.example>',
    body: '',
    headers: ['Event: presence', `Expires: ${expires}`, `Contact: <${contact}>`, ...headers],
    ...parts,
  });

const publishOf = (parts: RequestParts = {}): Buffer =>
  rawRequest({ method: 'PUBLISH', uri: 'sip:bob@sip.example', to: '<sip:bob@sip.example>', body: DOCUMENT, headers: PIDF, ...parts }); // prettier-ignore

describe('identity', () => {
  let stage: PresenceStage;

  before(async () => {
    stage = await PresenceStage.open({ presence: 'default: allow, notifyIntervalSeconds: 0' });
  });

  after(() => stage.stop());

  const from = (uri: string): RequestParts => ({ from: `<${uri}>;tag=f` });
  const WRONG = `Authorization: Digest username="alice", realm="sip.example", nonce="made-up", uri="sip:bob@sip.example", response="${'0'.repeat(64)}", algorithm=SHA-256`;
  type Claim = readonly [name: string, place: string, bytes: () => Buffer, status: number];
  const CLAIMS: readonly Claim[] = [
    ['a SUBSCRIBE without a proof', PLACES.stranger, () => subscribeOf(from('sip:alice@sip.example')), 401],
    ['a SUBSCRIBE with a made-up proof', PLACES.stranger, () => subscribeOf({ ...from('sip:alice@sip.example'), headers: [WRONG] }), 401],
    ['a SUBSCRIBE in the name of a SIP peer', PLACES.stranger, () => subscribeOf(from('sip:paul@partner.example')), 403],
    ['a SUBSCRIBE in the name of an XMPP user', PLACES.partner, () => subscribeOf(from('sip:juliet@xmpp.example')), 403],
    ['a SUBSCRIBE of a peer in the name of a user of ours', PLACES.partner, () => subscribeOf(from('sip:alice@sip.example')), 401],
    ['a SUBSCRIBE of a stranger', PLACES.stranger, () => subscribeOf(from('sip:eve@stranger.example')), 403],
    ['a SUBSCRIBE of a stranger who asserts a name', PLACES.stranger, () => subscribeOf({ ...from('sip:eve@stranger.example'), headers: ['P-Asserted-Identity: <sip:zoe@core.example>'] }), 403],
    ['a SUBSCRIBE of nobody', PLACES.stranger, () => subscribeOf(from('sip:anonymous@anonymous.invalid')), 433],
    ['a SUBSCRIBE of nobody who wants to be private', PLACES.stranger, () => subscribeOf({ ...from('sip:alice@sip.example'), headers: ['Privacy: id'] }), 401],
    ['a SUBSCRIBE of a peer to one of another peer', PLACES.partner, () => subscribeOf({ ...from('sip:paul@partner.example'), uri: 'sip:juliet@xmpp.example', to: '<sip:juliet@xmpp.example>' }), 403],
    ['a SUBSCRIBE of a peer to one of a stranger', PLACES.partner, () => subscribeOf({ ...from('sip:paul@partner.example'), uri: 'sip:x@stranger.example', to: '<sip:x@stranger.example>' }), 403],
    ['a PUBLISH without a proof', PLACES.stranger, () => publishOf(from('sip:bob@sip.example')), 401],
    ['a PUBLISH with a made-up proof', PLACES.stranger, () => publishOf({ ...from('sip:bob@sip.example'), headers: [...PIDF, WRONG] }), 401],
    ['a PUBLISH of a peer for a user of ours', PLACES.partner, () => publishOf(from('sip:bob@sip.example')), 401],
    ['a PUBLISH of a peer in his own name for a user of ours', PLACES.partner, () => publishOf(from('sip:paul@partner.example')), 403],
    ['a PUBLISH of a peer for himself', PLACES.partner, () => publishOf({ ...from('sip:paul@partner.example'), uri: 'sip:paul@partner.example', to: '<sip:paul@partner.example>' }), 404],
    ['a NOTIFY of no dialog', PLACES.stranger, () => rawRequest({ ...from('sip:bob@sip.example'), method: 'NOTIFY', headers: ['Event: presence', 'Subscription-State: active'], body: '' }), 481],
  ]; // prettier-ignore
  for (const [name, place, bytes, status] of CLAIMS) {
    test(`vulnerability 7: ${name} is refused: ${status}`, async () => {
      const peer = await stage.world.udp(place);
      assert.equal((await stage.world.ask(peer, bytes())).status, status);
      await stage.settled();
      assert.equal(peer.received.length, 1, 'nothing else follows');
      assert.deepEqual((await stage.world.watchers('bob@sip.example')).watchers, []);
      assert.deepEqual([...stage.world.stored('publication').keys()], []);
    });
  }

  test('vulnerability 7: one user may neither watch nor publish as another, nor see who watches him', async () => {
    const mallory = await stage.phone('mallory');
    const { phone } = mallory;
    const contact: HeaderField = ['Contact', `<${phone.contact}>`];
    const event: HeaderField = ['Event', 'presence'];
    const asked = { method: 'SUBSCRIBE', uri: 'sip:bob@sip.example', headers: [event, contact] };
    assert.equal((await phone.request({ ...asked, from: '<sip:alice@sip.example>' })).status, 403);
    const winfo: HeaderField = ['Event', 'presence.winfo'];
    assert.equal((await phone.request({ ...asked, headers: [winfo, contact] })).status, 403);
    const published = {
      method: 'PUBLISH',
      headers: [event, ['Content-Type', 'application/pidf+xml'] as const],
      body: DOCUMENT,
    };
    assert.equal((await phone.request({ ...published, uri: 'sip:bob@sip.example' })).status, 403);
    assert.equal(
      (await phone.request({ ...published, uri: 'sip:bob@sip.example', from: '<sip:bob@sip.example>' })).status,
      403,
    );
    // What the document says of whom it is about counts for nothing.
    assert.equal((await mallory.publishBody(DOCUMENT)).status, 200);
    const watching = await stage.watch('alice', 'sip:bob@sip.example');
    const { document } = await watching.until(() => true);
    assert.equal(document?.tuples[0]?.basic, 'closed');
    await watching.unsubscribe();
    await mallory.unpublish();
  });

  test('vulnerability 7: a guessed or stolen entity-tag is worth nothing to another user', async () => {
    const bob = await stage.phone('bob');
    const mallory = await stage.phone('mallory');
    assert.equal((await bob.publish('mine')).status, 200);
    mallory.etag = bob.etag;
    assert.equal((await mallory.unpublish()).status, 412);
    const watching = await stage.watch('alice', 'sip:bob@sip.example');
    assert.match((await watching.until(() => true)).body, /mine/);
    await watching.unsubscribe();
    await bob.unpublish();
  });

  test('vulnerability 7: a dialog belongs to whoever made it: 481 to another user who knows all of it', async () => {
    const watching = await stage.watch('alice', 'sip:bob@sip.example');
    const first = await watching.until(() => true);
    const mallory = await stage.phone('mallory');
    const parts = {
      method: 'SUBSCRIBE',
      uri: parseNameAddr(watching.response?.headers.get('Contact') ?? '')?.uri ?? '',
      to: watching.response?.headers.get('To') ?? '',
      callId: watching.callId,
      cseq: 9_000,
      headers: [
        ['Event', 'presence'],
        ['Expires', '0'],
        ['Contact', `<${mallory.phone.contact}>`],
      ],
    } as const;
    assert.equal((await mallory.phone.request(parts)).status, 481);
    assert.ok([403, 481].includes((await mallory.phone.request({ ...parts, from: '<sip:alice@sip.example>' })).status));
    const stranger = await stage.world.udp(PLACES.stranger);
    const bytes = subscribeOf({ ...parts, from: first.request.headers.get('To') ?? '', headers: [], expires: 0 });
    assert.equal((await stage.world.ask(stranger, bytes)).status, 401);
    await stage.settled();
    assert.equal(watching.notifies.length, 1);
    assert.equal((await watching.refresh()).status, 200);
    await watching.until(() => true, { from: 1 });
    assert.equal(mallory.phone.received.length, 0);
    await watching.unsubscribe();
  });

  test('vulnerability 7: a NOTIFY from elsewhere than the presentity is: 403, whoever knows the dialog', async () => {
    const partner = await stage.partnerServer();
    try {
      const watching = await stage.watch('alice', 'sip:paul@partner.example');
      const subscribe = await partner.untilSubscribe('paul', 1);
      const body = pidfOf('paul@partner.example', [['t', '<status><basic>open</basic></status><note>true</note>']]);
      assert.equal((await partner.notify(subscribe, { body })).status, 200);
      await watching.until(({ body: seen }) => seen.includes('true'));
      const { headers } = subscribe;
      const forged = (tag: string, more: readonly string[]): Buffer =>
        rawRequest({
          method: 'NOTIFY',
          uri: parseNameAddr(headers.get('Contact') ?? '')?.uri ?? '',
          from: `${headers.get('To') ?? ''};tag=${tag}`,
          to: headers.get('From') ?? '',
          callId: headers.get('Call-ID') ?? '',
          cseq: 500,
          headers: ['Event: presence', `Contact: <sip:${PLACES.stranger}>`, ...more],
          body: '',
        });
      for (const place of [PLACES.stranger, PLACES.core, PLACES.server]) {
        const peer = await stage.world.udp(place);
        const state = 'Subscription-State: terminated;reason=rejected';
        assert.equal((await stage.world.ask(peer, forged('ps', [state]))).status, 403);
        assert.equal((await stage.world.ask(peer, forged('another', [state]))).status, 481);
      }
      await stage.settled();
      const { length } = watching.notifies;
      assert.equal((await partner.notify(subscribe, { body: body.replace('true', 'still true') })).status, 200);
      assert.match((await watching.until(() => true, { from: length })).body, /still true/);
    } finally {
      await partner.close();
    }
  });

  test('vulnerability 21: what a watcher calls himself is a text wherever it is shown', async () => {
    const winfo = await stage.winfo('carol');
    await winfo.until('0 full');
    const alice = await stage.phone('alice');
    const name = `<script>alert(1)</script> & "q" \u{1F339} ]]>`;
    const answer = await alice.phone.request({
      method: 'SUBSCRIBE',
      uri: 'sip:carol@sip.example',
      from: `"${name.replaceAll('"', '\\"')}" <sip:alice@sip.example>`,
      headers: [
        ['Event', 'presence'],
        ['Contact', `<${alice.phone.contact}>`],
      ],
    });
    assert.equal(answer.status, 200);
    await winfo.until('1 alice active subscribe');
    const { body } = winfo.watching.notifies.at(-1) ?? assert.fail();
    assert.equal(readWatcherInfo(body).lists[0]?.watchers[0]?.displayName, name);
    assert.ok(!body.includes('<script'));
    const { watchers } = await stage.world.watchers('carol@sip.example');
    assert.equal(watchers[0]?.displayName, name);
  });

  test('vulnerability 21: what a phone says of itself is a text in XMPP, and the link survives all of it', async () => {
    const juliet = stage.contact('juliet@xmpp.example');
    juliet.say({ to: 'dave', type: 'subscribe' });
    await juliet.untilNews(2, 'subscribed');
    const dave = await stage.phone('dave');
    const hostile = `</status></presence><presence from="x@y"/><![CDATA[ & ]]>`;
    await dave.publish(hostile);
    await stage.settled();
    const stanza = juliet.received.at(-1) ?? assert.fail();
    assert.ok(!writeXml(stanza).includes('<presence from="x@y"'));
    assert.deepEqual(readXml(writeXml(stanza)), stanza);
    assert.deepEqual(stage.world.xmpp.streamErrors, []);
    await dave.unpublish();
  });

  test('vulnerability 21: a path into the watchers of somebody else, or out of them, leads nowhere', async () => {
    const base = `http://127.0.0.1:${stage.world.ports.http}`;
    for (const path of ['/watchers/bob%40sip.example', '/watchers/bob@sip.example/../carol@sip.example']) {
      const { status } = await fetch(base + path);
      assert.ok([401, 404].includes(status), `${path}: ${status}`);
    }
    for (const owner of ['..%2f..%2fetc%2fpasswd', '%00', 'sip.example', "'; drop table record; --"]) {
      await assert.rejects(stage.world.watchers(decodeURIComponent(owner)), /was answered 40[04]/);
    }
  });
});

describe('exhaustion', () => {
  let stage: PresenceStage;

  before(async () => {
    const limits =
      'limits: { documentBytes: 20000, publicationsPerUser: 5, subscriptionsPerWatcher: 20, watchersPerUser: 25, pendingPerUser: 10, subscriptions: 60 }';
    stage = await PresenceStage.open({
      users: ['crowded', 'undecided', 'target', 'publisher', 'w1', 'w2', 'w3', 'w4'],
      presence: `default: allow, notifyIntervalSeconds: 0, ${limits}`,
    });
  });

  after(() => stage.stop());

  /** Another user is served as ever, within a second. */
  async function isServed(): Promise<void> {
    const beforeMs = performance.now();
    const watching = await stage.watch('erin', 'sip:erin@sip.example');
    assert.equal(watching.status, 200);
    await watching.until(() => true);
    assert.equal((await watching.unsubscribe()).status, 200);
    await watching.until(({ state }) => state.state === 'terminated');
    assert.ok(performance.now() - beforeMs < 1_000, 'nobody else waits');
  }

  test('vulnerability 18: 200 SUBSCRIBEs without a proof bring no packet to the third address that they name', async () => {
    const victim = await stage.world.udp(PLACES.partner);
    const stranger = await stage.world.udp(PLACES.stranger);
    const contact = `sip:${PLACES.partner}:${victim.port}`;
    for (let count = 0; count < 200; count += 1) {
      const bytes = subscribeOf({ from: '<sip:alice@sip.example>;tag=f', contact, expires: count % 2 === 0 ? 600 : 0 });
      assert.equal((await stage.world.ask(stranger, bytes)).status, 401);
    }
    await stage.settled();
    assert.equal(victim.received.length, 0);
    const answered = stranger.received.reduce((sum, { bytes }) => sum + bytes.length, 0);
    assert.ok(answered < 200 * 1_000, `${answered} bytes in all: no amplification`);
  });

  /** As of one who may watch, and has the answers go elsewhere: a private Contact alone would lead back to himself. */
  async function watchTo(place: string, port: number): Promise<number> {
    const { phone } = await stage.phone('mallory');
    const { status } = await phone.request({
      method: 'SUBSCRIBE',
      uri: 'sip:target@sip.example',
      headers: [
        ['Event', 'presence'],
        ['Contact', `<sip:${place}:${port}>`],
        ['Record-Route', `<sip:${place}:${port};lr>`],
      ],
    });
    return status;
  }

  test('vulnerability 18: a private address in Contact leads back to the watcher himself (RFC 5626, section 5.3)', async () => {
    const victim = await stage.world.udp(PLACES.partner);
    const { phone } = await stage.phone('mallory');
    const { length } = phone.received;
    const headers = [
      ['Event', 'presence'],
      ['Expires', '0'],
      ['Contact', `<sip:${PLACES.partner}:${victim.port}>`],
    ] as const;
    const { status } = await phone.request({ method: 'SUBSCRIBE', uri: 'sip:target@sip.example', headers });
    assert.equal(status, 200);
    await phone.count(length + 1);
    await stage.settled();
    assert.equal(victim.received.length, 0);
  });

  test('vulnerability 18: a proved watcher who names a third address: it gets what two transactions send, and then nothing more', async () => {
    const victim = await stage.world.udp(PLACES.partner);
    assert.equal(await watchTo(PLACES.partner, victim.port), 200);
    stage.clock.run(20);
    try {
      await until(async () => (await stage.world.watchers('target@sip.example')).watchers.length === 0, {
        what: 'the subscription is dropped',
      });
    } finally {
      stage.clock.run(1);
    }
    const { length } = victim.received;
    // RFC 3261, section 17.1.2.2: eleven times within 32 s.
    assert.ok(length > 0 && length <= 22, `${length} packets`);
    const target = await stage.phone('target');
    for (const note of ['one', 'two', 'three']) await target.publish(note);
    await stage.settled();
    assert.equal(victim.received.length, length);
    await target.unpublish();
  });

  test('vulnerability 18: a third address that says it knows nothing of it is left alone at once: 481', async () => {
    const server = { transport: 'udp', port: stage.world.ports.udp } as const;
    const victim = await ScriptedPhone.open({
      user: 'victim',
      domain: 'partner.example',
      address: PLACES.partner,
      server,
    });
    victim.answer = () => ({ status: 481 });
    assert.equal(await watchTo(PLACES.partner, victim.port), 200);
    await victim.count(1);
    await stage.settled();
    assert.deepEqual((await stage.world.watchers('target@sip.example')).watchers, []);
    const target = await stage.phone('target');
    await target.publish('one');
    await stage.settled();
    assert.equal(victim.received.length, 1);
    await target.unpublish();
    await victim.close();
  });

  const BACK = ['sip:127.0.0.1:PORT', 'sip:localhost:PORT', 'sip:alice@sip.example', 'sip:0.0.0.0:PORT'];
  for (const contact of BACK) {
    test(`vulnerability 18: a Contact that leads back to us makes no circle: ${contact}`, async () => {
      const mallory = await stage.phone('mallory');
      const lines = stage.world.logLines.length;
      const { status } = await mallory.phone.request({
        method: 'SUBSCRIBE',
        uri: 'sip:target@sip.example',
        headers: [
          ['Event', 'presence'],
          ['Contact', `<${contact.replace('PORT', String(stage.world.ports.udp))}>`],
        ],
      });
      assert.ok([200, 400, 403].includes(status), String(status));
      await stage.settled();
      const rounds = stage.world.logLines
        .slice(lines)
        .filter((line) => line.includes('"method":"NOTIFY"') && !line.includes('sip:warden@'));
      assert.ok(rounds.length <= 2, `${rounds.length} rounds`);
    });
  }

  const ZOE: RequestParts = { from: '<sip:zoe@core.example>;tag=z' };
  const CONTACT = `Contact: <sip:${PLACES.stranger}:9>`;
  const raw = (lines: readonly string[]): Buffer => subscribeOf({ ...ZOE, headers: lines });
  const HOSTILE_FIELDS: ReadonlyArray<readonly [name: string, bytes: () => Buffer, statuses: readonly number[]]> = [
    ['5: 40 Accept fields', () => raw(Array.from({ length: 40 }, (_, at) => `Accept: application/x-${at}`)), [406, 400, 513]],
    ['5: 60 Accept fields, the last of which is good', () => raw([...Array.from({ length: 60 }, (_, at) => `Accept: a/b${at}`), 'Accept: application/pidf+xml']), [200, 400]],
    ['5: one Accept of 8,000 ranges', () => raw([`Accept: ${'*/*;q=0.1,'.repeat(800)}*/*`]), [200, 400, 513]],
    ['5: an Accept of quotes', () => raw([`Accept: ${'a/b;x="\\"",'.repeat(200)}a/b`]), [406, 400]],
    ['5: an Event id of 10,000 characters', () => rawRequest({ ...ZOE, method: 'SUBSCRIBE', body: '', headers: [`Event: presence;id=${'x'.repeat(10_000)}`, CONTACT] }), [400, 489, 513]],
    ['5: Event parameters without end', () => rawRequest({ ...ZOE, method: 'SUBSCRIBE', body: '', headers: [`Event: presence${';a=b'.repeat(2_000)}`, CONTACT] }), [200, 400, 489, 513]],
    ['5: Expires that is no number', () => rawRequest({ ...ZOE, method: 'SUBSCRIBE', body: '', headers: ['Event: presence', 'Expires: soon', CONTACT] }), [200, 400]],
    ['5: Expires over 2^32', () => rawRequest({ ...ZOE, method: 'SUBSCRIBE', body: '', headers: ['Event: presence', 'Expires: 99999999999999999999', CONTACT] }), [200, 400]],
    ['5: Expires below 0', () => rawRequest({ ...ZOE, method: 'SUBSCRIBE', body: '', headers: ['Event: presence', 'Expires: -1', CONTACT] }), [200, 400, 423]],
    ['5: two Contacts', () => raw([`Contact: <sip:x@${PLACES.stranger}:9>`]), [400]],
    ['5: a Contact of 9,000 characters', () => subscribeOf({ ...ZOE, contact: `sip:${'x'.repeat(9_000)}@127.0.0.66` }), [400, 513]],
    ['5: 40 Record-Routes', () => raw(Array.from({ length: 40 }, (_, at) => `Record-Route: <sip:127.0.0.66:${at + 1};lr>`)), [400]],
    ['5: a Suppress-If-Match of 10,000 characters', () => raw([`Suppress-If-Match: ${'x'.repeat(10_000)}`]), [200, 400, 513]],
    ['5: a display name of 9,000 characters', () => subscribeOf({ from: `"${'x'.repeat(9_000)}" <sip:zoe@core.example>;tag=z` }), [200, 400, 513]],
  ]; // prettier-ignore
  for (const [name, bytes, statuses] of HOSTILE_FIELDS) {
    test(`vulnerability ${name}: answered ${statuses.join(' or ')}, and nobody else is harmed`, async () => {
      const core = await stage.world.udp(PLACES.core);
      const before = core.received.length;
      core.send(bytes(), stage.world.ports.udp, PLACES.server);
      const answer = await until(() => core.received.slice(before).find(({ status }) => status >= 200), {
        what: 'an answer',
      });
      assert.ok(statuses.includes(answer.status), String(answer.status));
      await isServed();
      // They wait for answers that never come: time runs out for them.
      stage.clock.run(200);
      try {
        await until(async () => (await stage.world.watchers('bob@sip.example')).watchers.length === 0, {
          what: 'gone',
        });
      } finally {
        stage.clock.run(1);
      }
    });
  }

  test('vulnerability 5: SUBSCRIBE with Expires 0, a hundred times at once: one NOTIFY each, and nothing is left', async () => {
    const alice = await stage.phone('alice');
    const looks = await Promise.all(
      Array.from({ length: 100 }, () => alice.subscribe('sip:bob@sip.example', { expires: 0 })),
    );
    for (const look of looks) {
      assert.equal(look.status, 200);
      await look.until(({ state }) => state.state === 'terminated');
    }
    await stage.settled();
    assert.ok(looks.every((look) => look.notifies.length === 1));
    assert.deepEqual((await stage.world.watchers('bob@sip.example')).watchers, []);
  });

  const root = 'xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:publisher@sip.example"';
  const tuple = (id: string, more = ''): string =>
    `<tuple id="${id}"><status><basic>open</basic></status>${more}</tuple>`;
  const wrapped = (inside: string): string => `<presence ${root}>${inside}</presence>`;
  type Hostile = readonly [name: string, body: () => string | Buffer, status: number, headers?: readonly HeaderField[]];
  const HOSTILE_DOCUMENTS: readonly Hostile[] = [
    ['20: a document over the bound', () => wrapped(tuple('t', `<note>${'x'.repeat(20_000)}</note>`)), 413],
    ['16: a gzip bomb', () => gzipSync(wrapped(tuple('t', `<note>${'x'.repeat(10_000_000)}</note>`))), 413, [['Content-Encoding', 'gzip']]],
    ['16: an encoding that nobody has', () => 'x', 415, [['Content-Encoding', 'exi']]],
    ['16: entities that grow', () => `<!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>${wrapped(tuple('t', '<note>&b;</note>'))}`, 400],
    ['16: an entity of a file', () => `<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>${wrapped(tuple('t', '<note>&a;</note>'))}`, 400],
    ['20: elements 5,000 deep', () => wrapped(`${'<a>'.repeat(2_500)}${'</a>'.repeat(2_500)}`), 400],
    ['20: 1,000 attributes', () => wrapped(tuple('t', `<x ${Array.from({ length: 1_000 }, (_, at) => `a${at}=""`).join(' ')}/>`)), 400],
    ['20: 300 tuples', () => wrapped(Array.from({ length: 300 }, (_, at) => `<tuple id="a${at}"><status><basic>open</basic></status></tuple>`).join('')), 400],
    ['20: a prefix that is bound to nothing', () => wrapped(`<x:y/>${tuple('t')}`), 400],
    ['20: another root', () => '<html/>', 400],
    ['20: no document', () => 'open', 400],
    ['14: a document that is no UTF-8', () => Buffer.concat([Buffer.from(`<presence ${root}>`), Buffer.from([0xc3, 0x28]), Buffer.from('</presence>')]), 400],
    ['10: a NUL in a note', () => wrapped(tuple('t', '<note>a\0b</note>')), 400],
    ['5: a multipart without an end', () => '--b\r\nContent-Type: application/pidf+xml\r\n\r\n', 415, [['Content-Type', 'multipart/related;boundary=b']]],
    ['5: no Content-Type', () => wrapped(tuple('t')), 400, [['Content-Type', '']]],
    ['22: a type of blanks', () => wrapped(tuple('t')), 415, [['Content-Type', `application/pidf+xm${' '.repeat(5_000)}`]]],
  ]; // prettier-ignore
  for (const [name, body, status, headers = []] of HOSTILE_DOCUMENTS) {
    test(`vulnerability ${name}: ${status}, nothing changes, and nobody else is harmed`, async () => {
      const { phone } = await stage.phone('publisher');
      const watching = await stage.watch('alice', 'sip:publisher@sip.example');
      await watching.until(() => true);
      const type: HeaderField[] = headers.some(([field]) => field === 'Content-Type')
        ? []
        : [['Content-Type', 'application/pidf+xml']];
      const tcp = await ScriptedPhone.open({
        user: 'publisher',
        domain: 'sip.example',
        password: PASSWORD,
        server: { transport: 'tcp', port: stage.world.ports.tcp },
      });
      const answer = await tcp.request({
        method: 'PUBLISH',
        uri: phone.aor,
        headers: [['Event', 'presence'], ...type, ...headers.filter(([, value]) => value !== '')],
        body: body(),
      });
      await tcp.close();
      assert.equal(answer.status, status);
      await isServed();
      assert.equal(watching.notifies.length, 1);
      assert.equal((await watching.unsubscribe()).status, 200);
    });
  }

  test('vulnerability 20: 200 PUBLISHes without an entity-tag leave as many publications as are allowed, and SUBSCRIBE stays quick', async () => {
    const publisher = await stage.phone('publisher');
    for (let count = 0; count < 200; count += 1) {
      publisher.etag = undefined;
      assert.equal((await publisher.publish(`number ${count}`)).status, 200);
    }
    await stage.settled();
    assert.equal(stage.world.stored('publication').size, 5);
    const beforeMs = performance.now();
    const watching = await stage.watch('alice', 'sip:publisher@sip.example');
    const { document } = await watching.until(() => true);
    assert.ok(performance.now() - beforeMs < 1_000);
    assert.deepEqual(
      document?.tuples.map(({ notes }) => notes[0]?.text),
      ['number 195', 'number 196', 'number 197', 'number 198', 'number 199'],
    );
    assert.equal((await watching.unsubscribe()).status, 200);
    await stage.crash();
    assert.equal(stage.world.stored('publication').size, 5);
    publisher.etag = undefined;
  });

  test('promise 5: what one watcher may have has an end: 403, and the others go on', async () => {
    const answers: number[] = [];
    for (let count = 0; count < 22; count += 1) {
      answers.push((await stage.watch('w1', 'sip:crowded@sip.example')).status);
    }
    assert.deepEqual(answers, [...Array<number>(20).fill(200), 403, 403]);
    await isServed();
  });

  test('promise 5: how many may watch one user has an end: 403', async () => {
    const answers: number[] = [];
    for (let count = 0; count < 6; count += 1) {
      answers.push((await stage.watch('w2', 'sip:crowded@sip.example')).status);
    }
    assert.deepEqual(answers, [200, 200, 200, 200, 200, 403]);
    assert.equal((await stage.watch('w2', 'sip:bob@sip.example')).status, 200);
  });

  test('promise 5: how many may wait for one user has an end: 403, those who are known excepted', async () => {
    await stage.world.rule('undecided@sip.example', '*', 'confirm');
    await stage.world.rule('undecided@sip.example', 'w4@sip.example', 'allow');
    const answers: number[] = [];
    for (let count = 0; count < 12; count += 1) {
      answers.push((await stage.watch('w3', 'sip:undecided@sip.example')).status);
    }
    assert.deepEqual(answers, [...Array<number>(10).fill(200), 403, 403]);
    assert.equal((await stage.watch('w4', 'sip:undecided@sip.example')).status, 200);
  });

  test('promise 5: all subscriptions together have an end: 503 with Retry-After, and messages go on', async () => {
    let last = await stage.watch('w4', 'sip:dave@sip.example');
    for (let count = 0; count < 40 && last.status === 200; count += 1) {
      last = await stage.watch(count < 18 ? 'w4' : 'w2', 'sip:dave@sip.example');
    }
    assert.equal(last.status, 503);
    assert.match(last.response?.headers.get('Retry-After') ?? '', /^\d+$/);
    const carol = await stage.world.registered('carol');
    const { phone } = await stage.phone('alice');
    assert.equal((await phone.write(carol.aor, 'still here')).status, 200);
    assert.deepEqual(carol.texts, ['still here']);
    // An XMPP user is told so, too.
    const juliet = stage.contact('juliet@xmpp.example');
    juliet.say({ to: 'dave', type: 'subscribe' });
    const error = await juliet.until(({ attrs }) => attrs['type'] === 'error', 'the refusal');
    assert.match(writeXml(error), /resource-constraint|policy-violation/);
  });
});
