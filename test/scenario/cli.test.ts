import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { command } from '../support/command.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FOLDER = temporaryFolder('cli');
const CONFIG = join(FOLDER, 'good.yaml');
writeFileSync(CONFIG, "domains: [sip.example]\nsip: { listen: ['udp://127.0.0.1:0'] }\n");
const UNDER_A_FILE = join(FOLDER, 'under-a-file.yaml');
writeFileSync(UNDER_A_FILE, "domains: [sip.example]\ndata: ./good.yaml/data\nsip: { listen: ['udp://127.0.0.1:0'] }\n");

const HELPS: ReadonlyArray<readonly [args: string, says: RegExp]> = [
  ['--help', /serve[\s\S]*check[\s\S]*users[\s\S]*queue[\s\S]*demo[\s\S]*Exit codes: 0 done, 1 failed, 2 wrong use/],
  ['help', /First steps/],
  ['serve --help', /--config <file>[\s\S]*--guide[\s\S]*SIGTERM/],
  ['check --help', /--config <file>/],
  ['users --help', /add[\s\S]*passwd[\s\S]*remove[\s\S]*list[\s\S]*import/],
  ['users add --help', /sip:alice@sip\.example[\s\S]*--password[\s\S]*standard input/],
  ['users passwd --help', /--password/],
  ['users remove --help', /<address>/],
  ['users list --help', /one address a line/],
  ['users import --help', /address,password[\s\S]*refused whole/],
  ['queue --help', /list[\s\S]*show[\s\S]*retry[\s\S]*drop/],
  ['queue list --help', /--dead[\s\S]*--hop[\s\S]*--sender[\s\S]*--limit[\s\S]*--json/],
  ['queue show --help', /<id>/],
  ['queue retry --help', /dead letter/],
  ['queue drop --help', /not told/],
  ['peers --help', /--json[\s\S]*interpres peers --config/],
  ['demo --help', /ends by itself/],
  ['--version', /^\d+\.\d+\.\d+\n$/],
];

/** `@good` is a right configuration, `@file` one whose data folder cannot be made. */
const REFUSALS: ReadonlyArray<readonly [args: string, code: 1 | 2, says: RegExp]> = [
  ['', 2, /Usage: interpres/],
  ['users', 2, /Usage: interpres users/],
  ['bogus', 2, /unknown command 'bogus'/],
  ['help bogus', 2, /Usage: interpres/],
  ['queue bogus', 2, /unknown command 'bogus'/],
  ['serve', 2, /'-c, --config <file>' not specified/],
  ['check -c', 2, /argument missing/],
  ['serve --config @good --bogus', 2, /unknown option '--bogus'/],
  ['demo extra', 2, /too many arguments/],
  ['users add --config @good', 2, /missing required argument 'address'/],
  ['queue show --config @good', 2, /missing required argument 'id'/],
  ...['foo', '0', '-1', '10001', '1.5', '1e2', '0x10', '99999999999999999999'].map(
    (limit) => [`queue list --config @good --limit ${limit}`, 2, /--limit takes a number from 1 to 10000/] as const,
  ),
  ...[
    'carol',
    'sip:@sip.example',
    'tel:+1',
    'sip:a%00b@sip.example',
    'sip:%ff@sip.example',
    'sip:a@sip.example:5060',
  ].map((address) => [`users add ${address} -p x --config @good`, 2, /is no address of a user; expected/] as const),
  ['users add sip:a:secret@sip.example -p x --config @good', 2, /is no address of a user/],
  ['users add sip:a@sip.example;user=phone -p x --config @good', 2, /is no address of a user/],
  ['users add sip:a@other.example -p x --config @good', 1, /is in none of our domains \(sip\.example\)/],
  ['check --config @none', 1, /cannot read the configuration file: ENOENT/],
  ['check --config @folder', 1, /cannot read the configuration file: EISDIR/],
  ['serve --config @none', 1, /cannot read the configuration file: ENOENT/],
  ['users list --config @none', 1, /cannot read the configuration file: ENOENT/],
  ['serve --config @file', 1, /cannot start: the folder .* cannot be made: ENOTDIR/],
  ['users list --config @file', 1, /the folder .* cannot be made: ENOTDIR/],
  ['users add sip:a@sip.example -p x --config @file', 1, /cannot be made: ENOTDIR/],
  ['queue list --config @file', 1, /cannot be made: ENOTDIR/],
];

