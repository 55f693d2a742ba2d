import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { App } from '../app.ts';
import { CommandError } from '../cli/command-error.ts';
import { askServer } from '../cli/control-client.ts';
import { parseAddress } from '../cpim/address.ts';
import { childOf, textOf, type XmlElement } from '../cpim/xml.ts';
import { readConfig } from '../core/config.ts';
import { createPinoLog, errorDestination } from '../pino-log.ts';
import { credentialOf } from '../sip/digest.ts';
import { openCredentials } from '../store/sqlite-store.ts';
import { systemClock } from '../system-clock.ts';
import { ComponentServer } from './component-server.ts';
import { Ladder } from './ladder.ts';
import { Phone } from './phone.ts';

const COMPONENT = 'sip.xmpp.example';
const PASSWORD = 'demo';
const LIMIT_MS = 18_000;
const POLL_MS = 20;
const PHONE = 0;
const SERVER = 1;
const XMPP = 2;

/**
 * Shows the main job on one terminal: a message each way, two users who let each other see how they are, then an outage
 * of the XMPP side during which the phone goes on, then its return. Everything is real but the two ends: sockets, digest,
 * XEP-0114, the queue on disk.
 *
 * @throws CommandError when anything was lost or out of order, or it did not end in time.
 */
export async function demo(version: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'interpres-demo-'));
  const limit = setTimeout(() => {
    process.stderr.write(`the demo did not end within ${LIMIT_MS / 1_000} s\n`);
    process.exit(1);
  }, LIMIT_MS);
  limit.unref();
  try {
    await play(folder, version);
  } finally {
    clearTimeout(limit);
    await rm(folder, { recursive: true, force: true });
  }
}

async function play(folder: string, version: string): Promise<void> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const ladder = new Ladder(['phone (alice)', 'Interpres', 'XMPP server (juliet)'], say);
  const log = createPinoLog('error', errorDestination());
  const secret = randomBytes(16).toString('hex');
  const xmpp = new ComponentServer({ name: COMPONENT, secret });
  const inbox: string[] = [];
  const seen: string[] = [];
  xmpp.onStanza = (stanza) => {
    if (stanza.name === 'presence') {
      const shown = shownPresence(stanza);
      seen.push(shown);
      ladder.draw({ from: SERVER, to: XMPP, text: `<presence> "${shown}"` });
    }
    if (stanza.name !== 'message') return;
    const text = bodyOf(stanza);
    inbox.push(text);
    ladder.draw({ from: SERVER, to: XMPP, text: `<message> "${text}"` });
  };
  await xmpp.start();

  const config = readConfig(configText(folder, xmpp.port, secret), {
    baseFolder: folder,
    env: {},
    readFile: () => '',
    resolvePath: (base, path) => resolve(base, path),
  });
  const accounts = await openCredentials(config.data);
  const alice = parseAddress('alice@sip.example');
  if (alice === undefined) throw new Error('the demo has no user');
  await accounts.credentials.put([credentialOf(alice, PASSWORD)]);
  await accounts.close();

  const controlSocket = join(folder, 'control.sock');
  const app = await App.create({
    config,
    version,
    controlSocket,
    clock: systemClock,
    random: Math.random,
    log,
  });
  await app.start();
  const port = app.listeners[0]?.port ?? 0;
  const phone = new Phone(
    {
      user: 'alice',
      domain: 'sip.example',
      password: PASSWORD,
      server: `sip:127.0.0.1:${port}`,
      clock: systemClock,
      log,
    },
    {
      sent: (text) => ladder.draw({ from: PHONE, to: SERVER, text }),
      answered: (text) => ladder.draw({ from: SERVER, to: PHONE, text }),
      received: (text) => {
        ladder.draw({ from: SERVER, to: PHONE, text });
        ladder.draw({ from: PHONE, to: SERVER, text: '200 OK' });
      },
    },
  );
  try {
    await phone.start();
    say(`\nA server for sip.example on 127.0.0.1:${port}, its store in ${folder}.`);
    say(`To XMPP it is the component ${COMPONENT}.\n`);
    ladder.head();
    await phone.register(600);
    ladder.draw({ remark: 'alice writes to an XMPP user' });
    await phone.write('sip:juliet@xmpp.example', 'Good morrow, Juliet');
    await until('the message', () => inbox.length === 1);
    ladder.draw({ remark: 'the XMPP user answers' });
    const answer = 'Good pilgrim, good morrow';
    ladder.draw({ from: XMPP, to: SERVER, text: `<message> "${answer}"` });
    xmpp.send(message(answer));
    await until('the answer', () => phone.inbox.length === 1);

    ladder.draw({ remark: 'juliet wants to see how alice is; an operator lets her: interpres watchers allow' });
    const says = (type: string, children: XmlElement['children'] = []): void => {
      ladder.draw({ from: XMPP, to: SERVER, text: `<presence> "${type}"` });
      xmpp.send(presence(type, children));
    };
    says('subscribe');
    await until('the request', () => app.health().presence.subscriptions === 1);
    const rule = '/watchers/alice@sip.example/rules/juliet@xmpp.example';
    await askServer(controlSocket, 'PUT', rule, { action: 'allow' });
    await until('what alice shows', () => seen.includes('available'));
    ladder.draw({ remark: 'alice wants to see how juliet is; juliet is asked, and agrees' });
    await phone.watch('sip:juliet@xmpp.example');
    await until('the question', () => seen.includes('subscribe'));
    says('subscribed');
    says('available', [{ name: 'show', attrs: {}, children: ['away'] }]);
    await until('what juliet shows', () => phone.notified.includes('active, open, away'));

    ladder.draw({ remark: 'the XMPP server goes down; alice goes on writing: 202 means it is on disk' });
    await xmpp.stop();
    await phone.publish('on-the-phone');
    const kept = ['one', 'two', 'three', 'four', 'five'];
    for (const text of kept) await phone.write('sip:juliet@xmpp.example', text);
    ladder.draw({ remark: `waiting in the queue: ${app.health().queue.live}` });
    ladder.draw({ remark: 'the XMPP server comes back' });
    await xmpp.start();
    await until('what waited', () => inbox.length >= 1 + kept.length);
    await until('the queue to be empty', () => app.health().queue.live === 0);
    await until('what alice has become meanwhile', () => seen.includes('available, dnd'));

    const expected = ['Good morrow, Juliet', ...kept];
    const lost = expected.filter((text) => !inbox.includes(text)).length;
    const twice = inbox.length - new Set(inbox).size;
    const inOrder = [...new Set(inbox)].join('\n') === expected.join('\n');
    say(
      `\n${expected.length + 1} messages sent, ${lost} lost, ${twice} twice, ${inOrder ? 'in order' : 'OUT OF ORDER'}`,
    );
    say('each has seen how the other is, what changed during the outage too');
    if (lost > 0 || !inOrder) throw new CommandError('the demo has lost or reordered messages');
    say('\nSet up your own: README.md, "Peer a first domain".');
  } finally {
    await phone.stop();
    await app.stop();
    await xmpp.stop();
  }
}

