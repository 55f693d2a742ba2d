import assert from 'node:assert/strict';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readXml } from '../../src/cpim/xml.ts';
import { controlSocketPath } from '../../src/cli/control-socket.ts';
import { Phone } from '../../src/demo/phone.ts';
import { systemClock } from '../../src/system-clock.ts';
import { command } from '../support/command.ts';
import { ComponentServer } from '../support/component-server.ts';
import { startInterpres, type InterpresProcess } from '../support/interpres-process.ts';
import { freePort } from '../support/ports.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

type Item = { readonly id: string; readonly state: string; readonly hop: string; readonly lane: string };
type Listing = { readonly figures: { readonly live: number; readonly dead: number }; readonly items: readonly Item[] };

const COMPONENT = 'sip.xmpp.example';
const SECRET = 'of-this-test-5c1';
/** Would clear the screen, colour it and turn the line round, were it printed as it is. */
const STEERING = 'look\u001b[2J\u009b31m\u202eout\u2028end';
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/;

/** The data folder's path in each world; the second is too long for a socket in it. */
const WORLDS: ReadonlyArray<readonly [name: string, below: string]> = [
  ['a data folder', 'data'],
  ['a data folder whose path is too long for a socket', join('d'.repeat(80), 'e'.repeat(80))],
];

