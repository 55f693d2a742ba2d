import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilBound, untilListening, type TestProcess } from './process.ts';
import { digestAnswer, headerOf } from './sip-wire.ts';
import { until } from './until.ts';

/** Where SIPp sends to, and how. */
export type SippTarget = {
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  readonly folder: string;
  /** Where challenges are fetched; default `port`. */
  readonly udpPort?: number;
};

export type SippUser = { readonly user: string; readonly domain: string; readonly password: string };

export type SippRequest = {
  /** Request-URI and To. */
  readonly to: string;
  readonly body: string;
  readonly contentType?: string;
  /** More header lines, each `Name: value`. */
  readonly headers?: readonly string[];
  /** The final status it is to get. */
  readonly expect: number;
};

let runs = 0;

/** Numbers of SIPp's variables for whole matches start above this. */
const WHOLE = 50;

/**
 * Sends one MESSAGE with digest authentication; fails unless the final status is the expected one.
 *
 * SIPp 3.6 knows MD5 alone and reads but the first of several challenges, so the credentials are worked out here, from
 * a challenge fetched before, and stand in the scenario as they are.
 */
export async function sippMessage(target: SippTarget, from: SippUser, request: SippRequest): Promise<void> {
  const credentials = await credentialsFor(target, from, 'MESSAGE', request.to);
  const message = sent(
    [
      `MESSAGE ${request.to} SIP/2.0`,
      'Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport',
      'Max-Forwards: 70',
      `From: <sip:${from.user}@${from.domain}>;tag=[pid]t[call_number]`,
      `To: <${request.to}>`,
      'Call-ID: [call_id]',
      'CSeq: 1 MESSAGE',
      ...(request.headers ?? []),
      ...credentials,
      `Content-Type: ${request.contentType ?? 'text/plain;charset=utf-8'}`,
      'Content-Length: [len]',
    ],
    request.body,
    'retrans="500"',
  );
  await call(target, from, [message, '<recv response="100" optional="true"/>', `<recv response="${request.expect}"/>`]);
}

/** A request as a step of a call, with the Authorization that its server asks for. */
export type SippStep = {
  readonly method: string;
  readonly uri: string;
  /** Default the Request-URI. */
  readonly to?: string;
  /** Each `Name: value`; SIPp's keywords are filled in. */
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly cseq?: number;
  /** Sent without it. */
  readonly isUnproved?: true;
};

/** A step that sends a request. */
export async function sippRequest(target: SippTarget, from: SippUser, step: SippStep): Promise<string> {
  const { method, uri, to = `<${uri}>`, headers = [], body = '', cseq = 1, isUnproved } = step;
  const credentials = isUnproved === true ? [] : await credentialsFor(target, from, method, uri);
  return sent(
    [
      `${method} ${uri} SIP/2.0`,
      'Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport',
      'Max-Forwards: 70',
      `From: <sip:${from.user}@${from.domain}>;tag=[pid]t[call_number]`,
      `To: ${to}`,
      'Call-ID: [call_id]',
      `CSeq: ${cseq} ${method}`,
      ...headers,
      ...credentials,
      'Content-Length: [len]',
    ],
    body,
    'retrans="500"',
  );
}

/** A step that waits for the answer; with it must come what these patterns match. */
export function sippAnswer(status: number, ...holds: readonly RegExp[]): string {
  return `<recv response="${status}">${actions(holds)}</recv>`;
}

/** Steps that take a request and answer it so; undefined: not at all. */
export function sippTakes(
  method: string,
  answer: string | undefined,
  holds: readonly RegExp[] = [],
  headers: readonly string[] = [],
): readonly string[] {
  const taken = `<recv request="${method}">${actions(holds)}</recv>`;
  if (answer === undefined) return [taken];
  const fields = ['[last_Via:]', '[last_From:]', '[last_To:]', '[last_Call-ID:]', '[last_CSeq:]', ...headers];
  return [taken, sent([`SIP/2.0 ${answer}`, ...fields, 'Content-Length: 0'], '')];
}

