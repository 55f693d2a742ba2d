import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../src/cpim/address.ts';
import type { GatewayError } from '../../../src/core/errors.ts';
import type { Credential } from '../../../src/core/ports.ts';
import { credentialOf, digestResponse, ha1Of, type DigestAlgorithm } from '../../../src/sip/digest.ts';
import { DigestCheck, type DigestOutcome } from '../../../src/sip/digest-check.ts';
import { parseAuthParams } from '../../../src/sip/header-values.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { LogRecorder } from '../../support/log-recorder.ts';
import { aRequest, type RequestParts } from '../../support/sip-request.ts';

const REALM = 'sip.example';
const URI = 'sip:sip.example';

function aCheck(clock = new FakeClock()): { readonly check: DigestCheck; readonly clock: FakeClock } {
  const users = new Map<string, Credential>();
  for (const [user, password] of [
    ['alice', 'secret'],
    ['tschüß', 'geheim'],
  ]) {
    const credential = credentialOf(parseAddress(`${user}@${REALM}`)!, password!);
    users.set(credential.user, credential);
  }
  return { check: new DigestCheck({ find: (user) => users.get(user), clock, log: new LogRecorder() }), clock };
}

function nonceOf(outcome: DigestOutcome): string {
  assert.equal(outcome.kind, 'challenge');
  const nonce = parseAuthParams(outcome.headers[0]![1])?.params.get('nonce');
  assert.ok(nonce);
  return nonce;
}

function isStale(outcome: DigestOutcome): boolean {
  return outcome.kind === 'challenge' && outcome.headers.every(([, value]) => value.endsWith(', stale=true'));
}

type Answer = {
  readonly nonce: string;
  readonly username?: string;
  readonly password?: string;
  readonly realm?: string;
  readonly uri?: string;
  readonly method?: string;
  readonly algorithm?: DigestAlgorithm;
  readonly algorithmText?: string;
  readonly isSession?: boolean;
  readonly qop?: 'auth' | 'auth-int' | 'none';
  readonly nc?: string;
  readonly body?: string;
};

function authorization(answer: Answer): string {
  const { nonce, username = 'alice', password = 'secret', realm = REALM, uri = URI, algorithm = 'SHA-256' } = answer;
  const { method = 'REGISTER', isSession = false, qop = 'auth', nc = '00000001', body = '' } = answer;
  const shared = { algorithm, isSession, method, uri, nonce, ha1: ha1Of(algorithm, username, realm, password) };
  const response = digestResponse(
    qop === 'none' ? shared : { ...shared, qop, nc, cnonce: 'c1', body: Buffer.from(body) },
  );
  const name = answer.algorithmText ?? `${algorithm}${isSession ? '-sess' : ''}`;
  const counted = qop === 'none' ? '' : `, qop=${qop}, nc=${nc}, cnonce="c1"`;
  return `Digest username="${username}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}"${name === '' ? '' : `, algorithm=${name}`}${counted}`;
}

function aRegister(value: string | undefined, parts: RequestParts = {}): ReturnType<typeof aRequest> {
  return aRequest({
    method: 'REGISTER',
    uri: URI,
    ...parts,
    headers: [...(value === undefined ? [] : [['Authorization', value] as const]), ...(parts.headers ?? [])],
  });
}

test('challenge: SHA-256 first, then MD5, one nonce, qop=auth, the domain as realm', () => {
  const outcome = aCheck().check.check(aRegister(undefined), REALM);
  assert.equal(outcome.kind, 'challenge');
  const challenges = outcome.headers.map(([name, value]) => {
    assert.equal(name, 'WWW-Authenticate');
    return parseAuthParams(value)!.params;
  });
  assert.deepEqual(
    challenges.map((params) => params.get('algorithm')),
    ['SHA-256', 'MD5'],
  );
  for (const params of challenges) {
    assert.equal(params.get('realm'), REALM);
    assert.equal(params.get('qop'), 'auth');
    assert.equal(params.get('nonce'), challenges[0]!.get('nonce'));
    assert.equal(params.get('stale'), undefined);
  }
});

const PROVED: ReadonlyArray<
  readonly [name: string, answer: Omit<Answer, 'nonce'>, parts?: RequestParts, user?: string]
