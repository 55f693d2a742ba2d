import { S2sFederation, type S2sOptions } from '../../src/xmpp/link-s2s.ts';
import type { PairLink } from '../../src/xmpp/s2s/pair-link.ts';
import { FakeClock } from './fake-clock.ts';
import { LogRecorder } from './log-recorder.ts';
import { S2sPeer, type S2sPeerScript } from './s2s-peer.ts';
import { ZoneDns } from './zone-dns.ts';

export const OWN = 'sip.example';
export const FAR = 'xmpp.example';

export type S2sWorld = {
  readonly federation: S2sFederation;
  readonly link: PairLink;
  readonly peer: S2sPeer;
  readonly clock: FakeClock;
  readonly log: LogRecorder;
  /** Where our server listens. */
  readonly port: number;
  /** Whether something waits for the peer, as the core would say. */
  wanted: boolean;
  readonly end: () => Promise<void>;
};

/** A scripted server of a peer, and a federation with it whose link is not started. Sockets are real, time is not. */
export async function s2sWorld(
  options: {
    readonly limits?: S2sOptions['limits'];
    readonly script?: Partial<S2sPeerScript>;
    readonly more?: Partial<S2sOptions>;
  } = {},
): Promise<S2sWorld> {
  const peer = new S2sPeer(options.script);
  await peer.start();
  const clock = new FakeClock();
  const log = new LogRecorder();
  const federation = new S2sFederation({
    name: 'federation',
    listen: [{ transport: 'tcp', address: '127.0.0.1', port: 0 }],
    dialbackSecret: 'not known to anybody',
    ownDomains: [OWN],
    peers: [{ domain: FAR, security: 'dialback', nextHop: { host: '127.0.0.1', port: peer.port, isTls: false } }],
    dns: new ZoneDns({}),
    clock,
    random: () => 0.5,
    log,
    ...options.more,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  await federation.start();
  const world: S2sWorld = {
    federation,
    peer,
    clock,
    log,
    port: federation.listening[0]?.port ?? 0,
    wanted: true,
    link: federation.link({ own: OWN, peer: FAR }, `federation/${OWN}/${FAR}`, () => world.wanted),
    async end(): Promise<void> {
      peer.thaw();
      peer.answering(true);
      const stopped = world.link.stop(0);
      clock.advance(1_000);
      await stopped;
      const ended = federation.stop();
      clock.advance(2_000);
      await ended;
      await peer.stop();
    },
  };
  return world;
}
