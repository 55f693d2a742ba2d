import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PresenceDocument } from '../../../src/cpim/presence/document.ts';
import { SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../../support/federation.ts';
import { startKamailioPresence, type KamailioPresence } from '../../support/kamailio.ts';
import { needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import { PresencePhone, type Watching } from '../../support/presence-phone.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { until } from '../../support/until.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

/** What we ask for, so that refreshes are seen within seconds. */
const EXPIRES_SECONDS = 8;
/** Over UDP Kamailio wants more than that. */
const MIN_EXPIRES_SECONDS = 10;

const peers = [
  { transport: 'tcp', domain: 'partner.example', minExpires: 4 },
  { transport: 'udp', domain: 'datagrams.example', minExpires: MIN_EXPIRES_SECONDS },
] as const;
type Transport = 'udp' | 'tcp';

type Side = {
  readonly domain: string;
  readonly kamailio: KamailioPresence;
  /** A phone of that domain, which knows Kamailio alone. */
  phone(user: string): Promise<PresencePhone>;
};

let world: Federation;
const sides = new Map<Transport, Side>();
const phones: ScriptedPhone[] = [];

/** A phone of ours. */
async function ours(user: string, transport: Transport): Promise<PresencePhone> {
  const server = { transport, port: world.interpres.sipPort };
  const phone = await ScriptedPhone.open({ user, domain: SIP_DOMAIN, password: passwordOf(user), server });
  phones.push(phone);
  return new PresencePhone(phone);
}

const shows =
  (text: string) =>
  ({ document }: { readonly document?: PresenceDocument }): boolean =>
    document?.tuples.some(({ notes }) => notes.some((note) => note.text === text)) === true;

/** What Kamailio saw of our SUBSCRIBE requests to one of its presentities: number, expiry, dialog. */
function seenBy({ kamailio }: Side, presentity: string): Array<{ cseq: number; expires: number; callId: string }> {
  return kamailio.watchers().flatMap((line) => {
    const [, to, cseq, expires, callId = ''] =
      /^\S+ -> (\S+) cseq=(\d+) expires=(\d+) proto=\S+ call=(\S+)/.exec(line) ?? [];
    return to === presentity ? [{ cseq: Number(cseq), expires: Number(expires), callId }] : [];
  });
}

const states = ({ notifies }: Watching): readonly string[] => notifies.map(({ state }) => state.state);

/** What we ask Kamailio for in the end. */
const asked = (transport: Transport): number => (transport === 'udp' ? MIN_EXPIRES_SECONDS : EXPIRES_SECONDS);

const oursSeen = (seen: () => ReturnType<typeof seenBy>, count: number, what: string) =>
  until(() => (seen().length >= count ? seen() : undefined), {
    what,
    withinMs: 30_000,
    detail: () => JSON.stringify(seen()),
  });

/** Decides until it shows. */
function untilDecided(side: Side, presentity: string, rule: 'allow' | 'block', shown: () => boolean): Promise<unknown> {
  return until(
    () => {
      if (shown()) return true;
      side.kamailio.decide(presentity, rule);
      return false;
    },
    { what: `${rule} for ${presentity} shows`, withinMs: 20_000, everyMs: 400 },
  );
}

describe('kamailio with its presence server', needs('kamailio-presence', 'prosody'), () => {
  before(async () => {
    const ports = { tcp: await freePort(), udp: await freePort() };
    world = await startFederation({
      name: 'kamailio-presence',
      sipUsers: ['alice', 'bob'],
      config: {
        peers: [
          { domain: XMPP_DOMAIN, link: 'office' },
          ...peers.map(({ transport, domain }) => ({
            domain,
            link: 'sip',
            nextHop: `sip:127.0.0.1:${ports[transport]};transport=${transport}`,
            trust: ['127.0.0.1'],
          })),
        ],
        presence: {
          default: 'allow',
          notifyIntervalSeconds: 0,
          expires: { min: 5, default: EXPIRES_SECONDS, max: 3_600 },
        },
        log: { level: 'debug' },
      },
    });
    for (const { transport, domain, minExpires } of peers) {
      const port = ports[transport];
      const kamailio = await startKamailioPresence({
        folder: world.folder,
        domain,
        port,
        neighbourPort: world.interpres.sipPort,
        transport,
        minExpires,
      });
      for (const user of ['romeo', 'busy']) kamailio.decide(user, 'allow');
      kamailio.decide('hermit', 'block');
      const phone = async (user: string): Promise<PresencePhone> => {
        const opened = await ScriptedPhone.open({ user, domain, server: { transport, port } });
        phones.push(opened);
        return new PresencePhone(opened);
      };
      sides.set(transport, { domain, kamailio, phone });
    }
  });

  after(async () => {
    for (const phone of phones) await phone.close();
    for (const { kamailio } of sides.values()) await kamailio.stop();
    await world.stop();
  });

  describe('kamailio as a presence peer', { concurrency: true }, () => {
    for (const { transport } of peers) {
      const side = (): Side => sides.get(transport)!;

      test(`kamailio over ${transport}: ours watch theirs: seen, refreshed past the expiry, given up`, async () => {
        const [romeo, alice] = [await side().phone('romeo'), await ours('alice', transport)];
        assert.equal((await romeo.publish('in the orchard')).status, 200);
        const watching = await alice.subscribe(`sip:romeo@${side().domain}`);
        assert.equal(watching.status, 200);
        await watching.untilLast(shows('in the orchard'));
        // Refreshed at half of so short a time: with the third refresh the first grant would have ended.
        const granted = (): ReturnType<typeof seenBy> =>
          seenBy(side(), 'romeo').filter(({ expires }) => expires === asked(transport));
        const requests = await oursSeen(granted, 4, 'three refreshes');
        assert.equal(new Set(requests.map(({ callId }) => callId)).size, 1, 'one dialog');
        assert.deepEqual(
          requests.map(({ cseq }) => cseq),
          [1, 2, 3, 4],
        );
        assert.equal((await romeo.publish('on the balcony')).status, 200);
        await watching.untilLast(shows('on the balcony'));
        assert.ok(!states(watching).includes('terminated'), watching.describe());

        assert.equal((await watching.unsubscribe()).status, 200);
        await watching.untilLast(({ state }) => state.state === 'terminated');
        const last = (): ReturnType<typeof seenBy> =>
          seenBy(side(), 'romeo').filter(({ callId, expires }) => callId === requests[0]?.callId && expires === 0);
        await oursSeen(last, 1, 'the end of the dialog');
      });

      test(`kamailio over ${transport}: who waits there waits here, sees once allowed, and is cut off when refused`, async () => {
        const [coy, alice] = [await side().phone('coy'), await ours('alice', transport)];
        assert.equal((await coy.publish('behind the fan')).status, 200);
        const watching = await alice.subscribe(`sip:coy@${side().domain}`);
        await oursSeen(() => seenBy(side(), 'coy'), 1, 'our SUBSCRIBE');
        await watching.untilLast(({ state, document }) => state.state === 'pending' && document === undefined);
        await untilDecided(
          side(),
          'coy',
          'allow',
          () => watching.last !== undefined && shows('behind the fan')(watching.last),
        );
        assert.equal(watching.last?.state.state, 'active');
        await untilDecided(side(), 'coy', 'block', () => watching.last?.state.state === 'terminated');
        const last = await watching.untilLast(({ state }) => state.state === 'terminated');
        assert.deepEqual(last.state, { state: 'terminated', reason: 'rejected' });
      });

      test(`kamailio over ${transport}: who is refused from the first is told so`, async () => {
        const [hermit, alice] = [await side().phone('hermit'), await ours('alice', transport)];
        assert.equal((await hermit.publish('nobody sees this')).status, 200);
        const watching = await alice.subscribe(`sip:hermit@${side().domain}`);
        const last = await watching.untilLast(({ state }) => state.state === 'terminated');
        assert.deepEqual(last.state, { state: 'terminated', reason: 'rejected' });
        assert.ok(!watching.notifies.some(({ body }) => body.includes('nobody sees this')));
      });

      test(`kamailio over ${transport}: a pause that it asks for with 503 is kept, and then it works`, async () => {
        const [busy, alice] = [await side().phone('busy'), await ours('alice', transport)];
        assert.equal((await busy.publish('one at a time')).status, 200);
        const beganAtMs = Date.now();
        const watching = await alice.subscribe(`sip:busy@${side().domain}`);
        await watching.until(shows('one at a time'), { withinMs: 30_000 });
        // Without Retry-After the next attempt comes after 10 s at the latest.
        const tookMs = Date.now() - beganAtMs;
        assert.ok(tookMs >= 12_000, `${tookMs} ms`);
      });

      test(`kamailio over ${transport}: one who publishes nothing there is watched without a word`, async () => {
        const alice = await ours('alice', transport);
        const watching = await alice.subscribe(`sip:silent@${side().domain}`);
        side().kamailio.decide('silent', 'allow');
        await untilDecided(side(), 'silent', 'allow', () => watching.last?.state.state === 'active');
        assert.equal(watching.last?.body, '');
      });

      test(`kamailio over ${transport}: theirs watch ours through its routes: told, refreshed, given up`, async () => {
        const [nurse, bob] = [await side().phone('nurse'), await ours('bob', transport)];
        assert.equal((await bob.publish('at the market')).status, 200);
        const tooBrief = await nurse.subscribe(`sip:bob@${SIP_DOMAIN}`, { expires: 2 });
        assert.equal(tooBrief.status, 423);
        assert.equal(tooBrief.response?.headers.get('Min-Expires'), '5');
        const watching = await nurse.subscribe(`sip:bob@${SIP_DOMAIN}`, { expires: 60 });
        assert.equal(watching.status, 200);
        assert.ok((watching.response?.headers.all('Record-Route') ?? []).length >= 1);
        const first = await watching.untilLast(shows('at the market'));
        // Through Kamailio, which has added itself.
        assert.ok(first.request.headers.all('Via').length >= 2);
        assert.equal((await bob.publish('at the church')).status, 200);
        await watching.untilLast(shows('at the church'));
        const known = watching.notifies.length;
        assert.equal((await watching.refresh(60)).status, 200);
        await watching.until(shows('at the church'), { from: known });
        assert.equal((await watching.unsubscribe()).status, 200);
        const last = await watching.untilLast(({ state }) => state.state === 'terminated');
        assert.deepEqual(last.state, { state: 'terminated', reason: 'timeout' });
        // Nobody sent it anything outside of the dialog: its CSeq numbers follow each other.
        const numbers = watching.notifies.map(({ request }) => request.cseq.number);
        assert.deepEqual(
          numbers,
          [...numbers].sort((a, b) => a - b),
        );
      });

      test(`kamailio over ${transport}: a watcher of theirs who does not know his subscription any more is not told again`, async () => {
        const [lost, bob] = [await side().phone('lost'), await ours('bob', transport)];
        const watching = await lost.subscribe(`sip:bob@${SIP_DOMAIN}`, { expires: 60 });
        await watching.until(({ state }) => state.state === 'active');
        lost.phone.answer = () => ({ status: 481 });
        const known = watching.notifies.length;
        assert.equal((await bob.publish('anybody there')).status, 200);
        await watching.until(() => true, { from: known });
        lost.phone.answer = () => ({ status: 200 });
        assert.equal((await watching.refresh(60)).status, 481);
      });

      test(`kamailio over ${transport}: theirs may not watch a user who does not exist, nor through us a user of XMPP`, async () => {
        const nurse = await side().phone('curious');
        assert.equal((await nurse.subscribe(`sip:nobody@${SIP_DOMAIN}`)).status, 404);
        assert.equal((await nurse.subscribe(`sip:juliet@${XMPP_DOMAIN}`)).status, 403);
      });
    }
  });

  describe('kamailio restarted', { concurrency: true }, () => {
    for (const { transport } of peers) {
      const side = (): Side => sides.get(transport)!;

      test(`kamailio over ${transport}: restarted it knows no dialog; ours get another, and their watchers see a pause alone`, async () => {
        const [tybalt, alice, page, bob] = [
          await side().phone('tybalt'),
          await ours('alice', transport),
          await side().phone('page'),
          await ours('bob', transport),
        ];
        side().kamailio.decide('tybalt', 'allow');
        assert.equal((await tybalt.publish('in the street')).status, 200);
        assert.equal((await bob.publish('at the gate')).status, 200);
        const watching = await alice.subscribe(`sip:tybalt@${side().domain}`);
        const theirs = await page.subscribe(`sip:bob@${SIP_DOMAIN}`);
        await untilDecided(side(), 'tybalt', 'allow', () => watching.notifies.some(shows('in the street')));
        await theirs.untilLast(shows('at the gate'));

        await side().kamailio.stop();
        await side().kamailio.start();
        // It has forgotten what was published, too: 412, and once more from the start.
        assert.equal((await tybalt.publish('at the well')).status, 412);
        assert.equal((await tybalt.publish('at the well')).status, 200);
        await watching.untilLast(shows('at the well'), { withinMs: 30_000 });
        const dialogs = new Set(
          seenBy(side(), 'tybalt')
            .filter(({ expires }) => expires === asked(transport))
            .map(({ callId }) => callId),
        );
        assert.equal(dialogs.size, 2, 'one that it did not know, and a new one');
        assert.ok(!states(watching).includes('terminated'), watching.describe());
        assert.ok(
          watching.notifies
            .filter(({ document }) => document !== undefined)
            .every(({ document }) => document?.tuples[0]?.basic === 'open'),
          'at no time closed',
        );

        // Their dialogs with us lead through it still.
        assert.equal((await bob.publish('at the bridge')).status, 200);
        await theirs.untilLast(shows('at the bridge'), { withinMs: 30_000 });
        assert.equal((await theirs.refresh(60)).status, 200);
      });
    }
  });

  describe('kamailio away', () => {
    test('kamailio over tcp: away for a while, it is asked again when it is back, and what changed meanwhile is told', async () => {
      const side = sides.get('tcp')!;
      const [paris, alice, groom, bob] = [
        await side.phone('paris'),
        await ours('alice', 'tcp'),
        await side.phone('groom'),
        await ours('bob', 'tcp'),
      ];
      assert.equal((await paris.publish('with flowers')).status, 200);
      const watching = await alice.subscribe(`sip:paris@${side.domain}`);
      const theirs = await groom.subscribe(`sip:bob@${SIP_DOMAIN}`);
      await untilDecided(side, 'paris', 'allow', () => watching.notifies.some(shows('with flowers')));
      await theirs.until(({ state }) => state.state === 'active');

      await side.kamailio.stop();
      const isUnanswered = ({ msg, watcher, callId }: Readonly<Record<string, unknown>>): boolean =>
        msg === 'subscription request was not answered' &&
        watcher === `alice@${SIP_DOMAIN}` &&
        seenBy(side, 'paris').some((seen) => seen.callId === callId);
      await until(() => world.interpres.log().some(isUnanswered), { what: 'a refresh that fails', withinMs: 20_000 });
      assert.equal((await bob.publish('while nobody listens')).status, 200);
      await world.interpres.untilLogged(/^notification failed$/);
      await side.kamailio.start();
      assert.equal((await paris.publish('at the tomb')).status, 412);
      assert.equal((await paris.publish('at the tomb')).status, 200);
      await watching.untilLast(shows('at the tomb'), { withinMs: 40_000 });
      assert.ok(!states(watching).includes('terminated'), watching.describe());
      await theirs.untilLast(shows('while nobody listens'), { withinMs: 20_000 });
    });
  });
});
