import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { browserBundle } from '../../support/browser-bundle.ts';
import { BrowserPage, PageServer } from '../../support/browser.ts';
import { needs } from '../../support/peers.ts';
import { PASSWORD, PLACES, RunningApp } from '../../support/running-app.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';

/** JsSIP in a real browser, over a WebSocket (RFC 7118), to a whole server with a scripted XMPP server behind it. */
describe('jssip in chromium', needs('chromium'), () => {
  let world: RunningApp;
  let page: BrowserPage;
  before(async () => {
    const server = await PageServer.open(browserBundle('jssip', 'JsSIP'));
    const listen = ['udp', 'tcp', 'ws'].map((transport) => `${transport}://${PLACES.server}:0`);
    world = await RunningApp.start({
      sip: JSON.stringify({ listen, websocket: { origins: [server.origin] } }),
    });
    await world.untilLinkUp();
    page = await BrowserPage.open(server, temporaryFolder('chromium'));
    const { port } = world.app.listeners.find(({ transport }) => transport === 'ws')!;
    page.run(`
      const socket = new JsSIP.WebSocketInterface('ws://${PLACES.server}:${port}');
      globalThis.phone = new JsSIP.UA({
        sockets: [socket], uri: 'sip:alice@sip.example', password: ${JSON.stringify(PASSWORD)},
        register_expires: 300, session_timers: false,
        connection_recovery_min_interval: 1, connection_recovery_max_interval: 1,
      });
      phone.on('registered', ({ response }) => tell('registered', {
        contact: response.getHeader('Contact'), require: response.getHeader('Require'), gruu: phone.contact.pub_gruu,
      }));
      phone.on('registrationFailed', ({ cause }) => tell('failed', { cause }));
      phone.on('disconnected', () => tell('disconnected'));
      phone.on('newMessage', ({ originator, request }) => {
        if (originator === 'remote') tell('message', { from: request.from.uri.toString(), body: request.body });
      });
      phone.start();`);
    await page.untilTold('registered');
  });
  after(async () => {
    await page.stop();
    await world.stop();
    assert.deepEqual(world.errors, []);
  });

  const message = (to: string, text: string): void => {
    page.run(`phone.sendMessage(${JSON.stringify(to)}, ${JSON.stringify(text)}, { eventHandlers: {
      succeeded: () => tell('sent', { text: ${JSON.stringify(text)} }),
      failed: ({ cause }) => tell('sent', { text: ${JSON.stringify(text)}, cause }) } });`);
  };

  test('jssip: it registers as a flow of its device, and is told the addresses of that', async () => {
    const { contact, require, gruu } = await page.untilTold('registered');
    assert.match(String(contact), /;transport=ws>;expires=300;\+sip\.instance="<urn:uuid:[^"]+>";reg-id=1;pub-gruu=/);
    assert.equal(require, 'outbound');
    assert.match(String(gruu), /^sip:alice@sip\.example;gr=urn:uuid:/);
  });

  for (const text of ['from a browser', '🌍 שלום עולם', 'z'.repeat(10_000)]) {
    test(`jssip: ${text.slice(0, 20)} (${text.length}) goes to an XMPP user and back`, async () => {
      message('sip:juliet@xmpp.example', text);
      assert.deepEqual(await page.untilTold('sent', (data) => data['text'] === text), { text });
      await until(() => world.xmppTexts.includes(text), { what: 'the XMPP user has it' });
      world.xmpp.sendRaw(
        `<message type='chat' from='juliet@xmpp.example/balcony' to='alice@sip.xmpp.example'><body>re: ${text}</body></message>`,
      );
      const { from } = await page.untilTold('message', ({ body }) => body === `re: ${text}`);
      assert.equal(from, 'sip:juliet@xmpp.example;gr=balcony');
    });
  }

  test('jssip: an XMPP user writes to the device by its resource', async () => {
    const { gruu } = await page.untilTold('registered');
    const device = String(gruu).split(';gr=')[1]!;
    const other = await world.registered('alice');
    world.xmpp.sendRaw(
      `<message from='juliet@xmpp.example' to='alice@sip.xmpp.example/${device}'><body>to the browser</body></message>`,
    );
    await page.untilTold('message', ({ body }) => body === 'to the browser');
    world.xmpp.sendRaw(`<message from='juliet@xmpp.example' to='alice@sip.xmpp.example'><body>to all</body></message>`);
    await page.untilTold('message', ({ body }) => body === 'to all');
    assert.deepEqual(
      (await other.count(1)).map(({ body }) => body.toString()),
      ['to all'],
    );
    await other.register(0);
  });

  test('jssip: a message to a page whose connection is gone waits until it is back', async () => {
    // It connects again by itself, a second later.
    page.run('phone._transport.socket._ws.close();');
    await page.untilTold('disconnected');
    world.xmpp.sendRaw(`<message from='juliet@xmpp.example' to='alice@sip.xmpp.example'><body>wait</body></message>`);
    await until(() => world.logLines.some((line) => line.includes('operation waits for its hop')), {
      what: 'it waits',
    });
    await page.untilTold('message', ({ body }) => body === 'wait', 15_000);
  });

  test('jssip: a wrong password is refused', async () => {
    const { port } = world.app.listeners.find(({ transport }) => transport === 'ws')!;
    page.run(`
      const wrong = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface('ws://${PLACES.server}:${port}')],
        uri: 'sip:bob@sip.example', password: 'wrong' });
      wrong.on('registrationFailed', ({ cause }) => { tell('refused', { cause }); wrong.stop(); });
      wrong.start();`);
    assert.equal((await page.untilTold('refused'))['cause'], 'Authentication Error');
  });
});
