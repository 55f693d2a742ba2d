import assert from 'node:assert/strict';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import type { Health } from '../../../src/http/routes-health.ts';
import { OperatorDoor } from '../../../src/http/server.ts';
import { FakeWatchers } from '../../support/fake-watchers.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const TOKEN = 'a-token.of_this~test+7/==';
const FIGURES = { live: 0, dead: 0, underWay: 0, perHop: {} };
const health = (): Health => ({
  ...{
    status: 'ok',
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
  list: () => Promise.resolve([]),
  show: () => Promise.resolve(undefined),
  retry: () => Promise.resolve(true),
  drop: () => Promise.resolve(true),
};

const ALICE = 'alice%40sip.example';
const BOB = 'bob%40partner.example';

type Asked = {
  readonly body?: string;
  readonly authorization?: string;
  readonly contentType?: string;
};
type Answer = { readonly status: number; readonly body: unknown; readonly headers: Record<string, unknown> };

describe('watchers over HTTP', () => {
  const socketPath = join(temporaryFolder('http'), 'control.sock');
  const log = new RecordingLog();
  const watchers = new FakeWatchers(['alice@sip.example', 'f%C3%BC@sip.example']);
  const door = new OperatorDoor({
    listen: { host: '127.0.0.1', port: 0 },
    token: TOKEN,
    controlSocket: socketPath,
    log,
    health: { health },
    queue: { queue },
    watchers: { watchers },
  });
  let port = 0;
  before(async () => {
    port = (await door.open()) ?? 0;
  });
  after(() => door.close());

  function ask(where: 'socket' | 'tcp', method: string, path: string, asked: Asked = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const at = where === 'socket' ? { socketPath } : { host: '127.0.0.1', port };
      const headers = {
        ...(asked.body === undefined ? {} : { 'Content-Type': asked.contentType ?? 'application/json' }),
        ...(asked.authorization === undefined ? {} : { Authorization: asked.authorization }),
      };
      const sent = request({ ...at, method, path, headers, agent: false }, (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text), headers: answer.headers }),
        );
      });
      sent.on('error', reject);
      sent.end(asked.body);
    });
  }

  const RULE = `/watchers/${ALICE}/rules`;
  const INVISIBLE = `/watchers/${ALICE}/invisible`;
  const ROWS: ReadonlyArray<readonly [method: string, path: string, body: string | undefined, status: number]> = [
    ['GET', `/watchers/${ALICE}`, undefined, 200],
    ['GET', '/watchers/alice@sip.example', undefined, 200],
    ['GET', '/watchers/nobody%40sip.example', undefined, 404],
    ['GET', '/watchers/no%20address', undefined, 400],
    ['GET', '/watchers/sip.example', undefined, 400],
    ['GET', '/watchers/sip%3Aalice%40sip.example', undefined, 400],
    ['GET', '/watchers/%', undefined, 400],
    ['PUT', `${RULE}/${BOB}`, '{"action":"block"}', 200],
    ['PUT', `${RULE}/${BOB}`, '{"action":"allow","showsLocation":true}', 200],
    ['PUT', `${RULE}/*`, '{"action":"polite-block"}', 200],
    ['PUT', `${RULE}/anonymous`, '{"action":"allow"}', 200],
    ['PUT', `${RULE}/*%40partner.example`, '{"action":"confirm"}', 200],
    ['PUT', `${RULE}/juliet`, '{"action":"allow"}', 400],
    ['PUT', `${RULE}/${BOB}`, '{"action":"maybe"}', 400],
    ['PUT', `${RULE}/${BOB}`, '{}', 400],
    ['PUT', `${RULE}/${BOB}`, '{"action":"allow","more":1}', 400],
    ['PUT', `${RULE}/${BOB}`, '{"action":"allow","showsLocation":"here"}', 400],
    ['PUT', `${RULE}/${BOB}`, '{"action"', 400],
    ['PUT', `${RULE}/${BOB}`, undefined, 400],
    ['PUT', `/watchers/nobody%40sip.example/rules/${BOB}`, '{"action":"block"}', 404],
    ['PUT', INVISIBLE, '{"isInvisible":true}', 200],
    ['PUT', INVISIBLE, '{"isInvisible":"perhaps"}', 400],
    ['PUT', INVISIBLE, '{}', 400],
    ['PUT', '/watchers/nobody%40sip.example/invisible', '{"isInvisible":true}', 404],
    ['DELETE', `${RULE}/nobody%40partner.example`, undefined, 404],
    ['DELETE', `${RULE}/juliet`, undefined, 400],
    ['DELETE', '/watchers/nobody%40sip.example', undefined, 200],
    ['DELETE', '/watchers/alice%40sip.example', undefined, 403],
    ['DELETE', '/watchers/sip.example', undefined, 400],
    ['POST', RULE, '{}', 404],
    ['PUT', `${RULE}/${'x'.repeat(6_001)}`, '{"action":"block"}', 400],
  ];
  for (const [method, path, body, status] of ROWS) {
    test(`${method} ${path.slice(0, 60)} ${body ?? ''} is ${status}`, async () => {
      const answer = await ask('socket', method, path, body === undefined ? {} : { body });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.equal(JSON.stringify(answer.body).includes('inner words'), false);
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    });
  }

  test('owner and subject have one form, whatever the spelling', async () => {
    const path = `/watchers/${encodeURIComponent('Fü@SIP.example')}/rules/${encodeURIComponent('Jos%c3%a9@bücher.example')}`;
    assert.equal((await ask('socket', 'PUT', path, { body: '{"action":"allow"}' })).status, 200);
    assert.deepEqual(
      [...(watchers.rules.get('f%C3%BC@sip.example') ?? [])],
      [['jos%C3%A9@xn--bcher-kva.example', { action: 'allow' }]],
    );
  });

  test('a rule is set, listed and taken away', async () => {
    const path = `${RULE}/juliet%40xmpp.example`;
    assert.equal((await ask('socket', 'PUT', path, { body: '{"action":"allow","showsLocation":true}' })).status, 200);
    const { body } = await ask('socket', 'GET', `/watchers/${ALICE}`);
    const listing = body as ReturnType<FakeWatchers['list']>;
    assert.deepEqual(
      listing.watchers.find(({ watcher }) => watcher === 'juliet@xmpp.example'),
      { watcher: 'juliet@xmpp.example', subscriptions: 0, action: 'allow', showsLocation: true, isOwnRule: true },
    );
    assert.deepEqual((await ask('socket', 'DELETE', path)).body, { done: true });
    const gone = await ask('socket', 'DELETE', path);
    assert.deepEqual([gone.status, gone.body], [404, { error: 'rule-unknown' }]);
  });

  test('an address of full length is taken', async () => {
    const long = `${encodeURIComponent('\u{1f98a}'.repeat(250))}@partner.example`;
    const path = `${RULE}/${encodeURIComponent(long)}`;
    assert.equal((await ask('socket', 'PUT', path, { body: '{"action":"block"}' })).status, 200);
    assert.deepEqual(watchers.rules.get('alice@sip.example')?.get(long), { action: 'block' });
  });

  test('a store that fails is 503', async () => {
    watchers.failure = new GatewayError('store-unavailable', 'inner words');
    const answer = await ask('socket', 'PUT', INVISIBLE, { body: '{"isInvisible":false}' });
    watchers.failure = undefined;
    assert.deepEqual([answer.status, answer.body], [503, { error: 'store-unavailable' }]);
  });

  const GUARDED: ReadonlyArray<readonly [method: string, path: string, body?: string]> = [
    ['GET', '/queue'],
    ['GET', '/queue/x'],
    ['POST', '/queue/x/retry'],
    ['DELETE', '/queue/x'],
    ['GET', `/watchers/${ALICE}`],
    ['PUT', `${RULE}/mallory%40partner.example`, '{"action":"allow"}'],
    ['DELETE', `${RULE}/mallory%40partner.example`],
    ['PUT', INVISIBLE, '{"isInvisible":true}'],
  ];
  for (const [method, path, body] of GUARDED) {
    test(`tcp: ${method} ${path} needs the token`, async () => {
      const rest = body === undefined ? {} : { body };
      const without = await ask('tcp', method, path, rest);
      assert.deepEqual([without.status, without.body], [401, { error: 'sender-unauthenticated' }]);
      assert.equal(without.headers['www-authenticate'], 'Bearer realm="interpres"');
      assert.equal(without.headers['x-content-type-options'], 'nosniff');
      const withIt = await ask('tcp', method, path, { ...rest, authorization: `Bearer ${TOKEN}` });
      assert.notEqual(withIt.status, 401);
      assert.equal(withIt.status, path === '/queue/x' && method === 'GET' ? 404 : 200);
    });
  }

  const AUTHORIZATIONS: ReadonlyArray<readonly [authorization: string, error: string | undefined]> = [
    [`Bearer ${TOKEN}`, undefined],
    [`bearer   ${TOKEN} `, undefined],
    [`Bearer ${TOKEN}x`, 'invalid_token'],
    [`Bearer ${TOKEN.slice(0, -1)}`, 'invalid_token'],
    [`Bearer ${TOKEN.toUpperCase()}`, 'invalid_token'],
    ['Bearer x', 'invalid_token'],
    ['Bearer', 'invalid_request'],
    ['Bearer ', 'invalid_request'],
    [TOKEN, 'invalid_request'],
    [`Basic ${Buffer.from(`admin:${TOKEN}`).toString('base64')}`, 'invalid_request'],
    [`Bearer ${TOKEN} ${TOKEN}`, 'invalid_request'],
  ];
  for (const [authorization, error] of AUTHORIZATIONS) {
    test(`tcp: Authorization: ${authorization.replaceAll(TOKEN, 'TOKEN')} is ${error ?? 'let in'}`, async () => {
      const answer = await ask('tcp', 'GET', '/queue', { authorization });
      assert.equal(answer.status, error === undefined ? 200 : 401);
      if (error !== undefined) {
        assert.equal(answer.headers['www-authenticate'], `Bearer realm="interpres", error="${error}"`);
      }
    });
  }

  test('tcp: health needs no token, and what is not there is no secret', async () => {
    assert.equal((await ask('tcp', 'GET', '/health')).status, 200);
    assert.equal((await ask('tcp', 'GET', '/nothing')).status, 404);
  });

  test('failures are logged as a rate, without what was sent', () => {
    const lines = log.lines.filter(({ message }) => message === 'http requests without the token');
    assert.equal(lines.length, 1);
    assert.deepEqual(lines[0]?.fields, { peer: '127.0.0.1', failures: 1 });
    assert.equal(lines[0].level, 'info');
    assert.doesNotMatch(JSON.stringify(log.lines), /this~test/);
  });
});
