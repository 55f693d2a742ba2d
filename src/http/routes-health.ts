import type { FastifyPluginCallback } from 'fastify';
import type { AccountFigures } from '../core/accounts.ts';
import type { QueueFigures } from '../core/ports.ts';

export type LinkHealth = {
  readonly at: string;
  readonly sinceMs: number;
  readonly unconfirmed: number;
  /** Why it is down and what to do about it. */
  readonly reason?: string;
  /** The node that runs it, where there are several. */
  readonly node?: string;
};

export type CertificateHealth = {
  /** When it ends, or the first of those between it and its root does; ISO 8601. */
  readonly notAfter: string;
  /** Below 0: over. */
  readonly daysLeft: number;
};

/** How a server that carries SIP for this one stands, a drachtio server. */
export type SipServerHealth = {
  /** `up`, `connecting`, `down`; `listening`: such servers connect here. */
  readonly at: string;
  readonly sinceMs: number;
  /** Why it is down and what to do about it. */
  readonly reason?: string;
  readonly version?: string;
  /** How many are connected, with `listening`. */
  readonly connections?: number;
};

export type Health = {
  /** `starting` until SIP listens and every link has been tried once, `stopping` once asked to end. */
  readonly status: 'starting' | 'ok' | 'stopping';
  readonly version: string;
  /** This node among several, and what it alone does: `link:<name>`, `presence`. */
  readonly node?: { readonly name: string; readonly owns: readonly string[] };
  readonly uptimeSeconds: number;
  /** `unavailable`: it takes nothing, or what other nodes store is not known here; senders are refused. */
  readonly store: 'ok' | 'unavailable';
  readonly sip: ReadonlyArray<{ readonly transport: string; readonly address: string; readonly port: number }>;
  /** With `sip.engine: drachtio`: its servers by their names. */
  readonly sipServers?: Readonly<Record<string, SipServerHealth>>;
  readonly links: Readonly<Record<string, LinkHealth>>;
  /** Accounts that users have linked, per link of type `xmpp-account`. */
  readonly accounts?: Readonly<Record<string, AccountFigures>>;
  readonly peers: Readonly<Record<string, { readonly reachable: boolean; readonly waiting: number }>>;
  /** Certificates of this server, by their keys in the configuration. */
  readonly certificates: Readonly<Record<string, CertificateHealth>>;
  readonly queue: QueueFigures;
  readonly presence: {
    readonly publications: number;
    readonly subscriptions: number;
    /** Notifications that have no answer yet. */
    readonly unanswered: number;
    /** The node that keeps presence, where there are several: the figures are then those of this node alone. */
    readonly node?: string;
  };
  readonly registeredUsers: number;
};

/** The only thing this route may touch. */
export type HealthDeps = { health(): Health };

/** GET /health: 200 once SIP listens and links have been tried, 503 before and while ending; a link that is down is 200. */
export const healthRoutes: FastifyPluginCallback<HealthDeps> = (app, deps, done) => {
  app.get('/health', async (_request, reply) => {
    const health = deps.health();
    return reply.code(health.status === 'ok' ? 200 : 503).send(health);
  });
  done();
};
