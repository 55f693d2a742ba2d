import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import type { Health } from '../../../src/http/routes-health.ts';
import { OperatorDoor } from '../../../src/http/server.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const FIGURES = { live: 1, dead: 0, underWay: 0, perHop: {} };
const asked: unknown[] = [];
let status: Health['status'] = 'ok';

const health = (): Health => ({
  ...{
    status,
    version: '1',
    uptimeSeconds: 1,
    sip: [],
    links: {},
    peers: {},
    certificates: {},
    queue: FIGURES,
    presence: { publications: 0, subscriptions: 0, unanswered: 0 },
    store: 'ok',
    registeredUsers: 0,
  },
});

const queue = {
  figures: () => FIGURES,
  list: (filter: unknown) => {
    asked.push(filter);
    return Promise.resolve([]);
  },
  show: (id: string) => {
    if (id === 'full') return Promise.reject(new GatewayError('store-unavailable', 'inner words'));
    if (id === 'bug') return Promise.reject(new TypeError('inner words'));
    return Promise.resolve(undefined);
  },
  retry: (id: string) => Promise.resolve(id === 'there'),
  drop: (id: string) => Promise.resolve(id === 'there'),
};

describe('operator doors', () => {
  const socketPath = join(temporaryFolder('http'), 'control.sock');
  const log = new RecordingLog();
  const listen = { host: '127.0.0.1', port: 0 };
  const door = new OperatorDoor({ listen, controlSocket: socketPath, log, health: { health }, queue: { queue } });
  let port = 0;

  before(async () => {
    port = (await door.open()) ?? 0;
  });
  after(async () => {
    await door.close();
    assert.equal(existsSync(socketPath), false);
  });

  type Answer = { readonly status: number; readonly body: unknown; readonly headers: Record<string, unknown> };
  function ask(where: 'socket' | 'tcp', method: string, path: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const at = where === 'socket' ? { socketPath } : { host: '127.0.0.1', port };
      const sent = request({ ...at, method, path, agent: false }, (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text), headers: answer.headers }),
        );
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  test('the control socket is for the owner alone', () => {
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  });

  const ROWS: ReadonlyArray<readonly ['socket' | 'tcp', string, string, number]> = [
    ['tcp', 'GET', '/health', 200],
    ['socket', 'GET', '/health', 200],
    ['tcp', 'GET', '/queue', 404],
    ['tcp', 'GET', '/queue/there', 404],
    ['tcp', 'POST', '/queue/there/retry', 404],
    ['tcp', 'DELETE', '/queue/there', 404],
    ['tcp', 'POST', '/health', 404],
    ['socket', 'GET', '/queue', 200],
    ['socket', 'GET', '/queue?state=dead&hop=link%3Aoffice&owner=a%40b.example&limit=5', 200],
    ['socket', 'GET', '/queue?state=bogus', 400],
    ['socket', 'GET', '/queue?limit=0', 400],
    ['socket', 'GET', '/queue?limit=10001', 400],
    ['socket', 'GET', '/queue/none', 404],
    ['socket', 'POST', '/queue/there/retry', 200],
    ['socket', 'POST', '/queue/none/retry', 404],
    ['socket', 'DELETE', '/queue/there', 200],
    ['socket', 'DELETE', '/queue/none', 404],
    ['socket', 'GET', '/queue/full', 503],
    ['socket', 'GET', '/queue/bug', 500],
    ['socket', 'GET', '/..%2f..%2fetc/passwd', 404],
  ];
  for (const [where, method, path, expected] of ROWS) {
    test(`${where}: ${method} ${path} is ${expected}`, async () => {
      const answer = await ask(where, method, path);
      assert.equal(answer.status, expected);
      assert.equal(JSON.stringify(answer.body).includes('inner words'), false);
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
      assert.equal(answer.headers['cache-control'], 'no-store');
    });
  }

  test('a filter reaches the queue as it was asked for', async () => {
    await ask('socket', 'GET', '/queue?state=dead&hop=link%3Aoffice&owner=a%40b.example&limit=5');
    assert.deepEqual(
      { ...(asked.at(-1) as object) },
      { state: 'dead', hop: 'link:office', owner: 'a@b.example', limit: 5 },
    );
  });

  for (const [at, expected] of [
    ['starting', 503],
    ['ok', 200],
    ['stopping', 503],
  ] as const) {
    test(`health: ${at} is ${expected}`, async () => {
      status = at;
      const answer = await ask('tcp', 'GET', '/health');
      status = 'ok';
      assert.equal(answer.status, expected);
      assert.equal((answer.body as Health).status, at);
    });
  }

  test('only a fault of ours is an error of the log', async () => {
    const before = log.said('error').length;
    await ask('socket', 'GET', '/queue/full');
    assert.equal(log.said('error').length, before);
    await ask('socket', 'GET', '/queue/bug');
    assert.equal(log.said('error').length, before + 1);
  });
});
