/** The disk is full while watchers subscribe, phones publish and owners decide. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CountingPublisher } from '../support/counting-publisher.ts';
import { CountingWatchers, type WatcherDialog } from '../support/counting-watchers.ts';
import { PRESENCE_DOMAIN, startPresenceServer, untilHolding } from '../support/presence-faults.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const LIVING = 20;

/** Leaves no free byte on the disk. */
function fill(file: string): void {
  for (let size = 1 << 20; size >= 1; size >>= 1) {
    for (;;) {
      try {
        writeFileSync(file, Buffer.alloc(size), { flag: 'a' });
      } catch {
        break;
      }
    }
  }
}

test('disk full: SUBSCRIBE, PUBLISH and rules get 503, nothing of them is left, and it recovers', async (t) => {
  const disk = mountSmallDisk(temporaryFolder('presence-disk'), '8m');
  if (disk === undefined) {
    t.skip('this process may not mount a file system');
    return;
  }
  t.after(() => disk.remove());
  const server = await startPresenceServer('presence-disk', {}, join(disk.folder, 'data'));
  t.after(() => server.stop());
  const ends = { transport: 'udp', port: server.sipPort, domain: PRESENCE_DOMAIN } as const;
  const watchers = await CountingWatchers.open({ ...ends, watched: Array.from({ length: 400 }, () => 'alice') });
  t.after(() => watchers.close());
  const publisher = await CountingPublisher.open({ ...ends, user: 'alice' });
  t.after(() => publisher.close());
  const living = watchers.dialogs.slice(0, LIVING);
  const late = watchers.dialogs.slice(LIVING);
  await watchers.subscribe(living);
  assert.equal(await publisher.publish(0), 200);
  await untilHolding(watchers, 0, LIVING);

  const filler = join(disk.folder, 'filler');
  fill(filler);
  // What the database has allocated before may still take some.
  const accepted: WatcherDialog[] = [];
  const refused: WatcherDialog[] = [];
  for (const dialog of late) {
    const status = await watchers.ask(dialog);
    if (status === 200) accepted.push(dialog);
    else {
      assert.equal(status, 503);
      refused.push(dialog);
    }
    if (refused.length >= 5) break;
  }
  assert.ok(refused.length >= 5, 'the disk is full');
  await until(() => accepted.every(({ notified }) => notified > 0), { what: 'the last that went in are told' });

  const [first, second] = living as [WatcherDialog, WatcherDialog];
  const answer = await watchers.answerTo(first);
  assert.match(answer, /^SIP\/2\.0 503 /);
  assert.match(answer, /\r\nRetry-After: \d+\r\n/);
  assert.equal(await watchers.ask(second, 0), 503, 'nobody can unsubscribe');
  assert.equal(await publisher.publish(1), 503);
  await assert.rejects(
    server.run(['watchers', 'block', `alice@${PRESENCE_DOMAIN}`, `${first.user}@${PRESENCE_DOMAIN}`]),
    /store|space|full/i,
  );
  assert.match(await server.run(['watchers', 'list', `alice@${PRESENCE_DOMAIN}`, '--json']), /"isInvisible": ?false/);
  assert.equal(watchers.faults.terminated, 0, 'nobody was told of the rule');
  assert.equal(watchers.holding(1), 0, 'nobody was told of what was not stored');

  rmSync(filler);
  await until(async () => (await watchers.ask(first)) === 200, { what: 'a refresh is taken again', everyMs: 200 });
  // With the entity-tag that it had: the refused one has changed nothing.
  assert.equal(await publisher.publish(2), 200);
  assert.equal(publisher.restarts, 0, 'the publication is still the first one');
  const live = LIVING + accepted.length;
  await untilHolding(watchers, 2, live);
  assert.deepEqual([watchers.faults.lost, watchers.faults.terminated, watchers.faults.cseqRepeated], [0, 0, 0]);
  assert.ok(refused.every(({ notified }) => notified === 0));

  await server.kill();
  await server.start();
  assert.equal((await server.health()).presence.subscriptions, live, 'those that were granted and no others');
  await watchers.subscribe([...living, ...accepted]);
  assert.equal(watchers.faults.lost, 0);
  const errors = server.log().filter((line) => line['level'] === 'error');
  assert.deepEqual(
    errors.filter(({ msg }) => msg !== 'store cannot be written'),
    [],
  );
});