for (const [world, below] of WORLDS) {
  describe(`interpres queue: ${world}`, () => {
    const folder = temporaryFolder('cli-queue');
    const data = join(folder, below);
    const socket = controlSocketPath(data);
    let server: InterpresProcess;
    let phones: readonly Phone[];
    let xmpp: ComponentServer;

    const queue = (...args: readonly string[]) => command(['queue', ...args, '--config', server.configFile]);
    const printed = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await queue(...args);
      assert.deepEqual([code, stderr], [0, '']);
      assert.doesNotMatch(stdout, UNSAFE);
      return stdout;
    };
    const listing = async (...args: readonly string[]): Promise<Listing> =>
      JSON.parse(await printed('list', '--json', ...args)) as Listing;
    /** Ids in the order in which they were accepted. */
    const idAt = async (position: number): Promise<string> => (await listing()).items.at(position)?.id ?? '';

    before(async () => {
      mkdirSync(data, { recursive: true });
      const port = await freePort();
      xmpp = new ComponentServer({ name: COMPONENT, secret: SECRET, port });
      server = await startInterpres({
        folder,
        data,
        config: {
          domains: ['sip.example'],
          links: {
            office: {
              type: 'xmpp-component',
              host: '127.0.0.1',
              port,
              name: COMPONENT,
              domain: 'sip.example',
              secret: SECRET,
            },
          },
          peers: [{ domain: 'xmpp.example', link: 'office' }],
        },
      });
      phones = ['alice', 'bob'].map((user) => {
        const account = { user, domain: 'sip.example', password: 'x', server: `sip:127.0.0.1:${server.sipPort}` };
        const nothing = (): void => undefined;
        const events = { sent: nothing, answered: nothing, received: nothing };
        return new Phone({ ...account, clock: systemClock, log: new RecordingLog() }, events);
      });
      for (const user of ['alice', 'bob']) await server.addUser(user, 'sip.example', 'x');
      for (const phone of phones) await phone.start();
      const [alice, bob] = phones;
      for (const text of ['one', 'two', STEERING])
        assert.equal(await alice!.write('sip:juliet@xmpp.example', text), 202);
      assert.equal(await bob!.write('sip:juliet@xmpp.example', 'from bob'), 202);
      assert.equal(await bob!.write('sip:alice@sip.example', 'while she is away'), 202);
    });
    after(async () => {
      for (const phone of phones) await phone.stop();
      await server.stop();
      await xmpp.stop();
    });

    /** What holds for the server's answer and for the store's own. */
    async function holds(): Promise<void> {
      const all = await listing();
      assert.equal(all.items.length, 5);
      assert.equal(all.figures.live, 5);
      if (below !== 'data') return; // how it is reached is what differs there
      assert.equal((await listing('--hop', 'link:office')).items.length, 4);
      assert.equal((await listing('--hop', 'link:none')).items.length, 0);
      assert.deepEqual(
        (await listing('--hop', 'user:alice@sip.example')).items.map(({ hop }) => hop),
        ['user:alice@sip.example'],
      );
      assert.equal((await listing('--sender', 'bob@sip.example')).items.length, 2);
      assert.equal((await listing('--limit', '2')).items.length, 2);
      assert.equal((await listing('--dead')).items.length, 0);

      const table = (await printed('list')).trimEnd().split('\n');
      assert.match(table[0] ?? '', /^id +state +next hop +from -> to +accepted +tries +why$/);
      assert.equal(table.length, 1 + 5 + 1);
      assert.match(table[1] ?? '', /link:office +alice@sip\.example -> juliet@xmpp\.example +\d{4}-\d\d-\d\dT/);
      assert.match(table.at(-1) ?? '', /^5 live, \d+ under way, 0 dead$/);

      const one = JSON.parse(await printed('show', await idAt(0))) as { operation: { content: object } };
      assert.deepEqual(one.operation.content, { type: 'text/plain;charset=UTF-8', text: 'one' });
      for (const what of ['show', 'retry', 'drop']) {
        const { code, stdout, stderr } = await queue(what, 'no-such-id');
        assert.deepEqual([code, stdout, stderr], [1, '', 'no entry no-such-id in the queue\n']);
      }
    }

    test('the running server is asked, over a socket of mode 0600 that only one place may have', async () => {
      assert.ok(statSync(socket).isSocket());
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      assert.equal(socket.startsWith(folder), below === 'data');
      await holds();
    });

    test('text from the wire is shown as escapes, not done', async () => {
      const id = await idAt(2);
      const shown = await printed('show', id);
      assert.ok(shown.includes('look\\u001b[2J\\u009b31m\\u202eout\\u2028end'), shown);
      assert.equal(
        (JSON.parse(shown) as { operation: { content: { text: string } } }).operation.content.text,
        STEERING,
      );
    });

    test('drop and retry work on the running server', async () => {
      const id = await idAt(1);
      assert.equal(await printed('retry', id), `${id}: will be tried now\n`);
      assert.equal(await printed('drop', id), `${id}: dropped\n`);
      assert.equal(
        (await listing()).items.some((item) => item.id === id),
        false,
      );
      assert.equal(await phones[0]!.write('sip:juliet@xmpp.example', 'two again'), 202);
    });

    test('with the server stopped the store is read, and changed, all the same', async () => {
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.equal(existsSync(socket), false);
      await holds();
      assert.match(await printed('drop', await idAt(-1)), /: dropped\n$/);
      assert.equal((await listing()).figures.live, 4);
    });

    test('after a restart what waited is delivered; what is refused becomes a dead letter that can be listed and dropped', async () => {
      xmpp.onStanza = (stanza) => {
        const { id = '', from = '', to = '' } = stanza.attrs;
        if (stanza.name !== 'message' || !from.startsWith('bob@')) return;
        const text = `<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">gone\u009b2J\u202e</text>`;
        const condition = '<item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>';
        xmpp.send(
          readXml(
            `<message type="error" id="${id}" from="${to}" to="${from}"><error type="cancel">${condition}${text}</error></message>`,
          ),
        );
      };
      await xmpp.start();
      await server.start();
      await until(async () => (await server.health()).queue.dead >= 1, { what: 'the dead letter' });
      const texts = xmpp.received.filter(({ name }) => name === 'message').length;
      assert.equal(texts, 3);

      const dead = await listing('--dead');
      assert.equal(dead.figures.dead, dead.items.length);
      const [letter] = dead.items;
      assert.equal(letter?.state, 'dead');
      assert.match(await printed('list', '--dead'), /bob@sip\.example -> juliet@xmpp\.example.*recipient-unknown/);
      await printed('show', letter.id);
      assert.equal(await printed('drop', letter.id), `${letter.id}: dropped\n`);
      assert.equal(
        (await listing('--dead')).items.some(({ id }) => id === letter.id),
        false,
      );
    });
  });
}
