import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';

import { DrachtioServer } from '../support/drachtio-server.ts';
import { freePort } from '../support/ports.ts';

/** `npm run test:drachtio`, against the server of the tests in the place of a real one. */
const SECRET = 'for the script alone';
let server: DrachtioServer;

before(async () => {
  server = await DrachtioServer.start({ secret: SECRET });
});

after(() => server.stop());

async function script(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const env = { ...process.env };
  // A runner within a runner would report to the outer one.
  delete env['NODE_TEST_CONTEXT'];
  const child = spawn(process.execPath, ['scripts/test-drachtio.mjs', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

test('test:drachtio runs the SIP contract against a server that is named by flags', async () => {
  const port = String(server.controlPort);
  const { code, output } = await script(
    '--host',
    '127.0.0.1',
    '--port',
    port,
    '--secret',
    SECRET,
    '--only',
    ' (1|2|7|10)\\.',
  );
  assert.equal(code, 0, output);
  assert.match(output, /drachtio server: 10\. a far end reaches the server where it says/);
  assert.match(output, /pass 1[5-9]/);
});

const REFUSALS: ReadonlyArray<readonly [what: string, args: () => Promise<string[]>, says: RegExp]> = [
  ['nobody there', async () => ['--port', String(await freePort()), '--secret', 'x'], /cannot connect to 127\.0\.0\.1:\d+ \(ECONNREFUSED\): start the drachtio server/],
  ['a wrong secret', async () => ['--port', String(server.controlPort), '--secret', 'x'], /the server refuses the secret: correct --secret/],
  ['no secret', async () => [], /--secret is missing/],
  ['an unknown flag', async () => ['--porto', '1'], /--porto.*--help says what there is/],
]; // prettier-ignore
for (const [what, args, says] of REFUSALS) {
  test(`test:drachtio says what to do about ${what}`, async () => {
    const { code, output } = await script(...(await args()));
    assert.equal(code, 2);
    assert.match(output, says);
    assert.equal(output.trim().split('\n').length, 1);
  });
}

test('test:drachtio --help says what the server needs', async () => {
  const { code, output } = await script('--help');
  assert.equal(code, 0);
  assert.match(output, /<admin port="9022" secret="SECRET">/);
});
