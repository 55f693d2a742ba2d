// `npm run test:drachtio -- --host 127.0.0.1 --port 9022 --secret ...`: the SIP contract against a real drachtio server.
import { spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HELP = `Runs the whole SIP contract (test/contract/sip-stack.ts) against a real drachtio server.

  npm run test:drachtio -- --secret SECRET [--host 127.0.0.1] [--port 9022] [--only PATTERN]

  --host HOST      where its admin port is; default 127.0.0.1
  --port PORT      its admin port; default 9022
  --secret SECRET  the secret of its admin section; DRACHTIO_SECRET in the environment does as well
  --only PATTERN   only tests whose name this regular expression finds, '7\\.' for the seventh promise
  --help           this text

The server has to run on this machine and to listen on 127.0.0.1 over UDP and TCP:

  <admin port="9022" secret="SECRET">127.0.0.1</admin>
  <sip><contacts><contact>sip:127.0.0.1:5060;transport=udp,tcp</contact></contacts></sip>

and no other application may be connected meanwhile: it would get half of the requests. Takes two minutes. What such a
server lacks is no failure; docs/drachtio.md lists it.
`;
const ANSWER_WITHIN_MS = 5_000;
process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const options = readOptions();
const problem = await whyNot(options);
if (problem !== undefined) fail(problem);
const run = spawnSync(
  process.execPath,
  [
    ...['--import', 'tsx', '--test', '--test-force-exit', '--test-reporter=spec', '--test-timeout=240000'],
    ...(options.only === undefined ? [] : [`--test-name-pattern=${options.only}`]),
    'test/drachtio/sip-stack.ts',
  ],
  {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      ...process.env,
      DRACHTIO_HOST: options.host,
      DRACHTIO_PORT: options.port,
      DRACHTIO_SECRET: options.secret,
    },
  },
);
process.exit(run.status ?? 1);

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        host: { type: 'string', default: '127.0.0.1' },
        port: { type: 'string', default: '9022' },
        secret: { type: 'string', default: process.env.DRACHTIO_SECRET },
        only: { type: 'string' },
        help: { type: 'boolean' },
      },
    }));
  } catch (error) {
    fail(`${error.message}; --help says what there is`);
  }
  if (values.help === true) {
    process.stdout.write(HELP);
    process.exit(0);
  }
  if (values.secret === undefined) fail('--secret is missing: the secret of the admin section in drachtio.conf.xml');
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) fail(`found --port ${values.port}, expected 1 to 65535`);
  return values;
}

function fail(text) {
  process.stderr.write(`test:drachtio: ${text}\n`);
  process.exit(2);
}

/** Says the secret once, and why the tests cannot be run; undefined when they can. */
function whyNot({ host, port, secret }) {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    const end = (text) => {
      clearTimeout(late);
      socket.destroy();
      resolve(text);
    };
    const late = setTimeout(
      () => end(`${host}:${port} says nothing within 5 s: is it the admin port?`),
      ANSWER_WITHIN_MS,
    );
    socket.on('error', (error) => {
      end(`cannot connect to ${host}:${port} (${error.code}): start the drachtio server, or correct --host and --port`);
    });
    socket.on('close', () => end(`${host}:${port} closes the connection: is it the admin port?`));
    socket.on('connect', () => {
      const payload = `0|authenticate|${secret}|`;
      socket.write(`${Buffer.byteLength(payload)}#${payload}`);
    });
    socket.once('data', (bytes) => {
      const fields = bytes.toString('utf8').split('|');
      if (fields[1] !== 'response') return end(`${host}:${port} is no admin port of a drachtio server`);
      if (fields[3] !== 'OK') return end('the server refuses the secret: correct --secret');
      const listens = fields[4] ?? '';
      const missing = ['udp', 'tcp'].filter((transport) => !listens.includes(`${transport}/127.0.0.1:`));
      const text = `the server listens at ${listens}, expected 127.0.0.1 over ${missing.join(' and ')} among them; --help shows a configuration`;
      return end(missing.length === 0 ? undefined : text);
    });
  });
}