function argsOf(line: string): string[] {
  const places: Readonly<Record<string, string>> = {
    '@good': CONFIG,
    '@file': UNDER_A_FILE,
    '@none': join(FOLDER, 'none.yaml'),
    '@folder': FOLDER,
  };
  return line.split(' ').flatMap((word) => (word === '' ? [] : [places[word] ?? word]));
}

describe('command line', { concurrency: 4 }, () => {
  for (const [args, says] of HELPS) {
    test(`interpres ${args}: 0, on standard output`, async () => {
      const { code, stdout, stderr } = await command(argsOf(args));
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, says);
    });
  }

  for (const [args, expected, says] of REFUSALS) {
    test(`interpres ${args}: ${expected}, on standard error, no stack`, async () => {
      const { code, stdout, stderr } = await command(argsOf(args));
      assert.deepEqual([code, stdout], [expected, ''], stderr);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /^ {4}at /m);
    });
  }
});

/** The file of the manual, with a secret of one's own; what stands for its certificates is made here. */
const MANUAL = `domains:                          # what this server is authoritative for
  - sip.example
  - { name: core.example, trust: ['127.0.0.1'] }   # behind a SIP core at these addresses that has authenticated its users
data: ./data                      # the embedded store's folder
sip:
  listen: ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060', 'tls://127.0.0.1:5061']
  tls: { certificate: ./cert.pem, key: ./key.pem, ca: ./ca.pem }
links:
  office:
    type: xmpp-component          # XEP-0114
    host: 127.0.0.1
    port: 5347
    name: sip.xmpp.example        # the address we are on the XMPP side
    domain: sip.example           # the domain of ours it stands for; absent: the same name
    secret: change-me             # or secretFile / \${ENV}
peers:
  - domain: xmpp.example          # reached over a link
    link: office
  - domain: partner.example       # another SIP domain
    link: sip
    nextHop: 'sip:127.0.0.1:5070;transport=tcp'   # absent: RFC 3263
    trust: ['127.0.0.1']          # where its requests may come from
http: { listen: '127.0.0.1:8080' }
rateLimits: off                   # only for load tests; absent: sensible defaults
`;
const OWN_SECRET = MANUAL.replace('change-me', '9f1c52d07ab3');
const D = 'domains: [sip.example]\n';
const S = "sip: { listen: ['udp://127.0.0.1:5060'] }\n";

