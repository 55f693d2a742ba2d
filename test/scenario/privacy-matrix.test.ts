/** What of a sender who wishes not to be named reaches whom (RFC 3323, RFC 3325), on real servers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { HeaderField } from '../../src/sip/message.ts';
import { needs } from '../support/peers.ts';
import { bodyOf, COMPONENT, RunningApp } from '../support/running-app.ts';
import type { ScriptedPhone } from '../support/scripted-phone.ts';
import { tlsPair, type TlsDomain } from '../support/tls-domain.ts';
import { until } from '../support/until.ts';

const TELLING: readonly HeaderField[] = [
  ['Content-Type', 'text/plain'],
  ['Subject', 'About me'],
  ['Organization', 'Alice & Sons'],
  ['User-Agent', 'AlicePhone on alice-laptop.lan'],
];

type Shown = { readonly from: 'named' | 'hidden'; readonly device: boolean; readonly texts: boolean };
const ROWS: ReadonlyArray<readonly [privacy: string | undefined, shown: Shown]> = [
  [undefined, { from: 'named', device: true, texts: true }],
  ['none', { from: 'named', device: true, texts: true }],
  ['session', { from: 'named', device: true, texts: true }],
  ['header', { from: 'named', device: false, texts: true }],
  ['id', { from: 'hidden', device: false, texts: true }],
  ['user', { from: 'hidden', device: false, texts: false }],
  ['user;header;session;id;critical', { from: 'hidden', device: false, texts: false }],
];
const name = (privacy: string | undefined): string => privacy ?? 'no Privacy';
const withPrivacy = (privacy: string | undefined): HeaderField[] => [
  ...TELLING,
  ...(privacy === undefined ? [] : [['Privacy', privacy] as const]),
];

describe('privacy towards those who are not trusted', () => {
  let world: RunningApp;
  let alice: ScriptedPhone;
  let bob: ScriptedPhone;
  before(async () => {
    world = await RunningApp.start({
      rateLimits: 'off',
      extra: 'aliases: [{ address: sales@sip.example, user: alice@sip.example }]',
    });
    alice = await world.phone('alice');
    bob = await world.registered('bob');
  });
  after(async () => {
    await world.stop();
    assert.deepEqual(world.errors, []);
  });

  for (const [privacy, shown] of ROWS) {
    test(`privacy: ${name(privacy)}: a phone`, async () => {
      const text = `to a phone with ${name(privacy)}`;
      assert.equal((await alice.write('sip:bob@sip.example', text, withPrivacy(privacy))).status, 200);
      const got = bob.received.find(({ body }) => body.toString() === text);
      assert.ok(got !== undefined);
      assert.equal(got.from.uri, shown.from === 'named' ? alice.aor : 'sip:anonymous@anonymous.invalid');
      const whole = got.headers.fields.map((field) => field.join(': ')).join('\n');
      assert.equal(whole.includes('alice-laptop.lan'), shown.device);
      assert.equal(whole.includes('About me'), shown.texts);
      if (shown.from === 'hidden') assert.ok(!/alice@|P-Asserted/i.test(whole), whole);
    });

    test(`privacy: ${name(privacy)}: an XMPP user`, async () => {
      const text = `to XMPP with ${name(privacy)}`;
      assert.equal((await alice.write('sip:juliet@xmpp.example', text, withPrivacy(privacy))).status, 202);
      const got = await until(() => world.xmppMessages.find((one) => bodyOf(one) === text), { what: text });
      assert.equal(got.attrs['from'], `${shown.from === 'named' ? 'alice' : 'anonymous'}@${COMPONENT}`);
      if (shown.from === 'hidden') assert.ok(!JSON.stringify(got).includes('alice'));
    });
  }

  test('privacy: whoever has no name in From proves by digest who he is, and is told when it fails', async () => {
    const from = '"Anonymous" <sip:anonymous@anonymous.invalid>';
    const request = {
      method: 'MESSAGE',
      uri: 'sip:bob@sip.example',
      from,
      headers: [...TELLING],
      body: 'nobody knows',
    };
    assert.equal((await alice.request(request)).status, 200);
    assert.equal(bob.received.at(-1)?.from.uri, 'sip:anonymous@anonymous.invalid');
    // An error of the far side finds its way back to her.
    const registered = await world.registered('carol');
    const uri = 'sip:juliet@xmpp.example';
    const body = 'from carol without a name';
    const secret = {
      method: 'MESSAGE',
      uri,
      from,
      headers: [...TELLING, ['P-Preferred-Identity', '<sip:carol@sip.example>']],
      body,
    } as const;
    assert.equal((await registered.request(secret)).status, 202);
    const got = await until(() => world.xmppMessages.find((one) => bodyOf(one) === body), { what: body });
    world.xmpp.sendRaw(
      `<message type='error' from='juliet@xmpp.example' to='${got.attrs['from']}' id='${got.attrs['id']}'>` +
        `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
    );
    await until(() => registered.texts.some((one) => one.includes('could not be delivered')), { what: 'the report' });
  });

  test('privacy: a critical kind that is not to be had is refused, a reply to nobody is not delivered', async () => {
    assert.equal(
      (await alice.write('sip:bob@sip.example', 'x', [['Privacy', 'cloak;critical'], ...TELLING])).status,
      500,
    );
    world.xmpp.sendRaw(
      `<message from='juliet@xmpp.example' to='anonymous@${COMPONENT}' id='reply'><body>who are you?</body></message>`,
    );
    const refused = await until(() => world.xmppMessages.find(({ attrs }) => attrs['id'] === 'reply'), { what: 'no' });
    assert.equal(refused.attrs['type'], 'error');
  });

  test('identity: an alias that is preferred is the sender, one of another is not', async () => {
    for (const [preferred, from] of [
      ['sales@sip.example', 'sip:sales@sip.example'],
      ['bob@sip.example', alice.aor],
    ] as const) {
      const headers: HeaderField[] = [...TELLING, ['P-Preferred-Identity', `<sip:${preferred}>`]];
      assert.equal((await alice.write('sip:bob@sip.example', `as ${preferred}`, headers)).status, 200);
      assert.equal(bob.received.at(-1)?.from.uri, from);
    }
    world.xmpp.sendRaw(
      `<message from='juliet@xmpp.example' to='sales@${COMPONENT}' id='s'><body>to sales</body></message>`,
    );
    const registered = await world.registered('alice');
    await until(() => registered.texts.includes('to sales'), { what: 'the reply to the alias' });
  });
});

describe('identity between SIP domains', needs('openssl'), () => {
  const closing: TlsDomain[] = [];
  after(async () => {
    for (const domain of closing.reverse()) await domain.stop();
  });

  const PAIRS: ReadonlyArray<readonly [what: string, given: string, believed: string, from: string | undefined]> = [
    ['both sides trust each other', 'given', 'believed', 'sip:anonymous@anonymous.invalid'],
    ['the other side is not trusted', 'none', 'believed', 'sip:anonymous@anonymous.invalid'],
  ];
  for (const [what, given, believed, from] of PAIRS) {
    test(`privacy: towards a SIP domain, ${what}`, async () => {
      const { a, b } = await tlsPair(['DNS:b.example'], '', {
        a: { peerExtra: `security: mutual-tls, identity: { asserted: ${given} }` },
        b: { peerExtra: `security: mutual-tls, identity: { asserted: ${believed} }` },
      });
      closing.push(a, b);
      assert.equal((await a.phone.write('sip:bob@b.example', 'quietly', [['Privacy', 'id'], ...TELLING])).status, 202);
      await until(() => b.phone.texts.includes('quietly'), { what: 'the message' });
      const got = b.phone.received.find(({ body }) => body.toString() === 'quietly');
      assert.equal(got?.from.uri, from);
      assert.equal(got?.headers.get('P-Asserted-Identity'), undefined);
      assert.ok(!got?.headers.fields.some(([, value]) => value.includes('alice')));
      // A name that is not hidden crosses as before.
      assert.equal((await a.phone.write('sip:bob@b.example', 'openly', TELLING)).status, 202);
      await until(() => b.phone.texts.includes('openly'), { what: 'the other message' });
      assert.equal(b.phone.received.find(({ body }) => body.toString() === 'openly')?.from.uri, 'sip:alice@a.example');
      const source = b.log.lines.filter(({ message }) => message === 'operation accepted').length;
      assert.equal(source, 2);
    });
  }
});
