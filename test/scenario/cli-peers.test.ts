import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { controlSocketPath } from '../../src/cli/control-socket.ts';
import type { Health } from '../../src/http/routes-health.ts';
import { OperatorDoor } from '../../src/http/server.ts';
import { configText } from '../support/builders.ts';
import { command } from '../support/command.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SINCE_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const FIGURES = { live: 0, dead: 0, underWay: 0, perHop: {} };
const HEALTH: Health = {
  status: 'starting',
  version: '0.0.0',
  uptimeSeconds: 1,
  store: 'ok',
  sip: [],
  sipServers: { 'edge.example:9022': { at: 'down', sinceMs: SINCE_MS, reason: 'it refused our secret' } },
  links: {
    office: { at: 'up', sinceMs: SINCE_MS, unconfirmed: 0, node: 'a' },
    // Would turn the line round, were it printed as it is.
    second: { at: 'down', sinceMs: SINCE_MS, unconfirmed: 0, reason: 'nobody\u202elistens there' },
  },
  peers: { 'xmpp.example': { reachable: false, waiting: 12 }, 'partner.example': { reachable: true, waiting: 0 } },
  certificates: {},
  queue: FIGURES,
  presence: { publications: 0, subscriptions: 0, unanswered: 0 },
  registeredUsers: 0,
};

describe('interpres peers', () => {
  const folder = temporaryFolder('cli-peers');
  const data = join(folder, 'data');
  const configFile = join(folder, 'interpres.yaml');
  const door = new OperatorDoor({
    controlSocket: controlSocketPath(data),
    log: new RecordingLog(),
    health: { health: () => HEALTH },
    queue: {
      queue: {
        figures: () => FIGURES,
        list: () => Promise.resolve([]),
        show: () => Promise.resolve(undefined),
        retry: () => Promise.resolve(false),
        drop: () => Promise.resolve(false),
      },
    },
  });

  before(async () => {
    mkdirSync(data);
    writeFileSync(configFile, configText('data: ./data\n'));
    await door.open();
  });
  after(() => door.close());

  test('peers: links with their reasons, and peers with the links they are reached over, while it starts as well', async () => {
    const { code, stdout, stderr } = await command(['peers', '--config', configFile]);
    assert.deepEqual([code, stderr], [0, '']);
    const rows = stdout.split('\n').map((line) => line.split(/\s{2,}/));
    assert.deepEqual(rows.slice(0, 4), [
      ['link', 'state', 'since', 'node', 'why'],
      ['office', 'up', '2026-01-02T03:04:05.000Z', 'a'],
      ['second', 'down', '2026-01-02T03:04:05.000Z', 'nobody listens there'],
      ['drachtio edge.example:9022', 'down', '2026-01-02T03:04:05.000Z', 'it refused our secret'],
    ]);
    assert.deepEqual(rows.slice(5, 8), [
      ['peer', 'over', 'state', 'waiting'],
      ['xmpp.example', 'office, second', 'not reachable', '12'],
      ['partner.example', 'sip', 'reachable', '0'],
    ]);
  });

  test('peers: as JSON', async () => {
    const { code, stdout } = await command(['peers', '--json', '--config', configFile]);
    assert.equal(code, 0);
    const { links, peers, sipServers } = HEALTH;
    assert.deepEqual(JSON.parse(stdout), { links, peers, sipServers });
  });

  test('peers: without a server that runs nobody knows', async () => {
    writeFileSync(join(folder, 'other.yaml'), configText('data: ./other\n'));
    const { code, stderr } = await command(['peers', '--config', join(folder, 'other.yaml')]);
    assert.equal(code, 1);
    assert.match(stderr, /no server runs on .*other, .*; start it with: interpres serve --config/);
  });
});
