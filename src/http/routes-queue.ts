import type { FastifyPluginCallback } from 'fastify';
import { GatewayError } from '../core/errors.ts';
import type { DeliveryQueue, QueueFilter } from '../core/ports.ts';

/** The only things these routes may touch. */
export type QueueDeps = { queue: Pick<DeliveryQueue, 'list' | 'show' | 'retry' | 'drop' | 'figures'> };

const LIST_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state: { enum: ['live', 'dead'] },
    hop: { type: 'string', maxLength: 300 },
    owner: { type: 'string', maxLength: 1100 },
    limit: { type: 'integer', minimum: 1, maximum: 10_000, default: 100 },
  },
} as const;

/** What waits, what died, and what the operator may do about it. */
export const queueRoutes: FastifyPluginCallback<QueueDeps> = (app, { queue }, done) => {
  app.get<{ Querystring: QueueFilter }>('/queue', { schema: { querystring: LIST_QUERY } }, async (request) => ({
    figures: queue.figures(),
    items: await queue.list(request.query),
  }));

  app.get<{ Params: { id: string } }>('/queue/:id', async (request) => {
    const item = await queue.show(request.params.id);
    if (item === undefined) throw unknown();
    return item;
  });

  app.post<{ Params: { id: string } }>('/queue/:id/retry', async (request) => {
    if (!(await queue.retry(request.params.id))) throw unknown();
    return { done: true };
  });

  app.delete<{ Params: { id: string } }>('/queue/:id', async (request) => {
    if (!(await queue.drop(request.params.id))) throw unknown();
    return { done: true };
  });
  done();
};

function unknown(): GatewayError {
  return new GatewayError('recipient-unknown', 'no queue entry with this id');
}
