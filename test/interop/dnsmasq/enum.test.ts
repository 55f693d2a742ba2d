/** Telephone numbers looked up in a real name server (RFC 6116). */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { commandPath, needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import { startProcess, type TestProcess } from '../../support/process.ts';
import { bodyOf, COMPONENT, PLACES, RunningApp } from '../../support/running-app.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';

const ZONE = 'numbers.test';
/** `+15550001` and its kin; order, preference, service and expression. */
const RECORDS: ReadonlyArray<readonly [digits: string, record: string]> = [
  ['15550001', '100,10,u,E2U+sip,!^.*$!sip:paul@partner.example!'],
  ['15550002', '100,10,u,E2U+im,!^.*$!im:juliet@xmpp.example!'],
  ['15550003', '100,10,u,E2U+sip,!^.*$!sip:bob@sip.example!'],
  ['15550004', '100,10,u,E2U+sip,!^.*$!sip:eve@stranger.example!'],
  ['15550005', '100,10,u,E2U+web:http,!^.*$!http://www.example.com/!'],
  // The first can be reached by nobody here; the second is what the expression makes of the number.
  ['15550006', '100,10,u,E2U+sip,!^.*$!sip:eve@stranger.example!'],
  ['15550006', '100,20,u,E2U+sip,!^\\+1555(.*)$!sip:line-\\1@partner.example!'],
  ['15550007', '100,10,u,E2U+sip,!^((.*)*)*x$!sip:paul@partner.example!'],
];
const nameOf = (digits: string): string => `${Array.from(digits).reverse().join('.')}.${ZONE}`;

describe('dnsmasq with numbers', needs('dnsmasq'), () => {
  let server: TestProcess;
  let world: RunningApp;
  let alice: ScriptedPhone;
  let bob: ScriptedPhone;
  let partner: ScriptedPhone;

  before(async () => {
    const port = await freePort();
    server = await startProcess({
      name: 'dnsmasq',
      command: commandPath('dnsmasq') ?? 'dnsmasq',
      args: [
        ...['--no-daemon', '--conf-file=/dev/null', '--pid-file=', '--no-resolv', '--no-hosts', '--local=/test/'],
        ...['--listen-address=127.0.0.1', '--bind-interfaces', `--port=${port}`, '--user=root', '--local-ttl=60'],
        ...RECORDS.map(([digits, record]) => `--naptr-record=${nameOf(digits)},${record}`),
      ],
      folder: temporaryFolder('dnsmasq-numbers'),
    });
    await server.said('started');
    world = await RunningApp.start({
      rateLimits: 'off',
      extra: `enum: { zone: ${ZONE}, servers: ['127.0.0.1:${port}'] }
aliases:
  - { address: '+15559999', user: bob@sip.example }`,
    });
    partner = await ScriptedPhone.open({
      user: 'paul',
      domain: 'partner.example',
      server: { transport: 'tcp', port: world.ports.tcp },
      address: PLACES.partner,
      port: world.ports.partner,
    });
    alice = await world.phone('alice');
    bob = await world.registered('bob');
  });
  after(async () => {
    await partner.close();
    await world.stop();
    await server.stop();
    assert.deepEqual(world.errors, [], 'no number makes the server fail');
  });

  const ROWS: ReadonlyArray<readonly [what: string, uri: string, status: number, where?: 'partner' | 'xmpp' | 'bob', as?: string]> = [
    ['a number of a SIP peer', 'tel:+15550001', 202, 'partner', 'sip:paul@partner.example'],
    ['the same with separators and a parameter', 'tel:+1-555-0001;ext=5', 202, 'partner', 'sip:paul@partner.example'],
    ['the same as a user part', 'sip:+15550001@sip.example', 202, 'partner', 'sip:paul@partner.example'],
    ['the same as user=phone', 'sip:+1-555-0001@sip.example;user=phone', 202, 'partner', 'sip:paul@partner.example'],
    ['a number that an expression takes apart', 'tel:+15550006', 202, 'partner', 'sip:line-0006@partner.example'],
    ['a number of an XMPP user', 'tel:+15550002', 202, 'xmpp', 'juliet@xmpp.example'],
    ['a number of a user of ours', 'tel:+15550003', 200, 'bob'],
    ['a number that is an alias', 'tel:+15559999', 200, 'bob'],
    ['a number of a stranger', 'tel:+15550004', 403],
    ['a number without anybody to write to', 'tel:+15550005', 404],
    ['a number in no zone', 'tel:+15550099', 404],
    ['a number whose expression never ends', 'tel:+15550007', 404],
    ['a local number', 'tel:5550001;phone-context=+1', 484],
    ['half a number', 'tel:+1', 484],
    ['a word', 'tel:hello', 484],
  ]; // prettier-ignore
  for (const [what, uri, status, where, as] of ROWS) {
    test(`ENUM: ${what} (${uri}) is answered ${status}`, async () => {
      const text = `to ${what}`;
      assert.equal((await alice.write(uri, text)).status, status);
      if (where === 'bob') assert.ok(bob.texts.includes(text));
      if (where === 'xmpp') {
        const stanza = await until(() => world.xmppMessages.find((one) => bodyOf(one) === text), { what: text });
        assert.equal(stanza.attrs['to'], as);
      }
      if (where === 'partner') {
        const request = await until(() => partner.received.find(({ body }) => body.toString() === text), {
          what: text,
        });
        assert.equal(request.uri, as);
      }
    });
  }

  test('ENUM: an XMPP user writes to a number at our domain, and only users of ours are behind it', async () => {
    for (const [digits, text] of [
      ['15550003', 'by number'],
      ['15559999', 'by alias'],
    ] as const) {
      world.xmpp.sendRaw(
        `<message from='juliet@xmpp.example' to='+${digits}@${COMPONENT}' id='${digits}'><body>${text}</body></message>`,
      );
      await until(() => bob.texts.includes(text), { what: text });
    }
    world.xmpp.sendRaw(
      `<message from='juliet@xmpp.example' to='+15550001@${COMPONENT}' id='relay'><body>no relay</body></message>`,
    );
    const refused = await until(() => world.xmppMessages.find(({ attrs }) => attrs['id'] === 'relay'), { what: 'no' });
    assert.equal(refused.attrs['type'], 'error');
    assert.equal(refused.attrs['from'], `+15550001@${COMPONENT}`);
    assert.ok(!partner.texts.includes('no relay'));
  });

  test('ENUM: messages to one number keep their order, the first of them looked up', async () => {
    await world.crash();
    const texts = Array.from({ length: 10 }, (_, at) => `in order ${at}`);
    for (const [at, text] of texts.entries()) {
      world.xmpp.sendRaw(
        `<message from='juliet@xmpp.example' to='+15550003@${COMPONENT}' id='o${at}'><body>${text}</body></message>`,
      );
    }
    await until(() => texts.every((text) => bob.texts.includes(text)), { what: 'all of them' });
    assert.deepEqual(
      bob.texts.filter((text) => text.startsWith('in order')),
      texts,
    );
  });

  test('ENUM: while no name server answers, a number is unavailable for now', async () => {
    await server.stop();
    assert.equal((await alice.write('tel:+15550077', 'nobody to ask')).status, 480);
    assert.equal((await alice.write('tel:+15559999', 'an alias needs nobody')).status, 200);
  });
});
