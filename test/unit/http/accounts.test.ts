import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastify, type FastifyInstance } from 'fastify';
import type { AccountAdministration, AccountLine } from '../../../src/core/accounts.ts';
import { accountRoutes } from '../../../src/http/routes-accounts.ts';

const LINE: AccountLine = {
  user: 'alice@sip.example',
  link: 'public',
  jid: 'liddell@chat.example',
  addedAtMs: 1,
  state: { at: 'up', sinceMs: 2 },
};

function door(): { readonly app: FastifyInstance; readonly calls: string[] } {
  const calls: string[] = [];
  const accounts: AccountAdministration = {
    list: () => [LINE],
    of: (user) => [{ ...LINE, user, roster: [] }],
    add: (user, jid, password, link) => {
      calls.push(`add ${user} ${jid} ${password} ${link ?? '-'}`);
      return Promise.resolve(LINE);
    },
    changePassword: (user, jid, password) => {
      calls.push(`password ${user} ${jid} ${password}`);
      return Promise.resolve(LINE);
    },
    remove: (user, jid) => {
      calls.push(`remove ${user} ${jid}`);
      return Promise.resolve(jid === LINE.jid);
    },
  };
  const app = fastify({ ajv: { customOptions: { removeAdditional: false } } });
  void app.register(accountRoutes, { accounts });
  return { app, calls };
}

const ROWS: ReadonlyArray<{
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly payload?: object;
  readonly status: number;
  readonly call?: string;
}> = [
  { name: 'lists all', method: 'GET', url: '/accounts', status: 200 },
  { name: 'shows those of a user', method: 'GET', url: '/accounts/alice%40sip.example', status: 200 },
  {
    name: 'links one',
    method: 'POST',
    url: '/accounts/alice%40sip.example/liddell%40chat.example',
    payload: { password: 'x y', link: 'public' },
    status: 201,
    call: 'add alice@sip.example liddell@chat.example x y public',
  },
  {
    name: 'wants a password',
    method: 'POST',
    url: '/accounts/a%40sip.example/b%40chat.example',
    payload: {},
    status: 400,
  },
  {
    name: 'knows no other keys',
    method: 'POST',
    url: '/accounts/a%40sip.example/b%40chat.example',
    payload: { password: 'x', resource: 'y' },
    status: 400,
  },
  {
    name: 'changes a password',
    method: 'PUT',
    url: '/accounts/alice%40sip.example/liddell%40chat.example/password',
    payload: { password: 'z' },
    status: 200,
    call: 'password alice@sip.example liddell@chat.example z',
  },
  {
    name: 'removes one',
    method: 'DELETE',
    url: '/accounts/alice%40sip.example/liddell%40chat.example',
    status: 200,
    call: 'remove alice@sip.example liddell@chat.example',
  },
  { name: 'says that there is none', method: 'DELETE', url: '/accounts/a%40sip.example/b%40chat.example', status: 404 },
];
for (const { name, method, url, payload, status, call } of ROWS) {
  test(`http accounts: ${name}`, async () => {
    const { app, calls } = door();
    const answer = await app.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
    assert.equal(answer.statusCode, status, answer.body);
    if (call !== undefined) assert.deepEqual(calls, [call]);
    assert.ok(!answer.body.includes('"password"') || status === 400);
    await app.close();
  });
}
