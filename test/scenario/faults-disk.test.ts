import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Ledger } from '../support/counting-ledger.ts';
import { CountingSipSender } from '../support/counting-sip-sender.ts';
import { CountingXmppClient } from '../support/counting-xmpp-client.ts';
import { SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../support/federation.ts';
import { needs } from '../support/peers.ts';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const MAY_NOT_MOUNT = 'this process may not mount a file system';

async function startOn(disk: SmallDisk, t: TestContext): Promise<Federation> {
  const world = await startFederation({
    name: 'disk',
    xmppUsers: ['u0'],
    data: join(disk.folder, 'data'),
    config: { domains: [{ name: SIP_DOMAIN, trust: ['127.0.0.1'] }], rateLimits: 'off' },
  });
  t.after(async () => {
    await world.stop();
    disk.remove();
  });
  return world;
}

function aSender(world: Federation, ledger: Ledger, total: number): CountingSipSender {
  return new CountingSipSender({
    ledger,
    transport: 'tcp',
    port: world.interpres.sipPort,
    pairs: Array.from({ length: 8 }, (_, n) => ({ from: `s${n}@${SIP_DOMAIN}`, to: `u0@${XMPP_DOMAIN}` })),
    rate: Infinity,
    total,
    bodyBytes: 8_000,
  });
}

test(
  'disk full: refused with 503 and a log line, nothing accepted is lost, and it recovers',
  needs('prosody'),
  async (t) => {
    const disk = mountSmallDisk(temporaryFolder('disk'), '4m');
    if (disk === undefined) {
      t.skip(MAY_NOT_MOUNT);
      return;
    }
    const world = await startOn(disk, t);
    await world.xmpp.stop();
    await world.interpres.untilLink('office', 'down');

    const full = new Ledger({ stamped: true });
    const filling = aSender(world, full, 1_200);
    await filling.start();
    await filling.finished(60_000);
    filling.close();
    const { accepted, refused } = full.figures();
    assert.ok(accepted > 50, `${accepted} were accepted before the disk was full`);
    assert.ok(refused > 50, `${refused} were refused`);
    assert.deepEqual(Object.keys(filling.report().statuses).sort(), ['202', '503']);
    const logged = world.interpres
      .log()
      .find((line) => line['level'] === 'error' && /full|space|store/i.test(JSON.stringify(line)));
    assert.ok(logged, 'an error line says that the store cannot be written');
    assert.equal((await world.interpres.health()).queue.live, accepted);

    disk.resize('64m');
    await until(
      async () => {
        const probe = aSender(world, new Ledger({ stamped: true }), 1);
        await probe.start();
        await probe.finished(10_000);
        probe.close();
        return Object.keys(probe.report().statuses).includes('202');
      },
      { what: 'a message is accepted again', withinMs: 30_000, everyMs: 500 },
    );

    await world.xmpp.start();
    // The probes arrive too: theirs is not the ledger that is checked.
    const receiver = new CountingXmppClient({ server: world.xmpp, user: 'u0', received: full });
    await receiver.open();
    await until(() => full.isComplete(), { what: 'all that was accepted has arrived', withinMs: 60_000 });
    receiver.close();
    assert.equal(full.figures().lost, 0);
    assert.equal(full.figures().reordered, 0);
  },
);

test(
  'read-only data folder: the start fails and says why; what was accepted is there once it is writable',
  needs('prosody'),
  async (t) => {
    const disk = mountSmallDisk(temporaryFolder('disk'), '16m');
    if (disk === undefined) {
      t.skip(MAY_NOT_MOUNT);
      return;
    }
    const world = await startOn(disk, t);
    await world.xmpp.stop();
    await world.interpres.untilLink('office', 'down');
    const ledger = new Ledger({ stamped: true });
    const sender = aSender(world, ledger, 20);
    await sender.start();
    await sender.finished(10_000);
    sender.close();
    assert.equal(ledger.figures().accepted, 20);

    await world.interpres.stop();
    disk.setReadOnly(true);
    await assert.rejects(world.interpres.start(), /ended at its start[\s\S]*cannot start: .*writable/);
    const { code } = await world.interpres.process().exit();
    assert.equal(code, 1);

    disk.setReadOnly(false);
    await world.interpres.start();
    await world.xmpp.start();
    const receiver = new CountingXmppClient({ server: world.xmpp, user: 'u0', received: ledger });
    await receiver.open();
    await until(() => ledger.isComplete(), { what: 'all that was accepted has arrived', withinMs: 40_000 });
    receiver.close();
    assert.deepEqual([ledger.figures().lost, ledger.figures().reordered], [0, 0]);
  },
);
