import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIP_DOMAIN } from './federation.ts';
import type { PresencePhone, Watching } from './presence-phone.ts';
import { isFrom, jid, says, sip, type RosterStage } from './roster-stage.ts';
import { until } from './until.ts';
import { xml, type XmppClient } from './xmpp-client.ts';
import { passwordOf } from './xmpp-server.ts';

/** Waits until the newest that a client was told of one of our users is this status, or that he is gone. */
async function untilNewest(client: XmppClient, user: string, status: string | undefined): Promise<void> {
  await until(
    () => {
      const last = client.presences().findLast(({ attrs }) => String(attrs['from']).startsWith(jid(user)));
      if (last === undefined) return false;
      return status === undefined ? last.attrs['type'] === 'unavailable' : last.getChildText('status') === status;
    },
    {
      what: `the newest of ${user} is ${status ?? 'gone'}`,
      withinMs: 20_000,
      detail: () => client.presences().map(String).join('\n').slice(-4_000),
    },
  );
}

/** An XMPP user and a phone watch each other. */
async function befriend(
  stage: RosterStage,
  user: string,
  phone: PresencePhone,
): Promise<{ client: XmppClient; watching: Watching }> {
  const own = phone.address.split('@')[0] ?? '';
  const client = await stage.client(user);
  await stage.watchers('allow', own, `${user}@xmpp.example`);
  const watching = await phone.subscribe(sip(user));
  await client.untilPresence(isFrom(own, 'subscribe'));
  await client.presence({ to: jid(own), type: 'subscribed' });
  await client.presence({ to: jid(own), type: 'subscribe' });
  await client.untilPresence(isFrom(own, 'subscribed'));
  await watching.untilLast(says('active', 'open'));
  return { client, watching };
}