function configText(folder: string, port: number, secret: string): string {
  return [
    'domains: [sip.example]',
    `data: ${JSON.stringify(join(folder, 'data'))}`,
    "sip: { listen: ['udp://127.0.0.1:0'] }",
    'links:',
    `  office: { type: xmpp-component, host: 127.0.0.1, port: ${port}, name: ${COMPONENT}, domain: sip.example, secret: ${secret} }`,
    'peers: [{ domain: xmpp.example, link: office }]',
    'presence: { notifyIntervalSeconds: 0 }',
  ].join('\n');
}

function message(text: string): XmlElement {
  return {
    name: 'message',
    attrs: { from: 'juliet@xmpp.example/balcony', to: `alice@${COMPONENT}`, type: 'chat', id: 'demo-1' },
    children: [{ name: 'body', attrs: {}, children: [text] }],
  };
}

function presence(type: string, children: XmlElement['children']): XmlElement {
  const resource = type === 'available' ? '/balcony' : '';
  const attrs = { from: `juliet@xmpp.example${resource}`, to: `alice@${COMPONENT}` };
  return { name: 'presence', attrs: type === 'available' ? attrs : { ...attrs, type }, children };
}

function shownPresence(stanza: XmlElement): string {
  const show = childOf(stanza, 'show');
  return [stanza.attrs['type'] ?? 'available', ...(show === undefined ? [] : [textOf(show)])].join(', ');
}

function bodyOf(stanza: XmlElement): string {
  const body = childOf(stanza, 'body');
  return body === undefined ? '' : textOf(body);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = Date.now() + LIMIT_MS;
  while (!holds()) {
    if (Date.now() > endMs) throw new CommandError(`the demo waited in vain for ${what}`);
    await new Promise((resume) => setTimeout(resume, POLL_MS));
  }
}
