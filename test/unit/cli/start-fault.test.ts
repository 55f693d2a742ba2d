import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFault } from '../../../src/cli/start-fault.ts';
import type { Config } from '../../../src/core/config.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import { aConfig } from '../../support/builders.ts';

const CONFIG: Config = {
  ...aConfig(),
  http: { listen: { host: '127.0.0.1', port: 8080 } },
  links: {
    federation: {
      type: 'xmpp-s2s',
      listen: [{ transport: 'tcp', address: '127.0.0.1', port: 5269 }],
      warnDays: 21,
      idleSeconds: 600,
      authenticateSeconds: 30,
      streamsPerAddress: 50,
      streams: 2_000,
      unprovedStreams: 200,
    },
  },
};

function systemError(fields: Readonly<Record<string, unknown>>): Error {
  return Object.assign(new Error('as the system says it'), fields);
}

const ROWS: ReadonlyArray<readonly [name: string, thrown: unknown, told: RegExp | undefined]> = [
  [
    'a SIP port in use',
    systemError({ code: 'EADDRINUSE', syscall: 'bind', address: '127.0.0.1', port: 5060 }),
    /^127\.0\.0\.1:5060 is in use: end .*, or change sip\.listen in f\.yaml \(EADDRINUSE\)$/,
  ],
  [
    'the health port in use',
    systemError({ code: 'EADDRINUSE', syscall: 'listen', address: '127.0.0.1', port: 8080 }),
    /^127\.0\.0\.1:8080 .* change http\.listen in f\.yaml/,
  ],
  [
    'the port for XMPP servers in use',
    systemError({ code: 'EADDRINUSE', syscall: 'listen', address: '127.0.0.1', port: 5269 }),
    /^127\.0\.0\.1:5269 is in use: end .*, or change links\.federation\.listen in f\.yaml \(EADDRINUSE\)$/,
  ],
  [
    'a port below 1024',
    systemError({ code: 'EACCES', syscall: 'listen', address: '::', port: 80 }),
    /^this user may not listen on \[::\]:80: let it/,
  ],
  [
    'an address of another machine',
    systemError({ code: 'EADDRNOTAVAIL', syscall: 'bind', address: '192.0.2.1', port: 1 }),
    /^192\.0\.2\.1:1 is no address of this machine/,
  ],
  [
    'a name without address',
    systemError({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'x.invalid' }),
    /^x\.invalid has no address, or change sip\.listen/,
  ],
  ['another failure of the system', systemError({ code: 'EMFILE', syscall: 'listen' }), /^as the system says it$/],
  ['a failure that names its remedy', new GatewayError('store-unavailable', 'make it writable'), /^make it writable$/],
  ['a fault of ours', new TypeError('x is undefined'), undefined],
];
for (const [name, thrown, told] of ROWS) {
  test(`start fault: ${name}`, () => {
    const said = startFault(thrown, CONFIG, 'f.yaml');
    if (told === undefined) assert.equal(said, undefined);
    else assert.match(said ?? '', told);
  });
}
