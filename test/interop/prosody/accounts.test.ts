import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AccountStage, SERVICE } from '../../support/account-stage.ts';
import { SIP_DOMAIN } from '../../support/federation.ts';
import { needs } from '../../support/peers.ts';
import type { PresencePhone } from '../../support/presence-phone.ts';
import type { SlixmppClient } from '../../support/slixmpp.ts';
import { until } from '../../support/until.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const sip = (user: string): string => `sip:${user}@${SIP_DOMAIN}`;
const jid = (user: string): string => `${user}@${SERVICE}`;

/** How often a phone was sent a text, retransmissions left out. */
function copies({ phone }: PresencePhone, text: string): number {
  const ids = phone.received
    .filter(({ body }) => body.toString() === text)
    .map(({ headers }) => headers.get('Call-ID'));
  return new Set(ids).size;
}

function untilText(phone: PresencePhone, text: string, withinMs = 15_000): Promise<unknown> {
  return until(() => copies(phone, text) > 0, {
    what: `the phone is sent ${text}`,
    withinMs,
    detail: () => phone.phone.texts.join('\n'),
  });
}

describe('prosody: accounts that users link', needs('prosody', 'slixmpp', 'openssl'), () => {
  let stage: AccountStage;
  let alice: PresencePhone;
  let juliet: SlixmppClient;
  before(async () => {
    stage = await AccountStage.open({
      name: 'prosody-accounts',
      sipUsers: ['alice', 'bob'],
      accounts: ['liddell', 'juliet', 'builder'],
    });
    [alice, juliet] = await Promise.all([stage.phone('alice'), stage.client('juliet')]);
    await alice.phone.register();
  });
  after(() => stage.close());

  test('prosody: an account is linked by a command, and messages go both ways', async () => {
    const said = await stage.accounts('add', sip('alice'), jid('liddell'), '--password', passwordOf('liddell'));
    assert.match(said, /linked liddell@chat\.example to sip:alice@sip\.example; it is up/);
    const { status } = await alice.phone.write(`sip:${jid('juliet')}`, 'hello out there');
    assert.equal(status, 202);
    const got = await juliet.untilMessage(({ body }) => body === 'hello out there');
    assert.equal(got.from.split('/')[0], jid('liddell'));
    juliet.message({ to: jid('liddell'), body: 'hello in there, ž' });
    await untilText(alice, 'hello in there, ž');
    const message = alice.phone.received.find(({ body }) => body.toString() === 'hello in there, ž');
    assert.match(message?.headers.get('From') ?? '', /<sip:juliet@chat\.example/);
  });

  test('prosody: who watches whom goes through the roster of the account, in both directions', async () => {
    const watching = await alice.subscribe(`sip:${jid('juliet')}`);
    const asked = await juliet.untilPresence(
      ({ type, from }) => type === 'subscribe' && from.startsWith(jid('liddell')),
    );
    assert.equal(asked.from, jid('liddell'));
    juliet.presence({ to: jid('liddell'), type: 'subscribed' });
    await watching.untilLast(({ document }) => document?.tuples.some(({ basic }) => basic === 'open') === true, {
      what: 'juliet being there',
    });
    juliet.presence({ show: 'dnd' });
    await watching.untilLast(({ document }) => document?.tuples.some(({ show }) => show === 'dnd') === true, {
      what: 'juliet being busy',
    });

    juliet.presence({ to: jid('liddell'), type: 'subscribe' });
    const listed = await until(
      async () => {
        const text = await stage.interpres.run(['watchers', 'list', sip('alice'), '--json']);
        const { watchers } = JSON.parse(text) as { watchers: ReadonlyArray<{ watcher: string; state?: string }> };
        return watchers.find(({ watcher }) => watcher === jid('juliet'));
      },
      { what: 'juliet waits for a word of alice', everyMs: 200 },
    );
    assert.equal(listed.state, 'pending');
    const before = juliet.presences().length;
    await stage.interpres.run(['watchers', 'allow', sip('alice'), jid('juliet')]);
    await juliet.untilPresence(({ type }) => type === 'subscribed', { from: before });
    await juliet.untilPresence(
      ({ type, from }) => type === 'available' && from.startsWith(`${jid('liddell')}/interpres-`),
    );
    await alice.publishBody(
      `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:alice@sip.example"><tuple id="desk"><status><basic>open</basic></status><note>at my desk</note></tuple></presence>`,
    );
    await juliet.untilPresence(({ statuses }) => statuses[''] === 'at my desk');
    const [account] = await stage.show('alice');
    assert.deepEqual(
      account?.roster?.map(({ jid: contact, subscription }) => `${contact} ${subscription}`),
      [`${jid('juliet')} both`],
    );
  });

  test('prosody: beside another client of the account nothing is doubled, and what is written to that one comes too', async () => {
    const desk = await stage.client('liddell', { resource: 'desk' });
    juliet.message({ to: `${jid('liddell')}/desk`, body: 'to the desk' });
    await desk.untilMessage(({ body }) => body === 'to the desk');
    await untilText(alice, 'to the desk');
    desk.message({ to: jid('juliet'), body: 'from the desk' });
    await juliet.untilMessage(({ body }) => body === 'from the desk');
    juliet.message({ to: jid('liddell'), body: 'to everybody' });
    await untilText(alice, 'to everybody');
    // Whatever the service copied for the message from the desk would have come before this.
    assert.equal(copies(alice, 'from the desk'), 0);
    assert.equal(copies(alice, 'to everybody'), 1);
    assert.equal(copies(alice, 'to the desk'), 1);
    await desk.stop();
  });

  test('prosody: a connection that is cut goes on in the same session, and nothing is lost or doubled', async () => {
    const ups = () => stage.interpres.log().filter(({ msg }) => msg === 'account up');
    const before = ups().length;
    for (let round = 0; round < 3; round += 1) {
      for (let n = 0; n < 5; n += 1) {
        juliet.message({ to: jid('liddell'), body: `in ${round} ${n}` });
        await alice.phone.write(`sip:${jid('juliet')}`, `out ${round} ${n}`);
        if (n === 2) stage.wire.cut();
      }
      await until(() => ups().length > before + round, { what: 'the account is up again', withinMs: 20_000 });
    }
    for (let round = 0; round < 3; round += 1) {
      for (let n = 0; n < 5; n += 1) {
        await untilText(alice, `in ${round} ${n}`);
        await juliet.untilMessage(({ body }) => body === `out ${round} ${n}`);
        assert.equal(copies(alice, `in ${round} ${n}`), 1);
        assert.equal(juliet.messages().filter(({ body }) => body === `out ${round} ${n}`).length, 1);
      }
    }
    const outs = juliet
      .messages()
      .map(({ body }) => body)
      .filter((body) => body.startsWith('out '));
    assert.deepEqual(outs, [...outs].sort(), 'in the order they were written');
    const resumed = ups().slice(before);
    assert.equal(resumed.length, 3);
    assert.ok(
      resumed.every(({ isResumed }) => isResumed === true),
      JSON.stringify(resumed),
    );
  });

  test('prosody: while the service is away messages wait, and arrive when it is back', async () => {
    await stage.service.stop();
    await stage.untilAccounts('up', 0);
    const { status } = await alice.phone.write(`sip:${jid('juliet')}`, 'while you were out');
    assert.equal(status, 202);
    await stage.service.start();
    const [again] = await Promise.all([
      stage.client('juliet', { resource: 'again' }),
      stage.untilAccounts('up', 1, 40_000),
    ]);
    await again.untilMessage(({ body }) => body === 'while you were out');
    again.message({ to: jid('liddell'), body: 'welcome back' });
    await untilText(alice, 'welcome back');
    juliet = again;
  });

  test('prosody: after our own restart the account is up again by itself', async () => {
    await stage.interpres.stop();
    await stage.interpres.start();
    await stage.untilAccounts('up', 1);
    juliet.message({ to: jid('liddell'), body: 'after the restart' });
    await untilText(alice, 'after the restart');
  });

  test('prosody: a wrong password is told to the user, not tried again, and mended by another', async () => {
    const bob = await stage.phone('bob');
    await bob.phone.register();
    await assert.rejects(
      stage.accounts('add', sip('bob'), jid('builder'), '--password', 'not his password'),
      /does not let it in: .*not-authorized/s,
    );
    await until(() => bob.phone.texts.find((text) => text.includes('builder@chat.example cannot be used')), {
      what: 'the phone is told',
    });
    const told = bob.phone.received.find(({ body }) => body.toString().includes('cannot be used'));
    assert.match(told?.headers.get('From') ?? '', /<sip:postmaster@sip\.example>/);
    const line = (await stage.list()).find(({ user }) => user === 'bob@sip.example');
    assert.equal(line?.state.at, 'refused');
    const { connections } = stage.wire;
    await stage.interpres.stop();
    await stage.interpres.start();
    await stage.untilAccounts('up', 1);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(stage.wire.connections, connections + 1, 'only the account of alice was tried');
    assert.ok(!stage.interpres.process().output().includes('not his password'));

    const said = await stage.accounts('password', sip('bob'), jid('builder'), '--password', passwordOf('builder'));
    assert.match(said, /changed the password of builder@chat\.example; it is up/);
    await bob.phone.register();
    juliet.message({ to: jid('builder'), body: 'good morning, bob' });
    await untilText(bob, 'good morning, bob');
  });

  test('prosody: an account that is unlinked is logged out, its contacts stay, and what waits for it is reported', async () => {
    await stage.accounts('remove', sip('alice'), jid('liddell'));
    assert.deepEqual(
      (await stage.list()).map(({ user }) => user),
      ['bob@sip.example'],
    );
    const { status } = await alice.phone.write(`sip:${jid('juliet')}`, 'nobody carries this');
    assert.ok(status >= 400, `answered ${status}`);
    const roster = await juliet.roster();
    assert.equal(roster.find((item) => item.jid === jid('liddell'))?.subscription, 'both');
  });
});
