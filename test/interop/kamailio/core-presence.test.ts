import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COMPONENT, startFederation, XMPP_DOMAIN, type Federation } from '../../support/federation.ts';
import { startKamailioPresence, type KamailioPresence } from '../../support/kamailio.ts';
import { needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import { PresencePhone } from '../../support/presence-phone.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { until } from '../../support/until.ts';
import { startXmppClient, type Stanza, type XmppClient } from '../../support/xmpp-client.ts';

const CORE = 'core.example';
/** So that refreshes are seen within seconds. */
const EXPIRES_SECONDS = 8;
const ROMEO = `romeo@${COMPONENT}`;

const hasStatus =
  (text: string) =>
  (stanza: Stanza): boolean =>
    stanza.getChildText('status') === text && String(stanza.attrs['from']).startsWith(`${ROMEO}/`);

/** A domain of ours whose users and presence are behind Kamailio; who watches them uses XMPP. */
describe('kamailio as the core of a domain of ours', needs('kamailio-presence', 'prosody'), () => {
  let world: Federation;
  let kamailio: KamailioPresence;
  let romeo: PresencePhone;
  let juliet: XmppClient;
  let nurse: XmppClient;

  before(async () => {
    const port = await freePort();
    world = await startFederation({
      name: 'core-presence',
      xmppUsers: ['juliet', 'nurse'],
      config: {
        domains: [{ name: CORE, trust: ['127.0.0.1'], nextHop: `sip:127.0.0.1:${port};transport=tcp` }],
        presence: { notifyIntervalSeconds: 0, expires: { min: 5, default: EXPIRES_SECONDS, max: 3_600 } },
        log: { level: 'debug' },
      },
      domain: CORE,
    });
    kamailio = await startKamailioPresence({
      folder: world.folder,
      domain: CORE,
      port,
      neighbourPort: world.interpres.sipPort,
      transport: 'tcp',
    });
    kamailio.decide('romeo', 'allow');
    const phone = await ScriptedPhone.open({ user: 'romeo', domain: CORE, server: { transport: 'tcp', port } });
    romeo = new PresencePhone(phone);
    [juliet, nurse] = [await startXmppClient(world.xmpp, 'juliet'), await startXmppClient(world.xmpp, 'nurse')];
  });
  after(async () => {
    await juliet.stop();
    await nurse.stop();
    await romeo.phone.close();
    await kamailio.stop();
    await world.stop();
  });

  /** Our SUBSCRIBE requests for one XMPP user, as Kamailio saw them: `cseq expires` by dialog. */
  const seenOf = (user: string): Array<{ cseq: number; expires: number; callId: string }> =>
    kamailio.watchers().flatMap((line) => {
      const [, from, cseq, expires, callId = ''] =
        /^(\S+)@xmpp\.example -> romeo cseq=(\d+) expires=(\d+) proto=tcp call=(\S+)/.exec(line) ?? [];
      return from === user ? [{ cseq: Number(cseq), expires: Number(expires), callId }] : [];
    });
  const untilSeen = (user: string, count: number, what: string): Promise<unknown> =>
    until(() => seenOf(user).length >= count, {
      what,
      withinMs: 20_000,
      detail: () => kamailio.watchers().join('\n'),
    });

  test('core: XMPP users ask, wait for the core to decide, and see', async () => {
    assert.equal((await romeo.publish('in the orchard')).status, 200);
    await juliet.presence({ to: ROMEO, type: 'subscribe' });
    await nurse.presence({ to: ROMEO, type: 'subscribe' });
    for (const client of [juliet, nurse]) {
      await client.untilPresence(({ attrs }) => attrs['type'] === 'subscribed' && attrs['from'] === ROMEO);
      await client.untilPresence(hasStatus('in the orchard'));
    }
    const [item] = await juliet.roster();
    assert.equal(item?.subscription, 'to');
    // From which client they asked the server does not say; when one comes it does.
    await juliet.stop();
    await nurse.stop();
    [juliet, nurse] = [await startXmppClient(world.xmpp, 'juliet'), await startXmppClient(world.xmpp, 'nurse')];
    for (const client of [juliet, nurse]) await client.untilPresence(hasStatus('in the orchard'));
  });

  test('core: refreshed in one dialog while they are there', async () => {
    await untilSeen('juliet', 3, 'two refreshes');
    const requests = seenOf('juliet');
    assert.equal(new Set(requests.map(({ callId }) => callId)).size, 1);
    assert.deepEqual(
      requests.slice(0, 3).map(({ cseq, expires }) => [cseq, expires]),
      [1, 2, 3].map((cseq) => [cseq, EXPIRES_SECONDS]),
    );
  });

  test('core: not once she has left; the other one goes on', async () => {
    await juliet.stop();
    const isOver = (): boolean => seenOf('juliet').some(({ expires }) => expires === 0);
    await until(isOver, { what: 'the end of the dialog', detail: () => kamailio.watchers().join('\n') });
    const [hers, others] = [seenOf('juliet').length, seenOf('nurse').length];
    await untilSeen('nurse', others + 1, 'a refresh of the other one');
    assert.equal(seenOf('juliet').length, hers);
    assert.ok(seenOf('nurse').every(({ expires }) => expires > 0));
  });

  test('core: when she is back she is told what changed meanwhile, without asking again', async () => {
    assert.equal((await romeo.publish('on the balcony')).status, 200);
    await nurse.untilPresence(hasStatus('on the balcony'));
    const seen = seenOf('juliet').length;
    juliet = await startXmppClient(world.xmpp, 'juliet');
    await juliet.untilPresence(hasStatus('on the balcony'));
    const again = seenOf('juliet').slice(seen);
    assert.deepEqual([again[0]?.cseq, again[0]?.expires], [1, EXPIRES_SECONDS], 'a dialog of its own');
    const types = juliet.presences().map(({ attrs }) => String(attrs['type']));
    assert.ok(!types.includes('subscribe') && !types.includes('unsubscribed'), types.join());
  });

  test('core: killed and started again we go on in the dialogs that there are', async () => {
    const before = seenOf('nurse').at(-1)!;
    await world.interpres.kill();
    await world.interpres.start();
    await world.interpres.untilLink('office', 'up');
    const seen = seenOf('nurse').length;
    await untilSeen('nurse', seen + 1, 'a refresh after the restart');
    const next = seenOf('nurse').at(-1)!;
    assert.equal(next.callId, before.callId);
    assert.ok(next.cseq > before.cseq);
    const from = nurse.presences().length;
    assert.equal((await romeo.publish('after the restart')).status, 200);
    for (const client of [juliet, nurse]) await client.untilPresence(hasStatus('after the restart'));
    assert.deepEqual(
      nurse
        .presences()
        .slice(from)
        .filter(({ attrs }) => attrs['type'] !== undefined)
        .map(String),
      [],
    );
  });

  test('core: a user of the core watches one of XMPP through it', async () => {
    const watching = await romeo.subscribe(`sip:juliet@${XMPP_DOMAIN}`, { expires: 60 });
    assert.equal(watching.status, 200);
    await watching.untilLast(({ state }) => state.state === 'pending');
    await juliet.untilPresence(({ attrs }) => attrs['type'] === 'subscribe' && attrs['from'] === ROMEO);
    const dialog = seenOf('juliet').at(-1)?.callId;
    await juliet.presence({ to: ROMEO, type: 'subscribed' });
    const last = await watching.untilLast(({ document }) => document?.tuples[0]?.basic === 'open');
    assert.equal(last.state.state, 'active');
    // That he watches her leaves alone that she watches him.
    assert.equal(seenOf('juliet').at(-1)?.callId, dialog);
    assert.ok((seenOf('juliet').at(-1)?.expires ?? 0) > 0);
    assert.equal((await watching.unsubscribe()).status, 200);
    await watching.untilLast(({ state }) => state.state === 'terminated');
  });

  test('core: with their XMPP server gone the dialogs are kept; of those who are not back with it theirs is ended', async () => {
    await world.xmpp.kill();
    await world.interpres.untilLink('office', 'down');
    await juliet.stop();
    await nurse.stop();
    const isGone = (callId: string | undefined): boolean =>
      [...seenOf('juliet'), ...seenOf('nurse')].some((seen) => seen.callId === callId && seen.expires === 0);
    const [hers, others] = [seenOf('juliet'), seenOf('nurse')];
    await untilSeen('juliet', hers.length + 1, 'a refresh while nobody can say');
    await untilSeen('nurse', others.length + 1, 'a refresh while nobody can say');
    assert.equal(seenOf('juliet').at(-1)?.callId, hers.at(-1)?.callId);
    assert.equal((await romeo.publish('still here')).status, 200);
    await world.xmpp.start();
    juliet = await startXmppClient(world.xmpp, 'juliet');
    await world.interpres.untilLink('office', 'up');
    await juliet.untilPresence(hasStatus('still here'), { withinMs: 20_000 });
    await until(() => isGone(others.at(-1)?.callId), {
      what: 'the end of the dialog of the one who is not back',
      withinMs: 20_000,
      detail: () => kamailio.watchers().join('\n'),
    });
    assert.ok(!isGone(hers.at(-1)?.callId));
  });

  test('core: who unsubscribes ends the dialog, and is told so', async () => {
    const [seen, from] = [seenOf('juliet').length, juliet.presences().length];
    await juliet.presence({ to: ROMEO, type: 'unsubscribe' });
    await until(
      () =>
        seenOf('juliet')
          .slice(seen)
          .some(({ expires }) => expires === 0),
      {
        what: 'the end of the dialog',
        detail: () => kamailio.watchers().join('\n'),
      },
    );
    const isGone = ({ attrs }: Stanza): boolean =>
      attrs['type'] === 'unavailable' && String(attrs['from']).startsWith(`${ROMEO}/`);
    await juliet.untilPresence(isGone, { from });
    const items = (await juliet.roster()).filter(({ jid }) => jid === ROMEO);
    assert.deepEqual(
      items.map(({ subscription }) => subscription),
      ['from'],
      'that he may watch her stays',
    );
  });
});