/** File and what each of its lines of output must say, in order. */
const WRONG: ReadonlyArray<readonly [name: string, text: string | Buffer, lines: readonly RegExp[]]> = [
  ['the default secret', MANUAL, [/:15:13 links\.office\.secret: is a secret that manuals and examples use/]],
  [
    'a misspelt key',
    `${D}sip:\n  lisen: []\n`,
    [/:2:1 sip\.listen: is missing/, /:3:3 sip\.lisen: unknown key.*did you mean listen\?/],
  ],
  [
    'a wrong type',
    OWN_SECRET.replace('port: 5347', 'port: "5347"'),
    [/:12:11 links\.office\.port: found '5347', expected a whole number from 1 to 65535/],
  ],
  [
    'an unknown link',
    OWN_SECRET.replace('link: office', 'link: ofice'),
    [/:18:11 peers\[0\]\.link: found 'ofice', expected one of sip, office; did you mean office\?/],
  ],
  [
    'a missing variable',
    OWN_SECRET.replace('9f1c52d07ab3', '${NOT_SET_HERE}'),
    [/:15:13 links\.office\.secret: .*environment variable NOT_SET_HERE to be set/],
  ],
  ['a key given twice', `${D}${S}data: a\ndata: b\n`, [/:4:1 \(file\): found the key data a second time/]],
  ['broken YAML', 'domains: [a\n  b: c\n', [/:\d+:\d+ \(file\): /, /:\d+:\d+ \(file\): /]],
  ['a second document', `${D}${S}---\nx: 1\n`, [/:3:1 \(file\): found a second document/]],
  [
    'a tls listener without tls',
    `${D}sip: { listen: ['tls://127.0.0.1:5061'] }\n`,
    [/:2:17 sip\.listen\[0\]: found a tls listener, expected a section sip\.tls/],
  ],
  [
    'a key that is missing',
    OWN_SECRET.replace('./key.pem', './nokey.pem'),
    [/:7:\d+ sip\.tls\.key: found a file that cannot be read \(ENOENT/],
  ],
  [
    'a key of another certificate',
    OWN_SECRET.replace('./key.pem', './other.pem'),
    [/:7:3 sip\.tls: found files that cannot be used together/],
  ],
  ['a file of control characters', Buffer.from('\u001b[2J\u009b0m\u202e'), [/:1:\d+ \(file\): /]],
  ['an empty file', '', [/:1:1 domains: is missing/, /:1:1 sip: is missing/]],
  [
    'all at once',
    `domain: x\ndomains: [a b]\nsip: { listen: ['ws://x'], tsl: {} }\nhttp: 5\nlog: { level: loud }\n`,
    [
      /:1:1 domain: .*did you mean domains\?/,
      /:2:11 domains\[0\]/,
      /:3:17 sip\.listen\[0\]/,
      /:3:28 sip\.tsl: .*did you mean tls\?/,
      /:4:7 http/,
      /:5:15 log\.level/,
    ],
  ],
];

describe('interpres check', { concurrency: 4 }, () => {
  const folder = join(FOLDER, 'check');
  mkdirSync(folder);
  for (const name of ['key', 'other']) {
    const files = ['-keyout', join(folder, `${name}.pem`), '-out', join(folder, name === 'key' ? 'cert.pem' : 'x.pem')];
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    execFileSync('openssl', [...made, '-subj', '/CN=sip.example', ...files], { stdio: 'ignore' });
  }
  execFileSync('cp', [join(folder, 'cert.pem'), join(folder, 'ca.pem')]);

  test('the file of the manual with a secret of its own is in order', async () => {
    const file = join(folder, 'manual.yaml');
    writeFileSync(file, OWN_SECRET);
    const { code, stdout, stderr } = await command(['check', '--config', file]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(
      stdout,
      /in order[\s\S]*sip\.example, core\.example[\s\S]*tls:\/\/127\.0\.0\.1:5061[\s\S]*office[\s\S]*partner\.example over sip/,
    );
    assert.doesNotMatch(stdout, /9f1c52d07ab3/);
  });

  for (const [at, [name, text, lines]] of WRONG.entries()) {
    test(`${name}: every fault with line and path, exit 1`, async () => {
      const file = join(folder, `wrong-${at}.yaml`);
      writeFileSync(file, text);
      const { code, stdout, stderr } = await command(['check', '--config', file]);
      assert.deepEqual([code, stdout], [1, '']);
      const said = stderr.trimEnd().split('\n');
      assert.equal(said.length, lines.length + 1, stderr);
      for (const [line, pattern] of lines.entries()) {
        assert.ok(said[line]?.startsWith(file), said[line]);
        assert.match(said[line] ?? '', pattern);
      }
      assert.match(said.at(-1) ?? '', new RegExp(`^${lines.length} faults? in `));
      assert.doesNotMatch(stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    });
  }
});

test('interpres demo: ends by itself with 0 in under 20 s, nothing lost', async () => {
  const { code, stdout, stderr, ms } = await command(['demo']);
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /waiting in the queue: 5[\s\S]*7 messages sent, 0 lost, \d twice, in order/);
  assert.ok(ms < 20_000, `${ms} ms`);
});

test('README: the steps to peer a first domain work as they are printed', async () => {
  const folder = temporaryFolder('readme');
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const section = /## Peer a first domain\n([\s\S]*?)\n## /.exec(readme)?.[1] ?? '';
  const blocks = [...section.matchAll(/^ {3}```(\w+)\n([\s\S]*?)^ {3}```/gm)].map(([, kind = '', text = '']) => ({
    kind,
    text: text.replace(/^ {3}/gm, ''),
  }));
  const [secret, commands] = blocks.filter(({ kind }) => kind === 'sh');
  const config = blocks.find(({ text }) => text.startsWith('domains:'));
  execFileSync('sh', ['-c', secret?.text ?? 'false'], { cwd: folder, stdio: 'ignore' });
  assert.equal(statSync(join(folder, 'component.secret')).mode & 0o777, 0o600);
  writeFileSync(join(folder, 'interpres.yaml'), config?.text ?? '');
  const lines = (commands?.text ?? '').trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(' ').slice(0, 3).join(' ')),
    ['npx interpres check', 'npx interpres users', 'npx interpres serve'],
  );
  // All but the last: it would take port 5060.
  for (const line of lines.slice(0, 2)) {
    const args = line.replace(/ +#.*/, '').split(' ').slice(2);
    const { code, stderr } = await command(args, { cwd: folder, input: 'a password\n' });
    assert.deepEqual([code, stderr], [0, ''], line);
  }
});
