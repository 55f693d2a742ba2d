import type { Log } from '../../core/log.ts';
import type { Clock, Random } from '../../core/ports.ts';
import type { DnsQueries } from '../../dns/dns-queries.ts';
import type { Ends } from './incoming-negotiation.ts';
import type { NextHop } from './peer-targets.ts';
import type { PeerSecurity } from './policy.ts';
import type { S2sLimits } from './stanza-stream.ts';

export type S2sListen = { readonly transport: 'tcp' | 'tls'; readonly address: string; readonly port: number };

/** A peer domain on the link. */
export type S2sPeer = { readonly domain: string; readonly security: PeerSecurity; readonly nextHop?: NextHop };

export type S2sBounds = S2sLimits & {
  /** Streams opened to us from one host (an IPv4 address, a /64 of IPv6), from all, and such on which nobody has proved who he is. */
  readonly streamsPerAddress: number;
  readonly streams: number;
  readonly unproved: number;
};

export type S2sOptions = {
  /** The link's name in the configuration. */
  readonly name: string;
  readonly listen: readonly S2sListen[];
  /** PEM texts; absent: no TLS where we are asked for it, and only dialback to say who we are. */
  readonly certificate?: { readonly certificate: string; readonly key: string };
  /** PEM of the roots that peers are checked against; absent: those of Node. */
  readonly ca?: string;
  /** What dialback keys are made from: the same on every server that answers for our domains, known to nobody else. */
  readonly dialbackSecret: string;
  /** Domains of ours, canonical. */
  readonly ownDomains: readonly string[];
  readonly peers: readonly S2sPeer[];
  readonly dns: DnsQueries;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<S2sBounds>;
  /** The other nodes of this server; absent: it is one. */
  readonly others?: OtherNodes;
};

/** What a node has to tell the others: a peer speaks to any of them, and each pair of domains is run by one. */
export type OtherNodes = {
  /** This process among all nodes; its pings carry it. Without dots. */
  readonly run: string;
  /** The answer to a ping of another node's has come here. @returns whether that node is there */
  readonly ponged: (run: string, ends: Ends, id: string) => boolean;
  /** A peer has proved itself here for a pair that this node does not run. */
  readonly peerIsThere: (ends: Ends) => void;
};

export const LIMITS: S2sBounds = {
  stanzaBytesMax: 262_144,
  window: 2048,
  windowBytes: 16_777_216,
  inboundMax: 500,
  answerBytesMax: 1_048_576,
  openMs: 20_000,
  authenticateMs: 30_000,
  idleMs: 600_000,
  resumeMs: 20_000,
  streamsPerAddress: 50,
  streams: 2_000,
  unproved: 200,
};