> = [
  ['SHA-256', {}],
  ['MD5', { algorithm: 'MD5' }],
  ['no algorithm, which is MD5', { algorithm: 'MD5', algorithmText: '' }],
  ['algorithm in small letters', { algorithmText: 'sha-256' }],
  ['SHA-256-sess', { isSession: true }],
  ['MD5-sess', { algorithm: 'MD5', isSession: true }],
  ['auth-int', { qop: 'auth-int', body: 'hello' }, { body: 'hello' }],
  ['without qop, as libpurple does', { algorithm: 'MD5', qop: 'none' }],
  ['a URI with another set of parameters', { uri: 'sip:sip.example;transport=tcp' }],
  ['a URI with a port', { uri: 'sip:sip.example:5060' }],
  ['a user beyond ASCII', { username: 'tschüß', password: 'geheim' }, {}, 'tsch%C3%BC%C3%9F@sip.example'],
];
for (const [name, answer, parts, user] of PROVED) {
  test(`digest proves: ${name}`, () => {
    const { check } = aCheck();
    const nonce = nonceOf(check.check(aRegister(undefined), REALM));
    const outcome = check.check(aRegister(authorization({ nonce, ...answer }), parts), REALM);
    assert.deepEqual(outcome, { kind: 'proved', userKey: user ?? 'alice@sip.example' });
  });
}

const NOT_PROVED: ReadonlyArray<readonly [name: string, answer: Omit<Answer, 'nonce'>, parts?: RequestParts]> = [
  ['a wrong password', { password: 'Secret' }],
  ['an unknown user', { username: 'mallory' }],
  ['a user with NUL', { username: 'alice\\\0' }],
  ['the response to another method', { method: 'MESSAGE' }],
  ['another realm', { realm: 'other.example' }],
  ['an algorithm that is not served', { algorithmText: 'SHA-512-256' }],
  ['the other algorithm named', { algorithmText: 'MD5' }],
  ['a body that was changed', { qop: 'auth-int', body: 'hello' }, { body: 'hellO' }],
];
for (const [name, answer, parts] of NOT_PROVED) {
  test(`digest challenges again, not stale: ${name}`, () => {
    const { check } = aCheck();
    const nonce = nonceOf(check.check(aRegister(undefined), REALM));
    const outcome = check.check(aRegister(authorization({ nonce, ...answer }), parts), REALM);
    assert.notEqual(nonceOf(outcome), nonce);
    assert.ok(!isStale(outcome));
  });
}

