import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createSocket, Socket } from 'node:dgram';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { command } from '../support/command.ts';
import { ComponentServer } from '../support/component-server.ts';
import { entryPoint } from '../support/entry-point.ts';
import { startInterpres, type InterpresProcess } from '../support/interpres-process.ts';
import { freePort } from '../support/ports.ts';
import { rawRequest, UdpPeer } from '../support/raw-sip.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const COMPONENT = 'sip.xmpp.example';
const SECRET = 'of-this-test-77a';

const FOLDER = temporaryFolder('serve');
let folders = 0;

function folderFor(test: string): string {
  const folder = join(FOLDER, `${test}-${++folders}`);
  mkdirSync(folder);
  return folder;
}

const linkTo = (port: number, secret = SECRET) => ({
  domains: ['sip.example', { name: 'core.example', trust: ['127.0.0.1'] }],
  links: {
    office: { type: 'xmpp-component', host: '127.0.0.1', port, name: COMPONENT, domain: 'sip.example', secret },
    core: {
      type: 'xmpp-component',
      host: '127.0.0.1',
      port,
      name: 'core.xmpp.example',
      domain: 'core.example',
      secret,
    },
  },
  peers: [
    { domain: 'xmpp.example', link: 'office' },
    { domain: 'xmpp.example', link: 'core' },
  ],
  rateLimits: 'off',
});

/** As `curl` would: the status and the body, whatever the status. */
async function healthOf(server: InterpresProcess): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`http://127.0.0.1:${server.httpPort}/health`);
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