/** What the group of a pattern, or all of it, has matched is the variable of its place, from 1 on: `[$1]`. */
function actions(holds: readonly RegExp[]): string {
  if (holds.length === 0) return '';
  const checks: string[] = [];
  // A variable that is nowhere read SIPp takes for a mistake.
  const read: string[] = [];
  for (const [at, { source }] of holds.entries()) {
    const pattern = source.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
    // SIPp puts the whole match before that of the group.
    const variables = source.includes('(') ? [at + 1 + WHOLE, at + 1] : [at + 1];
    checks.push(`<ereg regexp="${pattern}" search_in="msg" check_it="true" assign_to="${variables.join()}"/>`);
    for (const variable of variables) read.push(`<log message="[$${variable}]"/>`);
  }
  return `<action>${checks.join('')}${read.join('')}</action>`;
}

/** Runs one call; throws with SIPp's own error when it does not go as written. */
export function sippCall(target: SippTarget, user: SippUser, steps: readonly string[]): Promise<void> {
  return call(target, user, steps);
}

/** A SIPp that is registered and answers every MESSAGE with 200. */
export interface SippPhone {
  readonly process: TestProcess;
  /** Bodies received so far, in order, repeated requests included. */
  bodies(): readonly string[];
  /** The whole requests received so far. */
  requests(): readonly string[];
  untilBody(suits: (body: string) => boolean, withinMs?: number): Promise<string>;
  stop(): Promise<void>;
}

/** Registers a contact with digest authentication, then answers there. */
export async function startSippPhone(target: SippTarget, user: SippUser): Promise<SippPhone> {
  const port = await freePort();
  const folder = join(target.folder, `sipp-phone-${user.user}`);
  mkdirSync(folder, { recursive: true });
  const answer = sent(
    [
      'SIP/2.0 200 OK',
      '[last_Via:]',
      '[last_From:]',
      '[last_To:];tag=[call_number]',
      '[last_Call-ID:]',
      '[last_CSeq:]',
      'Content-Length: 0',
    ],
    '',
  );
  writeFileSync(join(folder, 'answer.xml'), scenario('answer', ['<recv request="MESSAGE"/>', answer]));
  const process = await startProcess({
    name: 'sipp',
    command: commandPath('sipp')!,
    args: [
      ...['-sf', join(folder, 'answer.xml'), '-t', target.transport === 'tcp' ? 't1' : 'u1'],
      ...['-i', '127.0.0.1', '-p', String(port), '-nostdin', '-trace_msg', '-message_file', join(folder, 'trace.log')],
    ],
    folder,
  });
  if (target.transport === 'tcp') await untilListening(port, process);
  else await untilBound(port, process);
  await register(target, user, port, 600);
  const requests = (): readonly string[] => receivedRequests(folder);
  const bodies = (): readonly string[] => requests().map((text) => text.slice(text.indexOf('\n\n') + 2));
  return {
    process,
    requests,
    bodies,
    untilBody: (suits, withinMs = 10_000) =>
      until(() => bodies().find(suits), {
        what: 'SIPp receives the message',
        withinMs,
        detail: () => `received: ${bodies().join('\n---\n').slice(-3_000)}`,
      }),
    async stop() {
      await register(target, user, port, 0);
      await process.stop(1_000);
    },
  };
}

/** REGISTER with digest authentication for a contact on this loopback port. */
async function register(target: SippTarget, user: SippUser, port: number, expires: number): Promise<void> {
  const credentials = await credentialsFor(target, user, 'REGISTER', `sip:${user.domain}`);
  const request = sent(
    [
      `REGISTER sip:${user.domain} SIP/2.0`,
      'Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport',
      'Max-Forwards: 70',
      `From: <sip:${user.user}@${user.domain}>;tag=[pid]r[call_number]`,
      `To: <sip:${user.user}@${user.domain}>`,
      'Call-ID: [call_id]',
      'CSeq: 1 REGISTER',
      `Contact: <sip:${user.user}@127.0.0.1:${port};transport=${target.transport}>`,
      `Expires: ${expires}`,
      ...credentials,
      'Content-Length: 0',
    ],
    '',
    'retrans="500"',
  );
  await call(target, user, [request, '<recv response="200"/>']);
}

