import type { FastifyPluginCallback } from 'fastify';
import type { ProfileAdministration } from '../core/directory/directory.ts';
import { type Profile, type ProfileChange, TEXT_FIELDS } from '../core/directory/profile.ts';
import { userInPath } from './user-in-path.ts';

/** The only thing these routes may touch. */
export type ProfilesDeps = { readonly profiles: ProfileAdministration };

type OfUser = { Params: { user: string } };

/** The largest picture that can be configured, as base64, with what stands around it. */
const BODY_BYTES_MAX = 160 * 1024;

const text = { type: ['string', 'null'], maxLength: 1_000 };
const CHANGE_BODY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...Object.fromEntries(TEXT_FIELDS.map((field) => [field, text])),
    avatar: { type: ['string', 'null'], maxLength: BODY_BYTES_MAX },
  },
} as const;

/** A profile as it is shown: the picture is named and not repeated. */
export type ShownProfile = Omit<Profile, 'avatar'> & {
  readonly avatar?: { type: string; bytes: number; sha1: string };
};

/** What users are called and look like. `user` is an address, `alice@sip.example`, escaped once for the URL. */
export const profileRoutes: FastifyPluginCallback<ProfilesDeps> = (app, { profiles }, done) => {
  app.get<OfUser>('/profiles/:user', async (request, reply) =>
    reply.send(shown(await profiles.read(userInPath(request.params.user)))),
  );
  app.patch<OfUser & { Body: ProfileChange }>(
    '/profiles/:user',
    { schema: { body: CHANGE_BODY }, bodyLimit: BODY_BYTES_MAX },
    async (request, reply) => reply.send(shown(await profiles.change(userInPath(request.params.user), request.body))),
  );
  app.delete<OfUser>('/profiles/:user', async (request) => {
    await profiles.forget(userInPath(request.params.user));
    return { done: true };
  });
  done();
};

function shown({ avatar, ...rest }: Profile): ShownProfile {
  if (avatar === undefined) return rest;
  const { type, bytes, sha1 } = avatar;
  return { ...rest, avatar: { type, bytes, sha1 } };
}
