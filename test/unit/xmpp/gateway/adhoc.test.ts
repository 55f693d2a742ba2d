import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answered, type Command } from '../../../../src/core/commands/command.ts';
import { GatewayError } from '../../../../src/core/errors.ts';
import { childOf, childrenOf, readXml, type XmlElement } from '../../../../src/cpim/xml.ts';
import { AdhocCommands } from '../../../../src/xmpp/gateway/adhoc.ts';
import { parseJid } from '../../../../src/xmpp/jid.ts';
import { anAddress } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const COMMAND: Command = {
  name: 'link account',
  title: 'Link',
  about: '',
  usage: '',
  isForUsers: false,
  args: [
    {
      name: 'kind',
      label: 'Kind',
      isRequired: true,
      choices: () => [
        { value: 'a', label: 'A' },
        { value: 'b', label: 'B' },
      ],
    },
    { name: 'name', label: 'Name', isRequired: true, isWanted: (given) => given.get('kind') === 'b' },
    { name: 'more', label: 'More', isRequired: false },
  ],
  run: (_caller, given) => answered(...[...given].map((pair) => pair.join('='))),
};

function aWorld() {
  const clock = new FakeClock();
  let tokens = 0;
  const adhoc = new AdhocCommands({
    commands: {
      callerOf: (address) => ({ address }),
      commandsFor: () => [COMMAND],
      admit: () => undefined,
      run: async (command, caller, given) => command.run(caller, given),
    },
    newToken: () => `s${(tokens += 1)}`,
    clock,
  });
  const give = (attrs: string, field?: readonly [string, string], who = 'juliet'): Promise<XmlElement> => {
    const form =
      field === undefined
        ? ''
        : `<x xmlns='jabber:x:data' type='submit'><field var='${field[0]}'><value>${field[1]}</value></field></x>`;
    return adhoc.execute({
      payload: readXml(
        `<command xmlns='http://jabber.org/protocol/commands' node='link-account' ${attrs}>${form}</command>`,
      ),
      from: parseJid(`${who}@xmpp.example/r`)!,
      to: parseJid('sip.xmpp.example')!,
      asker: anAddress(`${who}@xmpp.example`),
    });
  };
  return { adhoc, clock, give };
}

const asked = (answer: XmlElement): string =>
  childrenOf(childOf(answer, 'x', 'jabber:x:data')!, 'field')
    .map(({ attrs }) => attrs['var'])
    .join();
const told = (answer: XmlElement): string => JSON.stringify(childOf(answer, 'x', 'jabber:x:data')?.children);
const isCode = (code: string) => (thrown: unknown) => GatewayError.of(thrown).code === code;

test('ad hoc: a stage for each argument that is wanted; what need not be given is left out by complete', async () => {
  const { give, adhoc } = aWorld();
  assert.equal(asked(await give('')), 'kind');
  const second = await give(`sessionid='s1' action='next'`, ['kind', 'a']);
  assert.equal(asked(second), 'more');
  assert.deepEqual(
    childrenOf(second, 'actions').flatMap(({ children }) => children.map((one) => typeof one !== 'string' && one.name)),
    ['prev', 'complete'],
  );
  const done = await give(`sessionid='s1' action='complete'`);
  assert.equal(done.attrs['status'], 'completed');
  assert.match(told(done), /kind=a"/);
  assert.equal(adhoc.size, 0);
});

test('ad hoc: an argument that follows from another is asked for, back leads to what was asked before', async () => {
  const { give } = aWorld();
  await give('');
  assert.equal(asked(await give(`sessionid='s1'`, ['kind', 'b'])), 'name');
  assert.equal(asked(await give(`sessionid='s1' action='complete'`)), 'name', 'it is needed');
  assert.equal(asked(await give(`sessionid='s1' action='prev'`)), 'kind');
  await assert.rejects(give(`sessionid='s1' action='prev'`), isCode('request-malformed'));
  await give(`sessionid='s1'`, ['kind', 'b']);
  const done = await give(`sessionid='s1' action='complete'`, ['name', 'x']);
  assert.match(told(done), /kind=b".*name=x"/);
});

test('ad hoc: sessions are of one client, bounded for each, and over after five minutes of silence', async () => {
  const { adhoc, clock, give } = aWorld();
  await give('');
  await assert.rejects(give(`sessionid='s1'`, ['kind', 'a'], 'mercutio'), isCode('request-malformed'));
  for (let at = 0; at < 4; at += 1) await give('');
  await assert.rejects(give(''), isCode('rate-exceeded'));
  await give('', undefined, 'mercutio');
  await clock.advanceAsync(200_000);
  await give(`sessionid='s1'`, ['kind', 'a']);
  await clock.advanceAsync(200_000);
  assert.equal(adhoc.size, 1);
  await clock.advanceAsync(200_000);
  assert.equal(adhoc.size, 0);
  await assert.rejects(give(`sessionid='s1'`), isCode('request-malformed'));
});