/** The Authorization line for one request, from a challenge fetched over UDP; none where nobody challenges. */
async function credentialsFor(
  target: SippTarget,
  user: SippUser,
  method: string,
  uri: string,
): Promise<readonly string[]> {
  const challenge = await challengeFrom(target.udpPort ?? target.port, user, method, uri);
  return challenge === undefined ? [] : [`Authorization: ${digestAnswer(challenge, { ...user, method, uri })}`];
}

function challengeFrom(port: number, user: SippUser, method: string, uri: string): Promise<string | undefined> {
  const token = randomBytes(9).toString('hex');
  const address = `sip:${user.user}@${user.domain}`;
  const ask = (localPort: number): string =>
    [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP 127.0.0.1:${localPort};branch=z9hG4bK${token};rport`,
      'Max-Forwards: 70',
      `From: <${address}>;tag=${token}`,
      `To: <${method === 'REGISTER' ? address : uri}>`,
      `Call-ID: ${token}`,
      `CSeq: 1 ${method}`,
      ...(method === 'REGISTER' ? [] : ['Content-Type: text/plain']),
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n');
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    const timer = setTimeout(() => {
      socket.close();
      reject(new Error(`${method} without credentials has no answer`));
    }, 5_000);
    socket.on('message', (bytes) => {
      clearTimeout(timer);
      socket.close();
      resolve(headerOf(bytes.toString('latin1'), 'WWW-Authenticate'));
    });
    socket.bind(0, '127.0.0.1', () => socket.send(ask(socket.address().port), port, '127.0.0.1'));
  });
}

/** Runs one call of a scenario; throws with SIPp's own error when it does not go as written. */
async function call(target: SippTarget, user: SippUser, steps: readonly string[]): Promise<void> {
  const folder = join(target.folder, `sipp-${user.user}-${++runs}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'call.xml'), scenario('call', steps));
  const process = await startProcess({
    name: 'sipp',
    command: commandPath('sipp')!,
    args: [
      `127.0.0.1:${target.port}`,
      ...['-sf', join(folder, 'call.xml'), '-t', target.transport === 'tcp' ? 't1' : 'u1'],
      ...['-i', '127.0.0.1', '-p', String(await freePort()), '-m', '1', '-nostdin'],
      ...[
        '-timeout',
        '40',
        '-timeout_error',
        '-recv_timeout',
        '38000',
        '-trace_err',
        '-error_file',
        join(folder, 'errors.log'),
      ],
    ],
    folder,
  });
  const { code } = await process.exit();
  if (code === 0) return;
  const errors = readdirSync(folder).includes('errors.log') ? readFileSync(join(folder, 'errors.log'), 'utf8') : '';
  throw new Error(`sipp ended with ${code}\n${errors.slice(0, 2_000)}`);
}

function scenario(name: string, steps: readonly string[]): string {
  return `<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name="${name}">\n${steps.join('\n')}\n</scenario>\n`;
}

/** A send step; SIPp turns the line ends of the text into CRLF. */
function sent(head: readonly string[], body: string, attributes = ''): string {
  if (body.includes('[') || body.includes(']]>')) throw new Error('SIPp would read a keyword out of this body');
  return `<send ${attributes}><![CDATA[\n${head.join('\n')}\n\n${body}]]></send>`;
}

/** SIPp traces `... message received [n] bytes :`, an empty line, the message, and a line of dashes. */
function receivedRequests(folder: string): readonly string[] {
  let trace: string;
  try {
    trace = readFileSync(join(folder, 'trace.log'), 'utf8');
  } catch {
    return []; // nothing yet
  }
  return [
    ...trace.matchAll(/message received \[\d+\] bytes ?:\r?\n\r?\n(MESSAGE [\s\S]*?)(?=\n-{20,}|$(?![\s\S]))/g),
  ].map(([, text = '']) => text.replaceAll('\r\n', '\n'));
}