describe('interpres serve', { concurrency: 3 }, () => {
  test('/health is 503 while a link is tried for the first time, and SIGTERM then ends it with 0 at once', async () => {
    const folder = folderFor('connecting');
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const server = await startInterpres({ folder, config: linkTo(port), start: false });
      await server.launch();
      const seen = await until(() => healthOf(server), { what: 'an answer of /health', everyMs: 5 });
      assert.equal(seen.status, 503);
      assert.equal(seen.body['status'], 'starting');
      const startedMs = performance.now();
      server.process().signal(signal);
      server.process().signal(signal); // npm hands a Ctrl-C on that the terminal has given already
      assert.deepEqual(await server.process().exit(), { code: 0, signal: null });
      assert.ok(performance.now() - startedMs < 3_000);
    }
    silent.close();
  });

  test('a link that is down, or has the wrong secret, is 200 with its reason; a link that comes is seen', async () => {
    const port = await freePort();
    const server = await startInterpres({ folder: folderFor('health'), config: linkTo(port) });
    const { status, body } = await healthOf(server);
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body).sort(), [
      ...[
        'certificates',
        'links',
        'peers',
        'presence',
        'queue',
        'registeredUsers',
        'sip',
        'status',
        'store',
        'uptimeSeconds',
        'version',
      ],
    ]);
    assert.deepEqual(body['sip'], [
      { transport: 'udp', address: '127.0.0.1', port: server.sipPort },
      { transport: 'tcp', address: '127.0.0.1', port: server.sipPort },
    ]);
    assert.deepEqual(body['peers'], { 'xmpp.example': { reachable: false, waiting: 0 } });
    assert.match((await server.health()).links['office']?.reason ?? '', /ECONNREFUSED/);

    const xmpp = new ComponentServer({ name: COMPONENT, secret: 'another one', port });
    await xmpp.start();
    await until(async () => /not-authorized.*secret/.test((await server.health()).links['office']?.reason ?? ''), {
      what: 'the reason names the secret',
    });
    assert.equal((await healthOf(server)).status, 200);
    assert.equal((await server.untilLogged(/^link refused$/))['level'], 'error');
    for (const line of server.log()) assert.equal(JSON.stringify(line).includes(SECRET), false);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await xmpp.stop();
  });

  test('SIGTERM under load ends it with 0 within 10 s, and what was answered 202 is in the queue afterwards', async () => {
    const folder = folderFor('load');
    const server = await startInterpres({ folder, config: linkTo(await freePort()) });
    const peer = await UdpPeer.open();
    let number = 0;
    const load = setInterval(() => {
      for (let at = 0; at < 20; at += 1) {
        number += 1;
        const from = `<sip:user${number % 40}@core.example>;tag=a${number}`;
        const request = {
          uri: 'sip:juliet@xmpp.example',
          from,
          to: '<sip:juliet@xmpp.example>',
          body: `text ${number}`,
        };
        const via = `SIP/2.0/UDP 127.0.0.1:${peer.port};rport;branch=z9hG4bKload${number}`;
        peer.send(rawRequest({ ...request, via }), server.sipPort);
      }
    }, 20);
    await peer.count(500);
    const startedMs = performance.now();
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.ok(performance.now() - startedMs < 10_000);
    clearInterval(load);
    await pause(50);
    const accepted = new Set(
      peer.received.filter(({ status }) => status === 202).map((answer) => answer.header('Call-ID')),
    );
    assert.ok(accepted.size > 100, `${accepted.size} accepted`);

    await server.start();
    const { queue } = await server.health();
    assert.ok(queue.live >= accepted.size, `${queue.live} in the queue, ${accepted.size} were answered 202`);
    peer.close();
    await server.stop();
  });

  test('a second server on the same folder is refused, and the first goes on', async () => {
    const folder = folderFor('second');
    const server = await startInterpres({ folder, config: { domains: ['sip.example'] } });
    const { code, stderr } = await command(['serve', '--config', server.configFile]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^cannot start: another server is using the folder .*; stop it, or give this one a folder of its own[^\n]*\n$/,
    );
    assert.match(await server.run(['queue', 'list']), /^0 live/);
    await server.stop();
  });

  for (const [name, taken] of [
    ['SIP over UDP', 'udp'],
    ['SIP over TCP', 'tcp'],
    ['health', 'http'],
  ] as const) {
    test(`a port for ${name} that is in use: which, and what to change`, async () => {
      const folder = folderFor('port');
      const [sip, http] = [await freePort(), await freePort()];
      const file = join(folder, 'config.yaml');
      const listen = `['udp://127.0.0.1:${sip}', 'tcp://127.0.0.1:${sip}']`;
      writeFileSync(file, `domains: [a.example]\nsip: { listen: ${listen} }\nhttp: { listen: '127.0.0.1:${http}' }\n`);
      const holder = taken === 'udp' ? createSocket('udp4') : createServer();
      if (holder instanceof Socket) holder.bind(sip, '127.0.0.1');
      else holder.listen(taken === 'http' ? http : sip, '127.0.0.1');
      await once(holder, 'listening');
      const { code, stderr } = await command(['serve', '--config', file]);
      holder.close();
      assert.equal(code, 1);
      const place = taken === 'http' ? http : sip;
      const key = taken === 'http' ? 'http.listen' : 'sip.listen';
      const says = `cannot start: 127.0.0.1:${place} is in use: end the program that has it, or change ${key} in ${file} (EADDRINUSE)\n`;
      assert.equal(stderr, says);
    });
  }

  test('--guide says what to do next, on standard error; the log is JSON alone', async () => {
    const folder = folderFor('guide');
    const file = join(folder, 'config.yaml');
    writeFileSync(file, `domains: [sip.example]\nsip: { listen: ['udp://127.0.0.1:0'] }\n`);
    const child = spawn(process.execPath, [...entryPoint(), 'serve', '--guide', '--config', file]);
    let [out, told] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await until(() => told.includes('Ctrl-C') && out.includes('server ready'), { what: 'the guide' });
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'close'), [0, null]);
    for (const part of ['serves sip.example', 'users add sip:alice@sip.example', join(folder, 'data'), 'add a link']) {
      assert.ok(told.includes(part), part);
    }
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(lines.map(({ msg }) => msg).slice(-3), ['server ready', 'server stops', 'server stopped']);
    for (const line of lines) for (const field of ['level', 'time', 'msg']) assert.equal(typeof line[field], 'string');
  });

  for (const reader of ['goes away', 'never reads'] as const) {
    test(`a log whose reader ${reader} stops neither the server nor its end`, async () => {
      const folder = folderFor('log');
      const [sip, http] = [await freePort(), await freePort()];
      const file = join(folder, 'config.yaml');
      const listen = `sip: { listen: ['udp://127.0.0.1:${sip}'] }\nhttp: { listen: '127.0.0.1:${http}' }\n`;
      writeFileSync(file, `domains: [sip.example]\n${listen}log: { level: trace }\n`);
      const pipe = join(folder, 'log');
      execFileSync('mkfifo', [pipe]);
      const readEnd = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
      const writeEnd = openSync(pipe, constants.O_WRONLY);
      const child = spawn(process.execPath, [...entryPoint(), 'serve', '--config', file], {
        stdio: ['ignore', writeEnd, 'inherit'],
      });
      closeSync(writeEnd);
      const isUp = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${http}/health`)).status === 200;
      await until(isUp, { what: 'the server is up' });
      if (reader === 'goes away') closeSync(readEnd);
      const peer = await UdpPeer.open();
      for (let at = 1; at <= 600; at += 1) {
        const via = `SIP/2.0/UDP 127.0.0.1:${peer.port};rport;branch=z9hG4bKlog${at}`;
        peer.send(rawRequest({ via, body: 'x'.repeat(500) }), sip);
        if (at % 50 === 0) await peer.count(at);
      }
      assert.ok(await isUp());
      peer.close();
      const startedMs = performance.now();
      const ended = once(child, 'close');
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null]);
      assert.ok(performance.now() - startedMs < 10_000);
      if (reader === 'never reads') closeSync(readEnd);
    });
  }
});
