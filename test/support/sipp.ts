import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilBound, untilListening, type TestProcess } from './process.ts';
import { until } from './until.ts';

/** Where SIPp sends to, and how. */
export type SippTarget = { readonly port: number; readonly transport: 'udp' | 'tcp'; readonly folder: string };

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

/** Sends one MESSAGE with digest authentication; fails unless the final status is the expected one. */
export async function sippMessage(target: SippTarget, from: SippUser, request: SippRequest): Promise<void> {
  const ask = (credentials: string, cseq: number): string =>
    sent(
      [
        `MESSAGE ${request.to} SIP/2.0`,
        'Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport',
        'Max-Forwards: 70',
        `From: <sip:${from.user}@${from.domain}>;tag=[pid]t[call_number]`,
        `To: <${request.to}>`,
        'Call-ID: [call_id]',
        `CSeq: ${cseq} MESSAGE`,
        ...(request.headers ?? []),
        ...(credentials === '' ? [] : [credentials]),
        `Content-Type: ${request.contentType ?? 'text/plain;charset=utf-8'}`,
        'Content-Length: [len]',
      ],
      request.body,
      'retrans="500"',
    );
  const credentials = `[authentication username=${from.user} password=${from.password}]`;
  await call(target, from, [
    ask('', 1),
    '<recv response="401" auth="true"/>',
    ask(credentials, 2),
    '<recv response="100" optional="true"/>',
    `<recv response="${request.expect}"/>`,
  ]);
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
  const ask = (credentials: readonly string[], cseq: number): string =>
    sent(
      [
        `REGISTER sip:${user.domain} SIP/2.0`,
        'Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport',
        'Max-Forwards: 70',
        `From: <sip:${user.user}@${user.domain}>;tag=[pid]r[call_number]`,
        `To: <sip:${user.user}@${user.domain}>`,
        'Call-ID: [call_id]',
        `CSeq: ${cseq} REGISTER`,
        `Contact: <sip:${user.user}@127.0.0.1:${port};transport=${target.transport}>`,
        `Expires: ${expires}`,
        ...credentials,
        'Content-Length: 0',
      ],
      '',
      'retrans="500"',
    );
  await call(target, user, [
    ask([], 1),
    '<recv response="401" auth="true"/>',
    ask([`[authentication username=${user.user} password=${user.password}]`], 2),
    '<recv response="200"/>',
  ]);
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