/** People who come back, servers that are killed, and a user who is taken away. The last of a suite. */
export function presenceOutageTests(name: string, stage: () => RosterStage): void {
  let heidi: PresencePhone;
  let ivan: PresencePhone;
  let judy: PresencePhone;
  let lady: XmppClient;
  let toLady: Watching;
  let toPrince: Watching;
  let toPage: Watching;
  let prince: XmppClient;

  test(`${name}: an XMPP user who comes back sees what holds now, by his server's probe`, async () => {
    heidi = await stage().phone('heidi');
    await heidi.publish('in the garden');
    ({ client: lady, watching: toLady } = await befriend(stage(), 'lady', heidi));
    await untilNewest(lady, 'heidi', 'in the garden');
    await lady.stop();
    await toLady.untilLast(says('active', 'closed'));
    await heidi.publish('first while she is away');
    await heidi.publish('in the house');
    lady = await stage().client('lady', 'other');
    await untilNewest(lady, 'heidi', 'in the house');
    await toLady.untilLast(says('active', 'closed', 'open'));
    const texts = lady.presences().map((stanza) => stanza.getChildText('status'));
    assert.ok(!texts.includes('first while she is away'), texts.join());
    assert.equal(lady.presences().filter(isFrom('heidi', 'subscribe')).length, 0);
  });

  test(`${name}: our server is killed: subscriptions in both directions go on`, async () => {
    const { interpres } = stage().federation;
    [ivan, judy] = await Promise.all([stage().phone('ivan', 'tcp'), stage().phone('judy')]);
    await ivan.publish('before');
    ({ client: prince, watching: toPrince } = await befriend(stage(), 'prince', ivan));
    const numbers = (): number[] => toPrince.notifies.map(({ request }) => request.cseq.number);
    const told = numbers().length;
    const page = await befriend(stage(), 'page', judy);
    toPage = page.watching;
    await interpres.kill();
    await prince.presence({ children: [xml('show', {}, 'dnd')] });
    // Nobody is there to be told of it.
    await page.client.presence({ to: jid('judy'), type: 'unsubscribed' });
    await interpres.start();
    await interpres.untilLink('office', 'up');
    await toPrince.untilLast(says('active', 'open dnd'), { withinMs: 30_000 });
    assert.ok(numbers().length > told);
    assert.deepEqual(
      numbers(),
      [...numbers()].sort((a, b) => a - b),
    );
    await ivan.publish('after');
    await untilNewest(prince, 'ivan', 'after');
    assert.equal((await toPrince.refresh()).status, 200);
    assert.deepEqual(await prince.roster(), [{ jid: jid('ivan'), subscription: 'both' }]);
    assert.equal(prince.presences().filter(isFrom('ivan', 'subscribe')).length, 1, 'she is not asked again');
  });

  test(`${name}: the XMPP server is away while both sides change: afterwards they agree`, async () => {
    const { interpres, xmpp } = stage().federation;
    await Promise.all([prince.presence(), lady.presence()]);
    await toPrince.untilLast(says('active', 'open'));
    // ejabberd keeps what has changed for up to 2 s in memory: killed, it would not know whom it has just let in.
    await (name === 'ejabberd' ? xmpp.stop() : xmpp.kill());
    await interpres.untilLink('office', 'down');
    await ivan.publish('while it was away');
    await heidi.publish('changed');
    await heidi.unpublish();
    await xmpp.start();
    await interpres.untilLink('office', 'up', 60_000);
    prince = await stage().client('prince', 'anew');
    assert.deepEqual(await prince.roster(), [{ jid: jid('ivan'), subscription: 'both' }], 'his server has kept it');
    await prince.presence({ children: [xml('show', {}, 'xa')] });
    await untilNewest(prince, 'ivan', 'while it was away');
    await toPrince.until(({ document }) => document?.tuples.some(({ show }) => show === 'xa') === true);
    // Nobody has said that lady is gone: her server does not know that she was there.
    await toLady.untilLast(({ document }) => document?.tuples.every(({ basic }) => basic === 'closed') === true, {
      withinMs: 30_000,
    });
    await toPrince.untilLast(({ document }) => document?.tuples.filter(({ basic }) => basic === 'open').length === 1, {
      withinMs: 30_000,
    });
    lady = await stage().client('lady', 'last');
    await untilNewest(lady, 'heidi', undefined);
    await toLady.untilLast(({ document }) => document?.tuples.some(({ basic }) => basic === 'open') === true);
  });

  test(`${name}: what was refused while nobody was there to hear it is asked again`, async () => {
    const page = await stage().client('page');
    await page.untilPresence(isFrom('judy', 'subscribe'), { withinMs: 30_000 });
    await toPage.untilLast(({ document }) => document?.tuples.every(({ basic }) => basic === 'closed') === true);
    await page.presence({ to: jid('judy'), type: 'unsubscribed' });
    await toPage.untilLast(({ state }) => state.state === 'terminated' && state.reason === 'rejected');
    assert.deepEqual(await page.roster(), [{ jid: jid('judy'), subscription: 'to' }]);
  });

  test(`${name}: a user who is taken away is gone for his watchers, and nothing of him is left to the next`, async () => {
    const { interpres } = stage().federation;
    await heidi.publish('still here');
    await untilNewest(lady, 'heidi', 'still here');
    const before = lady.presences().length;
    await interpres.run(['users', 'remove', `sip:heidi@${SIP_DOMAIN}`]);
    await lady.untilPresence(isFrom('heidi', 'unsubscribed'), { from: before });
    const types = lady
      .presences()
      .slice(before)
      .map(({ attrs }) => String(attrs['type']));
    assert.deepEqual(types.sort(), ['unavailable', 'unsubscribe', 'unsubscribed']);
    await toLady.untilLast(({ state }) => state.state === 'terminated' && state.reason === 'noresource');
    await until(async () => (await lady.roster())[0]?.subscription === 'none', { what: 'heidi is nothing to lady' });

    // Somebody else is given the address.
    await interpres.addUser('heidi', SIP_DOMAIN, passwordOf('heidi'));
    assert.match(await stage().watchers('list', 'heidi'), /nobody watches/);
    const heir = await stage().phone('heidi');
    const asked = lady.presences().length;
    const watching = await heir.subscribe(sip('lady'));
    await watching.untilLast(says('pending', 'no document'));
    await lady.untilPresence(isFrom('heidi', 'subscribe'), { from: asked });
    await lady.presence({ to: jid('heidi'), type: 'subscribe' });
    await until(async () => (await stage().watcherOf('heidi', 'lady@xmpp.example')) === 'pending confirm', {
      what: 'lady waits as anybody else',
      everyMs: 100,
    });
  });
}
