import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Phone } from '../../src/demo/phone.ts';
import { systemClock } from '../../src/system-clock.ts';
import { command, type CommandResult } from '../support/command.ts';
import { startInterpres, type InterpresProcess } from '../support/interpres-process.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FOLDER = temporaryFolder('cli-users');

function configured(name: string): string {
  const file = join(FOLDER, `${name}.yaml`);
  writeFileSync(file, `domains: [sip.example]\ndata: ./${name}\nsip: { listen: ['udp://127.0.0.1:0'] }\n`);
  return file;
}

const done = ({ code, stdout, stderr }: CommandResult): readonly [number | null, string, string] => [
  code,
  stdout,
  stderr,
];

describe('interpres users', { concurrency: 4 }, () => {
  test('add, list, passwd, remove; a user that is there or not there is named', async () => {
    const config = configured('alone');
    const users = (args: readonly string[], input?: string) =>
      command(['users', ...args, '--config', config], input === undefined ? {} : { input }).then(done);
    const alice = 'sip:alice@sip.example';
    assert.deepEqual(await users(['list']), [0, '', '']);
    assert.deepEqual(await users(['add', alice, '--password', 'x']), [0, `added ${alice}\n`, '']);
    assert.deepEqual(await users(['add', 'bob@SIP.example'], 'from a pipe\n'), [0, 'added sip:bob@sip.example\n', '']);
    assert.deepEqual(await users(['add', 'jürgen@sip.example', '-p', 'x']), [
      0,
      'added sip:j%C3%BCrgen@sip.example\n',
      '',
    ]);
    assert.deepEqual(await users(['list']), [0, `${alice}\nsip:bob@sip.example\nsip:j%C3%BCrgen@sip.example\n`, '']);

    const [code, out, told] = await users(['add', 'sip:Alice@sip.example', '-p', 'y']);
    assert.deepEqual([code, out], [1, '']);
    assert.match(told, /^sip:Alice@sip\.example exists; change its password with: interpres users passwd /);
    assert.deepEqual(await users(['passwd', alice, '-p', 'y']), [0, `changed the password of ${alice}\n`, '']);
    assert.deepEqual(await users(['passwd', alice], 'z'), [0, `changed the password of ${alice}\n`, '']);
    assert.deepEqual(await users(['remove', alice]), [0, `removed ${alice}\n`, '']);
    for (const again of [
      ['remove', alice],
      ['passwd', alice, '-p', 'x'],
    ]) {
      const [failed, nothing, said] = await users(again);
      assert.deepEqual([failed, nothing], [1, '']);
      assert.match(said, /^there is no user sip:alice@sip\.example; see: interpres users list --config /);
    }
  });

  test('set and show what is known of a user, alone and beside a server; import it from columns that are named', async () => {
    const config = configured('known');
    const users = (args: readonly string[]) => command(['users', ...args, '--config', config]).then(done);
    const picture = join(FOLDER, 'picture.png');
    writeFileSync(picture, Buffer.from('\u0089PNG\r\n\u001a\n and more', 'latin1'));
    const alice = 'sip:alice@sip.example';
    assert.deepEqual((await users(['add', alice, '-p', 'x', '--name', 'Alice'])).slice(0, 2), [0, `added ${alice}\n`]);
    const set = ['--email', 'a@m.example', '--avatar', picture, '--name', ''];
    assert.deepEqual(await users(['set', alice, ...set]), [0, `changed what is known of ${alice}\n`, '']);
    assert.deepEqual(await users(['show', alice]), [0, 'email: a@m.example\navatar: image/png, 17 bytes\n', '']);
    const [, , told] = await users(['set', 'sip:nobody@sip.example', '--name', 'x']);
    assert.match(told, /^no user nobody@sip\.example; see: interpres users list/);
    const [, , reserved] = await users(['add', 'sip:Interpres@sip.example', '-p', 'x']);
    assert.match(reserved, /is where users write commands/);
    const csv = join(FOLDER, 'known.csv');
    writeFileSync(csv, 'address,password,name,avatar\nbob@sip.example,x,"Bob, the builder",picture.png\n');
    assert.deepEqual(await users(['import', csv]), [0, 'imported 1 user\n', '']);
    assert.match((await users(['show', 'bob@sip.example']))[1], /^displayName: Bob, the builder\navatar: image\/png/);
    writeFileSync(csv, 'address,password,email\nbob@sip.example,x,no mail\ninterpres@sip.example,x,\n');
    const [code, , faults] = await users(['import', csv]);
    assert.equal(code, 1);
    assert.match(faults, /known\.csv:2: email is no address of mail\n.*known\.csv:3: .*where users write commands/);
  });

  for (const [name, input, says] of [
    ['none', '', /no password on standard input/],
    ['an empty one', '\n', /the password is empty/],
    ['one that is too long', `${'x'.repeat(1_025)}\n`, /longer than 1024 characters/],
  ] as const) {
    test(`password on standard input: ${name} is refused`, async () => {
      const { code, stderr } = await command(['users', 'add', 'a@sip.example', '--config', configured('refused')], {
        input,
      });
      assert.equal(code, 1);
      assert.match(stderr, says);
    });
  }

  test('no password is in what is stored, and only the owner may read it', async () => {
    const config = configured('private');
    await command(['users', 'add', 'a@sip.example', '-p', 'Plain-as-day-77', '--config', config]);
    const file = join(FOLDER, 'private', 'interpres.sqlite');
    assert.equal(readFileSync(file).includes('Plain-as-day-77'), false);
    assert.equal(statSync(join(FOLDER, 'private')).mode & 0o777, 0o700);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('import: 20,000 lines in under 5 s, and list gives them all', async () => {
    const config = configured('many');
    const csv = join(FOLDER, 'many.csv');
    writeFileSync(csv, Array.from({ length: 20_000 }, (_, at) => `sip:u${at}@sip.example,password-${at}\n`).join(''));
    const imported = await command(['users', 'import', csv, '--config', config]);
    assert.deepEqual(done(imported), [0, 'imported 20000 users\n', '']);
    // Measured at 0.6 to 1.0 s on two cores.
    assert.ok(imported.ms < 5_000, `${imported.ms} ms`);
    const { stdout } = await command(['users', 'list', '--config', config]);
    assert.equal(new Set(stdout.trimEnd().split('\n')).size, 20_000);
  });

  test('import: quotes, a byte order mark, a head line, comments and CRLF are read', async () => {
    const config = configured('quotes');
    const csv = join(FOLDER, 'quotes.csv');
    writeFileSync(
      csv,
      '\uFEFFaddress,password\r\n# ours\r\n\r\n"sip:q1@sip.example","a,b""c"\r\nq2@sip.example, x\r\n',
    );
    assert.deepEqual(done(await command(['users', 'import', csv, '--config', config])), [0, 'imported 2 users\n', '']);
    const { stdout } = await command(['users', 'list', '--config', config]);
    assert.equal(stdout, 'sip:q1@sip.example\nsip:q2@sip.example\n');
  });

  test('import: every bad line is named and nothing is imported', async () => {
    const config = configured('bad');
    const csv = join(FOLDER, 'bad.csv');
    const lines: ReadonlyArray<readonly [line: string | Buffer, fault: string | undefined]> = [
      ['good@sip.example,x', undefined],
      ['"sip:q3@sip.example,x', 'expected address,password'],
      ['q4@other.example,x', 'q4@other.example is in none of our domains (sip.example)'],
      ['nope', 'expected address,password'],
      ['a@sip.example,x,y', 'expected address,password'],
      ['q5@sip.example,', 'q5@sip.example: the password is empty'],
      ['"a"b@sip.example,x', 'expected address,password'],
      ['GOOD@sip.example,y', 'good@sip.example is on line 1 already'],
      [Buffer.from('latin@sip.example,\xe9', 'latin1'), 'is no UTF-8'],
      ['nobody,x', 'nobody is no address of a user; expected the form sip:alice@sip.example'],
    ];
    writeFileSync(csv, Buffer.concat(lines.flatMap(([line]) => [Buffer.from(line), Buffer.from('\n')])));
    const { code, stdout, stderr } = await command(['users', 'import', csv, '--config', config]);
    const faults = lines.flatMap(([, fault], at) => (fault === undefined ? [] : [`${csv}:${at + 1}: ${fault}`]));
    assert.deepEqual([code, stdout, stderr], [1, '', `${[...faults, 'nothing was imported'].join('\n')}\n`]);
    assert.equal((await command(['users', 'list', '--config', config])).stdout, '');
  });

  for (const [name, file] of [
    ['is not there', join(FOLDER, 'none.csv')],
    ['is a folder', FOLDER],
  ] as const) {
    test(`import: a file that ${name} is told of, without a stack`, async () => {
      const { code, stdout, stderr } = await command(['users', 'import', file, '--config', configured('nofile')]);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, /^cannot read .*: E[A-Z]+: [^\n]*\n$/);
    });
  }

  test('a reader that has read enough ends the list quietly', async () => {
    const config = configured('pipe');
    const csv = join(FOLDER, 'pipe.csv');
    writeFileSync(csv, Array.from({ length: 20_000 }, (_, at) => `u${at}-${'x'.repeat(50)}@sip.example,p\n`).join(''));
    await command(['users', 'import', csv, '--config', config]);
    const { code, stderr } = await command(['users', 'list', '--config', config], { closeOutput: true });
    assert.deepEqual([code, stderr], [0, '']);
  });
});

describe('interpres users beside a running server', () => {
  let server: InterpresProcess;
  const phones: Phone[] = [];

  before(async () => {
    server = await startInterpres({ folder: join(FOLDER, 'beside'), config: { domains: ['sip.example'] } });
  });
  after(async () => {
    for (const phone of phones) await phone.stop();
    await server.stop();
  });

  async function phone(user: string, password: string): Promise<Phone> {
    const nothing = (): void => undefined;
    const made = new Phone(
      {
        ...{ user, domain: 'sip.example', password, server: `sip:127.0.0.1:${server.sipPort}` },
        ...{ clock: systemClock, log: new RecordingLog() },
      },
      { sent: nothing, answered: nothing, received: nothing },
    );
    phones.push(made);
    await made.start();
    return made;
  }

  test('an added user can register at once, a changed password counts at once, a removed user is refused at once', async () => {
    const [before, later] = [await phone('dora', 'first'), await phone('dora', 'second')];
    assert.equal(await before.register(600), 401);
    await server.run(['users', 'add', 'sip:dora@sip.example', '--password', 'first']);
    assert.equal(await before.register(600), 200);
    await server.run(['users', 'passwd', 'sip:dora@sip.example', '--password', 'second']);
    assert.equal(await before.register(600), 401);
    assert.equal(await later.register(600), 200);
    await server.run(['users', 'remove', 'sip:dora@sip.example']);
    assert.equal(await later.register(600), 401);
    assert.equal(await later.write('sip:dora@sip.example', 'still here?'), 401);
  });

  test('an import beside it is usable at once, while it answers others', async () => {
    const csv = join(FOLDER, 'beside.csv');
    writeFileSync(csv, Array.from({ length: 20_000 }, (_, at) => `u${at}@sip.example,password-${at}\n`).join(''));
    await server.run(['users', 'import', csv]);
    assert.equal(await (await phone('u19999', 'password-19999')).register(600), 200);
  });

  test("its data folder and everything in it is the owner's alone", () => {
    const data = join(FOLDER, 'beside/interpres/data');
    assert.equal(statSync(data).mode & 0o777, 0o700);
    for (const name of [
      'interpres.sqlite',
      'interpres.sqlite-wal',
      'interpres.sqlite-shm',
      'interpres.lock',
      'control.sock',
    ]) {
      assert.ok(existsSync(join(data, name)), name);
      assert.equal(statSync(join(data, name)).mode & 0o777, 0o600, name);
    }
  });
});