test('digest: an unknown user and a wrong password get the same answer', () => {
  const { check } = aCheck();
  const nonce = nonceOf(check.check(aRegister(undefined), REALM));
  const [unknown, wrong] = [{ username: 'mallory' }, { password: 'x' }].map((answer) => {
    const outcome = check.check(aRegister(authorization({ nonce, ...answer })), REALM);
    return outcome.kind === 'challenge' ? outcome.headers.map(([, v]) => v.replace(/nonce="[^"]*"/, '')) : undefined;
  });
  assert.ok(unknown);
  assert.deepEqual(unknown, wrong);
});

test('digest: a count comes once; used again it is stale', () => {
  const { check } = aCheck();
  const nonce = nonceOf(check.check(aRegister(undefined), REALM));
  const first = authorization({ nonce });
  assert.equal(check.check(aRegister(first), REALM).kind, 'proved');
  assert.ok(isStale(check.check(aRegister(first), REALM)));
  assert.equal(check.check(aRegister(authorization({ nonce, nc: '00000002' })), REALM).kind, 'proved');
});

test('digest: after its lifetime a nonce is stale', () => {
  const { check, clock } = aCheck();
  const nonce = nonceOf(check.check(aRegister(undefined), REALM));
  clock.advance(300_000);
  assert.ok(isStale(check.check(aRegister(authorization({ nonce })), REALM)));
});

test('digest: a nonce of an earlier process is stale with the right password only', () => {
  const nonce = nonceOf(aCheck().check.check(aRegister(undefined), REALM));
  const { check } = aCheck();
  assert.ok(isStale(check.check(aRegister(authorization({ nonce })), REALM)));
  assert.ok(!isStale(check.check(aRegister(authorization({ nonce, password: 'wrong' })), REALM)));
});

const REFUSED: ReadonlyArray<readonly [name: string, change: (value: string) => string]> = [
  ['no parameters', () => 'Digest'],
  ['an open quote', (value) => `${value}, opaque="x`],
  ['a parameter twice', (value) => `${value}, realm="sip.example"`],
  ['no response', (value) => value.replace(/response="[^"]*", /, '')],
  ['no username', (value) => value.replace(/username="[^"]*", /, '')],
  ['a qop that was not offered', (value) => value.replace('qop=auth', 'qop=other')],
  ['qop without nc', (value) => value.replace('nc=00000001, ', '')],
  ['an nc that is no number', (value) => value.replace('nc=00000001', 'nc=0000000g')],
  ['an overlong nc', (value) => value.replace('nc=00000001', 'nc=000000001')],
  ['another URI', (value) => value.replace('uri="sip:sip.example"', 'uri="sip:bob@sip.example"')],
  ['another host', (value) => value.replace('uri="sip:sip.example"', 'uri="sip:other.example"')],
  ['another port', (value) => value.replace('uri="sip:sip.example"', 'uri="/dir/index.html"')],
];
for (const [name, change] of REFUSED) {
  test(`digest refuses with 400: ${name}`, () => {
    const { check } = aCheck();
    const nonce = nonceOf(check.check(aRegister(undefined), REALM));
    const value = change(authorization({ nonce }));
    assert.notEqual(value, authorization({ nonce }));
    assert.throws(() => check.check(aRegister(value), REALM), { code: 'request-malformed' });
  });
}

test('digest: credentials for other realms and schemes are passed over', () => {
  const { check } = aCheck();
  const nonce = nonceOf(check.check(aRegister(undefined), REALM));
  const request = aRegister(authorization({ nonce, realm: 'other.example' }), {
    headers: [
      ['Authorization', 'Basic token=abc'],
      ['Authorization', authorization({ nonce })],
    ],
  });
  assert.equal(check.check(request, REALM).kind, 'proved');
});

test('digest: the eleventh wrong password waits, even if it were right', () => {
  const { check, clock } = aCheck();
  const nonce = nonceOf(check.check(aRegister(undefined), REALM));
  for (let i = 0; i < 10; i++) check.check(aRegister(authorization({ nonce, password: `guess ${i}` })), REALM);
  assert.throws(
    () => check.check(aRegister(authorization({ nonce })), REALM),
    (thrown: GatewayError) => thrown.code === 'rate-exceeded' && thrown.details.retryAfterSeconds === 60,
  );
  assert.equal(check.check(aRegister(undefined), REALM).kind, 'challenge');
  clock.advance(60_000);
  assert.equal(check.check(aRegister(authorization({ nonce })), REALM).kind, 'proved');
});

test('digest: who takes another address of IPv6 for each guess guesses no more often', () => {
  const { check } = aCheck();
  const nonce = nonceOf(check.check(aRegister(undefined), REALM));
  const from = (remoteAddress: string, password: string): DigestOutcome => {
    const request = aRegister(authorization({ nonce, password }));
    return check.check({ ...request, flow: { ...request.flow, remoteAddress } }, REALM);
  };
  for (let i = 0; i < 10; i++) from(`2001:db8:0:1:${i}::1`, `guess ${i}`);
  assert.throws(
    () => from('2001:db8:0:1:a::1', 'secret'),
    (thrown: GatewayError) => thrown.code === 'rate-exceeded',
  );
  assert.equal(from('2001:db8:0:2::1', 'secret').kind, 'proved');
});

for (const [agent, algorithms] of [
  ['baresip v1.0.0 (x86_64/linux)', ['MD5']],
  ['baresip v2.9.0 (x86_64/Linux)', ['MD5']],
  ['baresip v2.10.0 (x86_64/Linux)', ['SHA-256', 'MD5']],
  ['baresip v3.1.0 (x86_64/Linux)', ['SHA-256', 'MD5']],
  ['LinphoneDaemon/5.1.65', ['SHA-256', 'MD5']],
] as const) {
  test(`challenge: ${algorithms.join(' and ')} for ${agent}`, () => {
    const outcome = aCheck().check.check(aRegister(undefined, { headers: [['User-Agent', agent]] }), REALM);
    assert.equal(outcome.kind, 'challenge');
    assert.deepEqual(
      outcome.headers.map(([, value]) => parseAuthParams(value)?.params.get('algorithm')),
      algorithms,
    );
  });
}
