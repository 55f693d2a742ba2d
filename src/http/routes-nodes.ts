import type { FastifyPluginCallback } from 'fastify';

/** The nodes on one store, as the one that is asked sees them. */
export type NodesReport = {
  /** Who is asked. */
  readonly node: string;
  /** Whether the store answered this node when it was last asked; where not, what it says may be old. */
  readonly isHeard: boolean;
  /** Leases that went from a node that had more than its share to another one, as far as the one that is asked has
   * heard; absent where that is of a version that knows of none. */
  readonly handOvers?: {
    readonly count: number;
    readonly last?: {
      readonly lease: string;
      readonly from: string;
      readonly to: string;
      readonly atMs: number;
      readonly reason: string;
    };
  };
  readonly nodes: ReadonlyArray<{
    readonly name: string;
    readonly startedAtMs: number;
    readonly version: string;
    readonly addresses: readonly string[];
    readonly isLeaving: boolean;
    /** `link:<name>`, `presence`. */
    readonly owns: readonly string[];
  }>;
};

/** The only thing this route may touch; undefined: the store is one server's own. */
export type NodesDeps = { nodes(): NodesReport | undefined };

/** GET /nodes: all nodes, or 404 where there is one on a store of its own. */
export const nodeRoutes: FastifyPluginCallback<NodesDeps> = (app, deps, done) => {
  app.get('/nodes', async (_request, reply) => {
    const report = deps.nodes();
    return report === undefined ? reply.code(404).send({ error: 'one-node' }) : reply.send(report);
  });
  done();
};
