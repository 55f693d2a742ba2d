import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { controlSocketPath } from '../../src/cli/control-socket.ts';
import { GatewayError } from '../../src/core/errors.ts';
import type { WatcherLine } from '../../src/core/presence/rules.ts';
import { OperatorDoor } from '../../src/http/server.ts';
import { command } from '../support/command.ts';
import { FakeWatchers } from '../support/fake-watchers.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SINCE_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const FIGURES = { live: 0, dead: 0, underWay: 0, perHop: {} };
/** Would clear the screen and turn the line round, were it printed as it is. */
const STEERING = 'Bob\u001b[2J\u202e';
const BOB: WatcherLine = {
  watcher: 'bob@partner.example',
  state: 'pending',
  subscriptions: 1,
  sinceMs: SINCE_MS,
  displayName: STEERING,
  action: 'confirm',
  isOwnRule: false,
};
const JULIET: WatcherLine = {
  watcher: 'juliet@xmpp.example',
  state: 'active',
  subscriptions: 2,
  sinceMs: SINCE_MS + 1_000,
  action: 'allow',
  isOwnRule: true,
  showsLocation: true,
};

describe('interpres watchers', () => {
  const folder = temporaryFolder('cli-watchers');
  const data = join(folder, 'data');
  const configFile = join(folder, 'interpres.yaml');
  const watchers = new FakeWatchers(['alice@sip.example', 'carol@sip.example']);
  const door = new OperatorDoor({
    controlSocket: controlSocketPath(data),
    log: new RecordingLog(),
    health: { health: () => assert.fail('nobody asks for it') },
    queue: {
      queue: {
        figures: () => FIGURES,
        list: () => Promise.resolve([]),
        show: () => Promise.resolve(undefined),
        retry: () => Promise.resolve(false),
        drop: () => Promise.resolve(false),
      },
    },
    watchers: { watchers },
  });
  const run = (...args: readonly string[]) => command(['watchers', ...args, '--config', configFile]);
  const printed = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };

  before(async () => {
    mkdirSync(data, { recursive: true });
    writeFileSync(configFile, `domains: [sip.example]\ndata: ${data}\nsip: { listen: ['udp://127.0.0.1:0'] }\n`);
    watchers.lines.set('alice@sip.example', [BOB, JULIET]);
    await door.open();
  });
  after(() => door.close());

  test('list is a table of watchers, their states and the rules for them', async () => {
    assert.deepEqual((await printed('list', 'sip:alice@sip.example')).split('\n'), [
      'watcher              state    since                     rule                 name',
      'bob@partner.example  pending  2026-01-02T03:04:05.000Z  confirm (default)    Bob [2J',
      'juliet@xmpp.example  active   2026-01-02T03:04:06.000Z  allow with location',
      '',
    ]);
  });

  test('users remove lets the server forget who is a user no more', async () => {
    const users = (...args: readonly string[]) => command(['users', ...args, '--config', configFile]);
    // carol is known to the server still, as behind a trusted core.
    for (const user of ['sip:dave@sip.example', 'sip:carol@sip.example']) {
      await users('add', user, '--password', 'x');
      const { code, stdout, stderr } = await users('remove', user);
      assert.deepEqual([code, stdout, stderr], [0, `removed ${user}\n`, '']);
    }
    assert.deepEqual(watchers.forgotten, ['dave@sip.example']);
    await users('add', 'sip:erin@sip.example', '--password', 'x');
    watchers.failure = new GatewayError('store-unavailable', 'inner words');
    const { code, stdout, stderr } = await users('remove', 'sip:erin@sip.example');
    watchers.failure = undefined;
    assert.deepEqual([code, stdout], [1, 'removed sip:erin@sip.example\n']);
    assert.match(stderr, /the server refused: .*store-unavailable/);
  });

  test('list as JSON is what the server said, safe to print', async () => {
    const text = await printed('list', 'alice@sip.example', '--json');
    assert.deepEqual(JSON.parse(text), { isInvisible: false, watchers: [BOB, JULIET] });
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  test('list of a user whom nobody watches says so', async () => {
    assert.equal(await printed('list', 'carol@sip.example'), 'nobody watches sip:carol@sip.example\n');
  });

  const RULES: ReadonlyArray<readonly [args: readonly string[], subject: string, rule: object, says: string]> = [
    [
      ['allow', 'sip:carol@sip.example', 'juliet@xmpp.example'],
      'juliet@xmpp.example',
      { action: 'allow' },
      'juliet@xmpp.example: allowed for sip:carol@sip.example\n',
    ],
    [
      ['allow', 'carol@sip.example', 'sip:Bob@Partner.Example', '--location'],
      'bob@partner.example',
      { action: 'allow', showsLocation: true },
      'bob@partner.example: allowed for sip:carol@sip.example, with location\n',
    ],
    [
      ['block', 'carol@sip.example', 'anonymous'],
      'anonymous',
      { action: 'block' },
      'anonymous: blocked for sip:carol@sip.example\n',
    ],
    [
      ['polite-block', 'carol@sip.example', '*@partner.example'],
      '*@partner.example',
      { action: 'polite-block' },
      '*@partner.example: politely blocked for sip:carol@sip.example\n',
    ],
    [
      ['confirm', 'carol@sip.example', '*'],
      '*',
      { action: 'confirm' },
      '*: to be confirmed for sip:carol@sip.example\n',
    ],
    [
      ['allow', 'carol@sip.example', 'fü@bücher.example'],
      'f%C3%BC@xn--bcher-kva.example',
      { action: 'allow' },
      'f%C3%BC@xn--bcher-kva.example: allowed for sip:carol@sip.example\n',
    ],
  ];
  for (const [args, subject, rule, says] of RULES) {
    test(args.join(' '), async () => {
      assert.equal(await printed(...args), says);
      assert.deepEqual(watchers.rules.get('carol@sip.example')?.get(subject), rule);
    });
  }

  test('a rule without a watcher is in the list too', async () => {
    assert.match(await printed('list', 'carol@sip.example'), /^\*@partner\.example +- +- +polite-block$/m);
  });

  test('remove takes a rule away, once', async () => {
    watchers.rules.get('carol@sip.example')?.set('dave@partner.example', { action: 'block' });
    const args = ['remove', 'carol@sip.example', 'sip:dave@partner.example'];
    assert.equal(await printed(...args), 'dave@partner.example: no rule of sip:carol@sip.example any more\n');
    const again = await run(...args);
    assert.deepEqual(
      [again.code, again.stdout, again.stderr],
      [1, '', 'sip:carol@sip.example has no rule for dave@partner.example\n'],
    );
  });

  test('invisible hides and shows', async () => {
    assert.equal(await printed('invisible', 'carol@sip.example', 'on'), 'sip:carol@sip.example is invisible now\n');
    assert.deepEqual([...watchers.invisible], ['carol@sip.example']);
    assert.match(await printed('list', 'carol@sip.example'), /sip:carol@sip\.example is invisible/);
    assert.equal(await printed('invisible', 'carol@sip.example', 'off'), 'sip:carol@sip.example is visible now\n');
    assert.deepEqual([...watchers.invisible], []);
  });

  const REFUSED: ReadonlyArray<readonly [args: readonly string[], code: number, says: RegExp]> = [
    [['list', 'nobody@sip.example'], 1, /^there is no user sip:nobody@sip\.example; see: interpres users list/],
    [['remove', 'nobody@sip.example', '*'], 1, /^there is no user sip:nobody@sip\.example/],
    [['list', 'juliet@xmpp.example'], 1, /^juliet@xmpp\.example is in none of our domains/],
    [['list', 'a b'], 2, /^a b is no address of a user/],
    [['allow', 'alice@sip.example', 'juliet'], 2, /^juliet is no watcher; expected/],
    [['allow', 'alice@sip.example'], 2, /missing required argument 'watcher'/],
    [['block', 'alice@sip.example', '*', '--location'], 2, /unknown option '--location'/],
    [['invisible', 'alice@sip.example', 'maybe'], 2, /^found maybe, expected on or off/],
  ];
  for (const [args, code, says] of REFUSED) {
    test(`refused: ${args.join(' ')}`, async () => {
      const result = await run(...args);
      assert.equal(result.code, code);
      assert.equal(result.stdout, '');
      assert.match(result.stderr, says);
    });
  }

  test('help has an example for each command', async () => {
    for (const name of ['list', 'allow', 'block', 'polite-block', 'confirm', 'remove', 'invisible']) {
      const { code, stdout } = await command(['watchers', name, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`interpres watchers ${name} sip:alice@sip\\.example`));
    }
  });

  test('without a running server it says what to do, and fails', async () => {
    await door.close();
    const { code, stdout, stderr } = await run('list', 'alice@sip.example');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^no server runs on .*; start it with: interpres serve --config .*\n$/);
  });
});
