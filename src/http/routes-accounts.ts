import type { FastifyPluginCallback } from 'fastify';
import type { AccountAdministration } from '../core/accounts.ts';
import { userInPath } from './user-in-path.ts';

/** The only things these routes may touch. */
export type AccountsDeps = { readonly accounts: AccountAdministration };

type OfUser = { Params: { user: string } };
type OfAccount = { Params: { user: string; jid: string } };

const PASSWORD = { type: 'string', minLength: 1, maxLength: 1_024 } as const;
const ADD_BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['password'],
  properties: { password: PASSWORD, link: { type: 'string', minLength: 1, maxLength: 64 } },
} as const;
const PASSWORD_BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['password'],
  properties: { password: PASSWORD },
} as const;

/**
 * Accounts of users on public XMPP services. `user` is an address, `alice@sip.example`, `jid` the bare JID of the account;
 * both escaped once for the URL. A password goes in and never comes out.
 */
export const accountRoutes: FastifyPluginCallback<AccountsDeps> = (app, { accounts }, done) => {
  app.get('/accounts', async (_request, reply) => reply.send({ accounts: await accounts.list() }));

  app.get<OfUser>('/accounts/:user', async (request, reply) =>
    reply.send({ accounts: await accounts.of(userInPath(request.params.user)) }),
  );

  app.post<OfAccount & { Body: { password: string; link?: string } }>(
    '/accounts/:user/:jid',
    { schema: { body: ADD_BODY } },
    async (request, reply) => {
      const { user, jid } = request.params;
      const { password, link } = request.body;
      return reply.code(201).send(await accounts.add(userInPath(user), jid, password, link));
    },
  );

  app.put<OfAccount & { Body: { password: string } }>(
    '/accounts/:user/:jid/password',
    { schema: { body: PASSWORD_BODY } },
    async (request) => {
      const { user, jid } = request.params;
      return accounts.changePassword(userInPath(user), jid, request.body.password);
    },
  );

  app.delete<OfAccount>('/accounts/:user/:jid', async (request, reply) => {
    const { user, jid } = request.params;
    const wasThere = await accounts.remove(userInPath(user), jid);
    return wasThere ? { done: true } : reply.code(404).send({ error: 'account-unknown' });
  });
  done();
};
