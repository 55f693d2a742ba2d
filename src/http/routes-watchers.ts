import type { FastifyPluginCallback } from 'fastify';
import { GatewayError } from '../core/errors.ts';
import { parseRuleSubject } from '../core/presence/presence-rules.ts';
import {
  type Rule,
  RULE_ACTIONS,
  type RuleAction,
  type RuleSubject,
  type WatcherAdministration,
} from '../core/presence/rules.ts';
import { userInPath } from './user-in-path.ts';

/** The only things these routes may touch. */
export type WatchersDeps = { readonly watchers: WatcherAdministration };

type OfOwner = { Params: { owner: string } };
type OfRule = { Params: { owner: string; subject: string } };
type RuleBody = { readonly action: RuleAction; readonly showsLocation?: boolean };

const RULE_BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['action'],
  properties: {
    action: { enum: RULE_ACTIONS },
    showsLocation: { type: 'boolean' },
  },
} as const;

const INVISIBLE_BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['isInvisible'],
  properties: { isInvisible: { type: 'boolean' } },
} as const;

/**
 * Who watches a user, and what becomes of him who does. `owner` is an address, `alice@sip.example`; `subject` as
 * `RuleSubject` has it. Both in any spelling, escaped once for the URL.
 */
export const watcherRoutes: FastifyPluginCallback<WatchersDeps> = (app, { watchers }, done) => {
  app.get<OfOwner>('/watchers/:owner', async (request, reply) =>
    reply.send(await watchers.list(userInPath(request.params.owner))),
  );

  // Of a user there is no more.
  app.delete<OfOwner>('/watchers/:owner', async (request) => {
    await watchers.forget(userInPath(request.params.owner));
    return { done: true };
  });

  app.put<OfOwner & { Body: { isInvisible: boolean } }>(
    '/watchers/:owner/invisible',
    { schema: { body: INVISIBLE_BODY } },
    async (request) => {
      await watchers.setInvisible(userInPath(request.params.owner), request.body.isInvisible);
      return { done: true };
    },
  );

  app.put<OfRule & { Body: RuleBody }>(
    '/watchers/:owner/rules/:subject',
    { schema: { body: RULE_BODY } },
    async (request) => {
      const { owner, subject } = request.params;
      await watchers.set(userInPath(owner), subjectFrom(subject), ruleFrom(request.body));
      return { done: true };
    },
  );

  app.delete<OfRule>('/watchers/:owner/rules/:subject', async (request, reply) => {
    const { owner, subject } = request.params;
    const wasThere = await watchers.remove(userInPath(owner), subjectFrom(subject));
    return wasThere ? { done: true } : reply.code(404).send({ error: 'rule-unknown' });
  });
  done();
};

function subjectFrom(text: string): RuleSubject {
  const subject = parseRuleSubject(text);
  if (subject === undefined) throw new GatewayError('request-malformed', 'subject is no watcher');
  return subject;
}

function ruleFrom({ action, showsLocation }: RuleBody): Rule {
  return showsLocation === true ? { action, showsLocation } : { action };
}
