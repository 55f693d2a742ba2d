import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answered, type Command } from '../../../src/core/commands/command.ts';
import { readCommandLine } from '../../../src/core/commands/command-line.ts';
import { ServiceAddresses } from '../../../src/core/commands/service-addresses.ts';
import { anAddress } from '../../support/builders.ts';
import { LogRecorder } from '../../support/log-recorder.ts';

const CALLER = { address: anAddress('alice@sip.example') };
const command = (name: string, args: Command['args'] = []): Command => ({
  name,
  title: name,
  about: name,
  usage: name,
  isForUsers: false,
  args,
  run: () => answered(),
});
const COMMANDS = [
  command('help'),
  command('link account'),
  command('rules', [
    {
      name: 'action',
      label: '',
      isRequired: true,
      choices: () => ['list', 'allow'].map((value) => ({ value, label: value })),
    },
    { name: 'watcher', label: '', isRequired: true, isWanted: (given) => given.get('action') !== 'list' },
  ]),
  command('history', [{ name: 'id', label: '', isRequired: false, choices: () => [{ value: 'X1', label: 'one' }] }]),
];

const LINES: ReadonlyArray<readonly [text: string, result: string]> = [
  ['help', 'help'],
  ['  /HELP\n', 'help'],
  ['!help', 'help'],
  ['link  account', 'link account'],
  ['link', 'unknown'],
  ['', 'unknown'],
  ['hello there', 'unknown'],
  ['rules', 'rules action=list'],
  ['rules LIST', 'rules action=list'],
  ['rules allow a@b', 'rules action=allow watcher=a@b'],
  ['rules allow', 'wrong rules: watcher is missing'],
  ['rules fly', 'wrong rules: action cannot be fly'],
  ['rules list a@b', 'wrong rules: a@b is too much'],
  ['history', 'history'],
  ['history X1', 'history id=X1'],
  ['history of-others', 'history id=of-others'],
  [`help ${'x'.repeat(5_000)}`, `wrong help: ${'x'.repeat(60)} is too much`],
];
for (const [text, result] of LINES) {
  test(`command line: ${JSON.stringify(text.slice(0, 30))} is ${result.slice(0, 60)}`, async () => {
    const line = await readCommandLine(text, COMMANDS, CALLER);
    const read =
      line.kind === 'command'
        ? [line.command.name, ...[...line.given].map((pair) => pair.join('='))].join(' ')
        : line.kind === 'wrong'
          ? `wrong ${line.command.name}: ${line.fault}`
          : line.kind;
    assert.equal(read, result);
  });
}

test('service addresses: the domain and one name in it, whatever the spelling; a user who has the name keeps it', () => {
  const log = new LogRecorder();
  const services = new ServiceAddresses({
    config: { user: 'interpres' },
    domains: ['sip.example', 'other.example'],
    isTaken: (key) => key === 'interpres@other.example',
    log,
  });
  const isService = (text: string): boolean => services.isService(anAddress(text));
  assert.equal(isService('sip.example'), true);
  assert.equal(isService('Interpres@sip.example'), true);
  assert.equal(isService('alice@sip.example'), false);
  assert.equal(isService('xmpp.example'), false);
  assert.equal(isService('other.example'), true);
  assert.equal(isService('interpres@other.example'), false);
  assert.equal(log.at('error').length, 1);
  const off = new ServiceAddresses({ config: 'off', domains: ['sip.example'], isTaken: () => false, log });
  assert.equal(off.isService(anAddress('sip.example')), false);
});
