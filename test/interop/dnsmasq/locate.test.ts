import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';

import { GatewayError } from '../../../src/core/errors.ts';
import { DnsCache } from '../../../src/dns/dns-cache.ts';
import { systemDnsQueries } from '../../../src/dns/dns-queries.ts';
import { Resolver } from '../../../src/sip/engine/resolver.ts';
import { targetKey } from '../../../src/sip/engine/targets.ts';
import { parseSipUri } from '../../../src/sip/uri.ts';
import { systemClock } from '../../../src/system-clock.ts';
import { anOutgoing, EngineStage } from '../../support/engine-stage.ts';
import { commandPath, needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import { startProcess, type TestProcess } from '../../support/process.ts';
import { rawResponse, StreamServer } from '../../support/raw-sip.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const RECORDS = [
  '--naptr-record=full.test,50,50,s,SIPS+D2T,,_sips._tcp.full.test',
  '--naptr-record=full.test,90,50,s,SIP+D2T,,_sip._tcp.full.test',
  '--naptr-record=full.test,100,50,s,SIP+D2U,,_sip._udp.full.test',
  '--srv-host=_sips._tcp.full.test,a.full.test,5061,1,0',
  '--srv-host=_sip._tcp.full.test,b.full.test,5070,20,0',
  '--srv-host=_sip._tcp.full.test,a.full.test,5060,10,0',
  '--srv-host=_sip._udp.full.test,b.full.test,5080,1,0',
  '--srv-host=_sip._tcp.srv.test,a.full.test,5090,1,0',
  '--host-record=a.full.test,127.0.0.11',
  '--host-record=b.full.test,127.0.0.12,::1',
  '--host-record=plain.test,127.0.0.13',
];

const rows: ReadonlyArray<readonly [string, string, readonly string[]]> = [
  [
    'NAPTR, SRV and addresses',
    'sip:bob@full.test',
    [
      'tls 127.0.0.11 5061',
      'tcp 127.0.0.11 5060',
      'tcp 127.0.0.12 5070',
      'tcp ::1 5070',
      'udp 127.0.0.12 5080',
      'udp ::1 5080',
    ],
  ],
  ['the secure service for sips', 'sips:bob@full.test', ['tls 127.0.0.11 5061']],
  [
    'SRV of the transport asked for',
    'sip:bob@full.test;transport=tcp',
    ['tcp 127.0.0.11 5060', 'tcp 127.0.0.12 5070', 'tcp ::1 5070'],
  ],
  ['SRV without NAPTR', 'sip:bob@srv.test', ['tcp 127.0.0.11 5090']],
  ['addresses alone', 'sip:bob@plain.test', ['udp 127.0.0.13 5060']],
  ['addresses at the port given', 'sip:bob@b.full.test:5099', ['udp 127.0.0.12 5099', 'udp ::1 5099']],
  ['a name that does not exist', 'sip:bob@nowhere.test', []],
];

describe('dnsmasq', needs('dnsmasq'), () => {
  let server: TestProcess;
  let dnsServer: string;
  let refused: number;
  let peer: StreamServer;

  before(async () => {
    const port = await freePort();
    refused = await freePort();
    peer = await StreamServer.open();
    dnsServer = `127.0.0.1:${port}`;
    server = await startProcess({
      name: 'dnsmasq',
      command: commandPath('dnsmasq') ?? 'dnsmasq',
      args: [
        ...['--no-daemon', '--conf-file=/dev/null', '--pid-file=', '--no-resolv', '--no-hosts', '--local=/test/'],
        ...['--listen-address=127.0.0.1', '--bind-interfaces', `--port=${port}`, '--user=root', '--local-ttl=60'],
        ...RECORDS,
        `--srv-host=_sip._tcp.failover.test,a.full.test,${refused},1,0`,
        `--srv-host=_sip._tcp.failover.test,failover-host.test,${peer.port},2,0`,
        '--host-record=failover-host.test,127.0.0.1',
      ],
      folder: temporaryFolder('dnsmasq'),
    });
    await server.said('started');
  });
  after(async () => {
    peer.close();
    await server.stop();
  });

  for (const [what, uri, want] of rows) {
    test(`dnsmasq: ${what}`, async () => {
      const resolver = new Resolver(
        new DnsCache(systemDnsQueries([dnsServer]), systemClock),
        systemClock,
        Math.random,
        { transports: ['udp', 'tcp', 'tls'], udpFamilies: new Set([4, 6]) },
      );
      const found = resolver.targets(parseSipUri(uri)!);
      if (want.length > 0) assert.deepEqual((await found).map(targetKey), want);
      else await assert.rejects(found, (error) => error instanceof GatewayError && error.code === 'peer-unreachable');
    });
  }

  test('dnsmasq: a message finds the second server of a domain when the first one refuses', async (t) => {
    const stage = await EngineStage.open(t, { dnsServers: [dnsServer] });
    const answered = stage.stack.request(anOutgoing('sip:bob@failover.test'));
    const connection = await peer.next();
    connection.send(rawResponse(await connection.next(5_000), 202));
    assert.equal((await answered).status, 202);
  });

  test('dnsmasq: a name server that says nothing is peer-unreachable', async (t) => {
    const silent = createSocket('udp4');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(() => silent.close());
    const stage = await EngineStage.open(t, { dnsServers: [`127.0.0.1:${silent.address().port}`] });
    const failed = assert.rejects(
      stage.stack.request(anOutgoing('sip:bob@full.test')),
      (error) => error instanceof GatewayError && error.code === 'peer-unreachable',
    );
    await once(silent, 'message');
    await stage.pass(5_100);
    await failed;
  });
});
