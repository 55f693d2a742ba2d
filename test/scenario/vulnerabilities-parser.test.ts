import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { digestResponse, ha1Of } from '../../src/sip/digest.ts';
import { parseAuthParams } from '../../src/sip/header-values.ts';
import { rawRequest, rawResponse, type RequestParts, type UdpPeer } from '../support/raw-sip.ts';
import { messageWith, PASSWORD, PLACES, RunningApp, SteerableClock } from '../support/running-app.ts';

/**
 * What broke the parsers and transports of programs like this one, sent to a running server over real sockets. The
 * numbers are those of the classes in the project's list of past vulnerabilities.
 */
const clock = new SteerableClock();
let world: RunningApp;
let stranger: UdpPeer;
let core: UdpPeer;

before(async () => {
  world = await RunningApp.start({ rateLimits: 'off', clock });
  stranger = await world.udp(PLACES.stranger);
  core = await world.udp(PLACES.core);
});

after(async () => {
  await world.stop();
  assert.deepEqual(world.errors, [], 'no input makes the server fail');
});

const ZOE: RequestParts = { from: '<sip:zoe@core.example>;tag=z', uri: 'sip:bob@sip.example' };
const to = (uri: string): RequestParts => ({ ...ZOE, uri, to: `<${uri}>` });

/** What a stranger and a trusted core are told for the same bytes; 0 is silence. */
async function statusesOf(bytes: Buffer | string): Promise<readonly [stranger: number, core: number]> {
  const asStranger = await world.askOrSilence(stranger, bytes);
  const asCore = await world.askOrSilence(core, bytes);
  return [asStranger?.status ?? 0, asCore?.status ?? 0];
}

/** A message with one line replaced or added; none of its ids is used again. */
function smuggled(edit: (text: string) => string, parts: RequestParts = ZOE): Buffer {
  return Buffer.from(edit(rawRequest(parts).toString('latin1')), 'latin1');
}

const MALFORMED: ReadonlyArray<readonly [name: string, edit: (text: string) => string, status: number]> = [
  ['1: an overlong branch', (text) => text.replace('branch=', `branch=z9hG4bK${'b'.repeat(40_000)}`), 0],
  ['1: a branch that is the cookie alone', (text) => text.replace(/branch=\w+/, 'branch=z9hG4bK'), 400],
  ['1: an empty From tag', (text) => text.replace('tag=z', 'tag='), 400],
  ['1: a second, empty tag in To', (text) => text.replace(/\r\nTo: .*/, '\r\nTo: <sip:bob@sip.example>;tag=;tag='), 400],
  ['1: To twice, once with an empty tag', (text) => text.replace('\r\nTo:', '\r\nTo: <sip:x@y>;tag=\r\nTo:'), 400],
  ['1: From twice with an overlong tag', (text) => text.replace('\r\nTo:', `\r\nf: <sip:x@y>;tag=${'t'.repeat(9_000)}\r\nTo:`), 400],
  ['1: Call-ID twice', (text) => text.replace('\r\nTo:', '\r\ni: other\r\nTo:'), 400],
  ['1: CSeq twice', (text) => text.replace('\r\nTo:', '\r\nCSeq: 2 MESSAGE\r\nTo:'), 400],
  ['2: From in its compact form after the long one', (text) => text.replace('\r\nTo:', '\r\nf: <sip:carol@core.example>;tag=q\r\nTo:'), 400],
  ['2: blanks before the colon hide no second From', (text) => text.replace('\r\nTo:', '\r\nFrom \t: <sip:carol@core.example>;tag=q\r\nTo:'), 400],
  ['2: a control character before the colon', (text) => text.replace('\r\nTo:', '\r\nFrom\x0b: <sip:carol@core.example>;tag=q\r\nTo:'), 400],
  ['2: a NUL in a header name', (text) => text.replace('\r\nTo:', '\r\nTo\0: <sip:carol@core.example>\r\nTo:'), 400],
  ['2: a blank before a header name', (text) => text.replace('\r\nVia:', '\r\n Via:'), 0],
  ['13: a bare LF between header lines', (text) => text.replace('\r\nTo:', '\nP-Asserted-Identity: <sip:carol@core.example>\r\nTo:'), 400],
  ['13: a bare CR between header lines', (text) => text.replace('\r\nTo:', '\rP-Asserted-Identity: <sip:carol@core.example>\r\nTo:'), 400],
  ['13: a NUL in a header value', (text) => text.replace('tag=z', 'tag=z\0'), 400],
  ['13: Content-Length in both forms, differing', (text) => text.replace('\r\nTo:', '\r\nl: 1\r\nTo:'), 400],
  ['13: a negative Content-Length', (text) => text.replace('Content-Length: 5', 'Content-Length: -1'), 400],
  ['13: a Content-Length that is no number', (text) => text.replace('Content-Length: 5', 'Content-Length: 5, 5'), 400],
  ['13: a Content-Length above the datagram', (text) => text.replace('Content-Length: 5', 'Content-Length: 999'), 400],
  ['14: bytes that are no UTF-8 in From', (text) => text.replace('<sip:zoe', '"\xff\xfe" <sip:zoe'), 400],
  ['14: an overlong form of a slash in From', (text) => text.replace('<sip:zoe', '"\xc0\xaf" <sip:zoe'), 400],
  ['5: more than a header may hold', (text) => text.replace('\r\nTo:', `${'\r\nX: y'.repeat(300)}\r\nTo:`), 400],
]; // prettier-ignore
for (const [name, edit, status] of MALFORMED) {
  // Without a Via that can be read there is nobody to answer.
  test(`vulnerability ${name}: ${status === 0 ? 'no answer' : status}, whoever sends it`, async () => {
    assert.deepEqual(await statusesOf(smuggled(edit)), [status, status]);
  });
}

test('vulnerability 2: blanks before the colon hide no asserted identity from a stranger, and no copy leaves us', async () => {
  const lines = ['P-Asserted-Identity : <sip:paul@partner.example>', 'Remote-Party-ID\t: <sip:paul@partner.example>'];
  const answer = await world.ask(stranger, messageWith(lines));
  assert.equal(answer.status, 401);
  const bob = await world.registered('bob');
  const passed = await world.ask(core, messageWith([...lines, 'X-Anything : 1', 'History-Info: <sip:x@y>'], ZOE));
  assert.equal(passed.status, 200);
  const [message] = await bob.count(1);
  assert.ok(message !== undefined);
  assert.equal(message.from.uri, 'sip:zoe@core.example');
  const names = message.headers.fields.map(([name]) => name.toLowerCase());
  for (const name of ['p-asserted-identity', 'remote-party-id', 'x-anything', 'history-info']) {
    assert.ok(!names.includes(name), name);
  }
  await bob.register(0);
});

const QUOTES = ['"', '\\', '"\\', '""', '"\\"'];
const HEADERS = 'Digest username="alice", realm="sip.example", nonce="n", uri="sip:bob@sip.example", response="0"';
const CRAFTED: ReadonlyArray<readonly [name: string, value: string, statuses: readonly number[]]> = [
  ...QUOTES.map((quote) => [`an open ${quote}`, `Digest username=${quote}alice`, [400]] as const),
  ['no parameter', 'Digest', [400]],
  ['an empty value', 'Digest username=', [400]],
  ['an empty list', 'Digest ,,,,', [400]],
  ['one parameter twice', `${HEADERS}, realm="core.example"`, [400]],
  ['a parameter of 30 kB', `Digest username="${'a'.repeat(30_000)}", realm="sip.example"`, [400]],
  ['a thousand parameters', `Digest ${Array.from({ length: 1_000 }, (_, at) => `p${at}=1`).join(',')}`, [400]],
  ['a negative count', `${HEADERS}, qop=auth, cnonce="c", nc=-0000001`, [400]],
  ['a count that is too long', `${HEADERS}, qop=auth, cnonce="c", nc=000000000000001`, [400]],
  ['a count in decimal words', `${HEADERS}, qop=auth, cnonce="c", nc=NaN`, [400]],
  ['no count', `${HEADERS}, qop=auth, cnonce="c"`, [400]],
  ['another qop', `${HEADERS}, qop=none, cnonce="c", nc=00000001`, [400]],
  ['an escaped NUL in the name', HEADERS.replace('alice', 'ali\\\0ce'), [400, 401]],
  ['a colon in the name', HEADERS.replace('alice', 'alice:sip.example:x'), [401]],
  ['a nonce of 20 kB', HEADERS.replace('"n"', `"${'n'.repeat(20_000)}"`), [401]],
  ['an algorithm of the object prototype', `${HEADERS}, algorithm=__proto__`, [401]],
  ['an algorithm that begins right', `${HEADERS}, algorithm=MD5-sess-sess`, [401]],
  ['a response of another length', HEADERS.replace('response="0"', `response="${'0'.repeat(10_000)}"`), [401]],
  ['a response of 32 characters beyond ASCII', HEADERS.replace('response="0"', `response="${'é'.repeat(32)}"`), [401]],
  ['a response beyond ASCII', HEADERS.replace('response="0"', `response="${'é'.repeat(16)}"`), [400, 401]],
  ['another realm', HEADERS.replace('realm="sip.example"', 'realm="elsewhere.example"'), [401]],
  ['Basic', 'Basic YWxpY2U6Y29ycmVjdA==', [400, 401]],
];
for (const [name, value, statuses] of CRAFTED) {
  test(`vulnerability 3: a crafted Authorization with ${name} is refused: ${statuses.join(' or ')}`, async () => {
    const place = await world.udp('127.0.0.67');
    for (const field of ['Authorization', 'Authorization \t']) {
      const { status } = await world.ask(place, messageWith([`${field}: ${value}`]));
      assert.ok(statuses.includes(status), `${status}`);
    }
  });
}

test('vulnerability 3: an Authorization of 60 kB is refused and the right one beside it is not looked for', async () => {
  const answer = await world.ask(stranger, messageWith([`Authorization: Digest username="${'a'.repeat(60_000)}"`]));
  assert.equal(answer.status, 513);
});

const CONTACTS = ['%', '<>', '<sip:>', '<sip:%>', '<sip:a@>', '"<sip:a@b>', '<sip:a@b', '*;expires=0', '<tel:1>', '<sip:a@b>,', 'sip:[::', `<sip:${'a'.repeat(2_000)}@h>`]; // prettier-ignore
for (const contact of CONTACTS) {
  test(`vulnerability 4: REGISTER with Contact ${contact.slice(0, 20)} binds nothing: 400`, async () => {
    const parts = { ...to('sip:core.example'), to: '<sip:zoe@core.example>', method: 'REGISTER', body: '' };
    const register = (line: string): Buffer => rawRequest({ ...parts, headers: [line] });
    assert.equal((await world.ask(core, register(`Contact: ${contact}`))).status, 400);
    const fetched = await world.ask(core, register('Expires: 60'));
    assert.deepEqual([fetched.status, fetched.header('Contact')], [200, '']);
  });
}

test('vulnerability 4: stray responses of every form are dropped without a word', async () => {
  const some = await world.ask(
    stranger,
    rawRequest({ method: 'OPTIONS', uri: 'sip:sip.example', headers: [], body: '' }),
  );
  for (const status of [100, 180, 200, 202, 302, 401, 408, 481, 503, 699]) {
    assert.equal(await world.askOrSilence(stranger, rawResponse(some, status)), undefined);
  }
  for (const start of ['SIP/2.0 99 x', 'SIP/2.0 1000 x', 'SIP/2.0 -1 x', 'SIP/2.0 20', 'SIP/2.0', 'SIP/3.0 200 OK']) {
    const bytes = rawResponse(some, 200).toString().replace(/^.*/, start);
    assert.equal(await world.askOrSilence(stranger, bytes), undefined, start);
  }
});

test('vulnerability 4: a length that lies ends the TCP connection, with an answer, and nothing else', async () => {
  const bystander = await world.tcp();
  const lie = async (length: string): Promise<void> => {
    const peer = await world.tcp();
    const bytes = rawRequest({ method: 'OPTIONS', uri: 'sip:sip.example', via: 'SIP/2.0/TCP h;branch=z9hG4bKlie' });
    peer.send(bytes.toString().replace('Content-Length: 5', `Content-Length: ${length}`));
    const answer = await peer.next();
    assert.ok([400, 413, 513].includes(answer.status), `${length}: ${answer.status}`);
    await peer.closed;
  };
  await Promise.all(['-1', '99999999999999999999', '5x', '', '0x5', '1e3', '2000000'].map(lie));
  bystander.send(rawRequest({ method: 'OPTIONS', uri: 'sip:sip.example', via: 'SIP/2.0/TCP h;branch=z9hG4bKby' }));
  assert.equal((await bystander.next()).status, 200);
});

const CONTACT = 'Contact: <sip:zoe@127.0.0.1:9>';
const WHOLE: ReadonlyArray<readonly [name: string, parts: RequestParts, stranger: number, core: number]> = [
  ['5: SUBSCRIBE with 40 Accept fields', { ...ZOE, method: 'SUBSCRIBE', headers: ['Event: presence', CONTACT, ...Array.from({ length: 40 }, (_, at) => `Accept: a/b${at}`)], body: '' }, 401, 406],
  ['5: SUBSCRIBE with Expires 0 in a dialog of nobody', { ...ZOE, method: 'SUBSCRIBE', to: '<sip:bob@sip.example>;tag=dialog', headers: ['Event: presence', CONTACT, 'Expires: 0'], body: '' }, 401, 481],
  ['5: SUBSCRIBE with a Contact that is none', { ...ZOE, method: 'SUBSCRIBE', headers: ['Event: presence', 'Contact: %'], body: '' }, 401, 400],
  ['5: NOTIFY with an overlong Message-Account', { method: 'NOTIFY', headers: ['Event: message-summary', 'Subscription-State: active', 'Content-Type: application/simple-message-summary'], body: `Messages-Waiting: yes\r\nMessage-Account: sip:${'a'.repeat(20_000)}\r\n` }, 489, 489],
  ['5: NOTIFY of presence in no dialog of ours', { ...ZOE, method: 'NOTIFY', headers: ['Event: presence', 'Subscription-State: active'], body: '' }, 481, 481],
  ['5: MESSAGE inside a dialog', { ...ZOE, to: '<sip:bob@sip.example>;tag=dialog' }, 481, 481],
  ['5: INFO inside a dialog', { method: 'INFO', to: '<sip:bob@sip.example>;tag=dialog' }, 481, 481],
  ['5: BYE of nobody', { method: 'BYE', to: '<sip:bob@sip.example>;tag=dialog', body: '', headers: [] }, 481, 481],
  ['6: PUBLISH for another', { ...ZOE, method: 'PUBLISH', headers: ['Event: presence', 'Content-Type: application/pidf+xml'], body: '<presence/>' }, 401, 403],
  ['6: SUBSCRIBE for the watchers of another', { ...ZOE, method: 'SUBSCRIBE', headers: ['Event: presence.winfo', CONTACT], body: '' }, 401, 403],
]; // prettier-ignore
for (const [name, parts, asStranger, asCore] of WHOLE) {
  test(`vulnerability ${name}: ${asStranger} for a stranger, ${asCore} for a core`, async () => {
    assert.deepEqual(await statusesOf(rawRequest(parts)), [asStranger, asCore]);
  });
}

test('vulnerability 5: SUBSCRIBE with Expires 0: 401 for a stranger, 200 for a core, as often as it comes', async () => {
  const headers = ['Event: presence', CONTACT, 'Expires: 0'];
  for (let i = 0; i < 5; i++) {
    const request = () => rawRequest({ ...ZOE, method: 'SUBSCRIBE', headers, body: '' });
    assert.equal((await world.ask(stranger, request())).status, 401);
    assert.equal((await world.ask(core, request())).status, 200);
  }
});

const PART = 'Content-Type: text/plain\r\n\r\nx';
const MULTIPARTS: ReadonlyArray<readonly [name: string, type: string, body: string, statuses: readonly number[]]> = [
  ['no boundary', 'multipart/mixed', `--b\r\n${PART}\r\n--b--`, [400]],
  ['an empty boundary', 'multipart/mixed;boundary=""', `--\r\n${PART}\r\n----`, [400]],
  ['a boundary of 10 kB', `multipart/mixed;boundary="${'b'.repeat(10_000)}"`, 'x', [400]],
  ['a boundary that never comes', 'multipart/mixed;boundary=b', 'x'.repeat(50_000), [400, 415]],
  ['no end', 'multipart/mixed;boundary=b', `--b\r\n${PART}`, [202, 400]],
  ['10,000 parts', 'multipart/mixed;boundary=b', `--b\r\n${PART}\r\n`.repeat(1_200), [400, 415]],
  ['boundaries only', 'multipart/mixed;boundary=b', '--b\r\n'.repeat(10_000), [400, 415]],
  ['itself, ten deep', 'multipart/mixed;boundary=b0', nested(10), [415]],
  ['a part of no type it knows', 'multipart/mixed;boundary=b', '--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--', [415]],
  ['a charset that is none', 'text/plain;charset=__proto__', 'x', [415]],
  ['a type of 2 kB', `text/${'x'.repeat(2_000)}`, 'x', [400, 415]],
  ['message/cpim that never ends its headers', 'message/cpim', 'From: <im:a@b>\r\n'.repeat(3_000), [400]],
  ['message/cpim in itself, twenty deep', 'message/cpim', 'Content-Type: message/cpim\r\n\r\n'.repeat(20), [400, 415]],
];

function nested(depth: number): string {
  let body = `${PART}\r\n`;
  for (let at = depth; at >= 0; at -= 1) {
    body = `--b${at}\r\n${at === depth ? '' : `Content-Type: multipart/mixed;boundary=b${at + 1}\r\n\r\n`}${body}\r\n--b${at}--\r\n`;
  }
  return body;
}

for (const [name, type, body, statuses] of MULTIPARTS) {
  test(`vulnerability 5: content with ${name} for an XMPP user: ${statuses.join(' or ')}, at once`, async () => {
    const startedAt = performance.now();
    const { status } = await askAsAlice('sip:juliet@xmpp.example', Buffer.from(body), type);
    assert.ok(statuses.includes(status), `${status}`);
    assert.ok(performance.now() - startedAt < 500);
  });
}

const LONG = 24_000;
const RUNS = [' ', '\t', ';', ',', '"', '\\', '<', '@', '%', '=', '(', '[', ':', '.', '/', 'a', '; ', ', ', ';a', ';a=', 'a=b,', '\\"', '""', '<>', '%41', 'sip:', '--', '\r\n ']; // prettier-ignore
const PARTY = '<sip:zoe@core.example>;tag=';
/** What a value begins with, so that it is looked into. */
const STARTS: Readonly<Record<string, string>> = {
  Via: 'SIP/2.0/UDP h;rport;branch=z9hG4bK',
  From: PARTY,
  To: PARTY,
  Contact: PARTY,
};
const FIELDS = ['Via', 'From', 'To', 'Contact', 'Call-ID', 'CSeq', 'Authorization', 'Route', 'P-Asserted-Identity', 'Require', 'Privacy', 'Content-Type', 'Content-Encoding', 'Content-Language', 'Date', 'Expires', 'Max-Forwards', 'Subject', 'Warning', 'Accept', 'User-Agent', 'X']; // prettier-ignore
for (const field of FIELDS) {
  test(`vulnerability 22: ${RUNS.length} long runs in ${field} cost no time beyond their length`, async () => {
    for (const method of ['MESSAGE', 'REGISTER']) {
      for (const run of RUNS) {
        const value = run.repeat(LONG / run.length);
        const pattern = new RegExp(`\\r\\n${field}: .*`);
        const text = rawRequest({ ...to('sip:erin@sip.example'), method }).toString('latin1');
        const start = STARTS[field] ?? '';
        const line = `\r\n${field}: ${start}${value}x`;
        const bytes = pattern.test(text)
          ? text.replace(pattern, () => line)
          : text.replace('\r\nVia', `${line}\r\nVia`);
        const startedAt = performance.now();
        await world.askOrSilence(core, Buffer.from(bytes, 'latin1'));
        const tookMs = performance.now() - startedAt;
        assert.ok(tookMs < 500, `${method} with ${JSON.stringify(run)}: ${tookMs} ms`);
      }
    }
  });
}

test('vulnerability 13: over TCP no message is made out of a body, however its end is written', async () => {
  const inner = rawRequest({ ...ZOE, callId: 'smuggled', via: 'SIP/2.0/TCP h;branch=z9hG4bKinner' }).toString('latin1');
  const outerOf = (callId: string): RequestParts => ({ ...ZOE, callId, via: 'SIP/2.0/TCP h;branch=z9hG4bKouter' });
  const bob = await world.registered('bob');
  const separators = ['\n.\n', '\r\n\r\n', '\n\n', '\r\r', '\0\r\n\r\n', ' \r\n\r\n', '\r\n.\r\n'];
  for (const [at, separator] of separators.entries()) {
    const peer = await world.tcp(PLACES.core);
    peer.send(rawRequest({ ...outerOf(`outer${at}`), body: `text${separator}${inner}` }));
    const answer = await peer.next();
    assert.deepEqual([answer.status, answer.header('Call-ID')], [200, `outer${at}`]);
    peer.send(rawRequest({ method: 'OPTIONS', uri: 'sip:sip.example', via: 'SIP/2.0/TCP h;branch=z9hG4bKlast' }));
    assert.match((await peer.next()).header('CSeq'), /OPTIONS/);
    assert.equal(peer.received.length, 2);
  }
  assert.equal(bob.received.length, separators.length);
  assert.ok(bob.texts.every((text) => text.startsWith('text')));
  await bob.register(0);
});

const FRAMINGS: ReadonlyArray<readonly [name: string, lines: string]> = [
  ['the shorter length last', 'Content-Length: 400\r\nContent-Length: 0'],
  ['the longer length last', 'Content-Length: 0\r\nContent-Length: 400'],
  ['the compact form beside the long one', 'Content-Length: 400\r\nl: 0'],
  ['a length with blanks before its colon', 'Content-Length: 400\r\nContent-Length \t: 0'],
  ['a length in other capitals', 'Content-Length: 400\r\ncONTENT-lENGTH: 0'],
  ['a length on a folded line', 'Content-Length: 400\r\nl:\r\n 0'],
  ['a length behind a bare LF', 'X: y\nContent-Length: 0\r\nContent-Length: 400'],
  ['a length behind a bare CR', 'X: y\rContent-Length: 0\r\nContent-Length: 400'],
  ['no length', 'X: y'],
];
test(
  'vulnerability 13: a TCP message with a doubtful end ends its connection, and no more is read',
  { concurrency: true },
  async (t) => {
    const check = async (lines: string): Promise<void> => {
      const peer = await world.tcp(PLACES.core);
      const hidden = rawRequest({ ...ZOE, callId: 'hidden', via: 'SIP/2.0/TCP h;branch=z9hG4bKhidden' });
      const outer = rawRequest({ ...ZOE, contentLength: false, body: '', via: 'SIP/2.0/TCP h;branch=z9hG4bKframe' });
      peer.send(Buffer.concat([Buffer.from(outer.toString().replace('\r\n\r\n', `\r\n${lines}\r\n\r\n`)), hidden]));
      await peer.closed;
      assert.deepEqual(
        peer.received.filter(({ status }) => status < 400 || status >= 500),
        [],
      );
      assert.ok(!peer.bytes.includes('hidden'));
    };
    // Side by side: the server leaves each connection some time to read its answer.
    await Promise.all(FRAMINGS.map(([name, lines]) => t.test(name, { concurrency: true }, () => check(lines))));
  },
);

test('vulnerability 13: a folded field is one field, and its second line no field of its own', async () => {
  const bob = await world.registered('bob');
  const lines = ['Subject: one', '\tFrom: <sip:carol@core.example>;tag=q', ' Content-Length: 0'];
  assert.equal((await world.ask(core, messageWith(lines, ZOE))).status, 200);
  assert.equal(bob.received[0]?.headers.get('Subject'), 'one From: <sip:carol@core.example>;tag=q Content-Length: 0');
  assert.equal(bob.received[0].from.uri, 'sip:zoe@core.example');
  assert.deepEqual(bob.texts, ['hello']);
  await bob.register(0);
});

test('vulnerability 13: what the XMPP side writes into subject, thread and id divides no SIP header', async () => {
  const bob = await world.registered('bob');
  const evil = 'x&#13;&#10;From: &lt;sip:root@sip.example&gt;&#13;&#10;&#13;&#10;smuggled';
  world.xmpp.sendRaw(
    `<message from='juliet@xmpp.example/${'r'.repeat(20)}' to='bob@sip.xmpp.example' id='${evil}' xml:lang='${evil}'>` +
      `<subject xml:lang='${evil}'>${evil}</subject><body>b</body><thread>${evil}</thread>` +
      `<origin-id xmlns='urn:xmpp:sid:0' id='${evil}'/></message>`,
  );
  const [message] = await bob.count(1);
  assert.ok(message !== undefined);
  assert.deepEqual(bob.texts, ['b']);
  assert.equal(message.headers.all('From').length, 1);
  assert.match(message.from.uri, /^sip:juliet@xmpp\.example(;gr=.*)?$/);
  assert.equal(message.headers.get('Subject'), 'x From: <sip:root@sip.example> smuggled');
  await bob.register(0);
});

test('vulnerability 5: overlong subject, thread and id from the XMPP side reach the phone cut or hashed', async () => {
  const bob = await world.registered('bob');
  const long = 'y'.repeat(50_000);
  world.xmpp.sendRaw(
    `<message from='juliet@xmpp.example' to='bob@sip.xmpp.example' id='${long}'><subject>${long}</subject>` +
      `<body>b</body><thread>${long}</thread></message>`,
  );
  const [message] = await bob.count(1);
  assert.ok(message !== undefined);
  assert.ok((message.headers.get('Subject') ?? long).length <= 1_000);
  assert.ok((message.headers.get('Call-ID') ?? long).length <= 600);
  await bob.register(0);
});

const NOT_UTF8 = [Buffer.from('c080', 'hex'), Buffer.from('eda080', 'hex'), Buffer.from('f5808080', 'hex'), Buffer.from('ff', 'hex'), Buffer.from('e282', 'hex')]; // prettier-ignore
for (const bytes of NOT_UTF8) {
  test(`vulnerability 14: a body with ${bytes.toString('hex')} makes no illegal XML and costs no stream`, async () => {
    await world.untilLinkUp();
    const { handshakes } = world.xmpp;
    const before = world.xmppMessages.length;
    const answer = await askAsAlice(
      'sip:juliet@xmpp.example',
      Buffer.concat([Buffer.from('a'), bytes, Buffer.from('<b>\0\u0001')]),
    );
    assert.ok([202, 400, 415].includes(answer.status), `${answer.status}`);
    const proof = await askAsAlice('sip:juliet@xmpp.example', Buffer.from('good'));
    assert.equal(proof.status, 202);
    await waitFor(() => world.xmppTexts.slice(before).includes('good'));
    for (const text of world.xmppTexts.slice(before))
      assert.doesNotMatch(text, /[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]/);
    assert.equal(world.xmpp.handshakes, handshakes);
  });
}

const LINK_BYTES: ReadonlyArray<readonly [name: string, bytes: Buffer]> = [
  ['14: an overlong form of <', Buffer.from('<message><body>\xc0\xbc</body></message>', 'latin1')],
  ['14: half of a surrogate pair', Buffer.from('<message><body>\xed\xa0\x80</body></message>', 'latin1')],
  ['14: a name cut within a character', Buffer.from("<message from='juliet@xmpp.example\xe2\x82'/>", 'latin1')],
  ['6: what is no XML', Buffer.from('\0\x01\x02 GET / HTTP/1.1\r\n\r\n')],
];
for (const [name, bytes] of LINK_BYTES) {
  test(`vulnerability ${name} on the link ends that stream only, and it is back`, async () => {
    await world.untilLinkUp();
    const { handshakes } = world.xmpp;
    world.xmpp.sendRaw(bytes);
    clock.run(20);
    await waitFor(() => world.xmpp.handshakes > handshakes, 12_000);
    await world.untilLinkUp();
    clock.run(1);
  });
}

test('vulnerability 14: a namespace with a separator in it is not ours', async () => {
  await world.untilLinkUp();
  const bob = await world.registered('bob');
  const start = `<message from='juliet@xmpp.example' to='bob@sip.xmpp.example'>`;
  for (const namespace of ['jabber:component:accept&#10;', 'jabber:component:accept body', 'jabber:client', ' ']) {
    world.xmpp.sendRaw(`${start}<body xmlns='${namespace}'>forged</body></message>`);
  }
  world.xmpp.sendRaw(`${start}<body>true</body></message>`);
  await bob.count(1);
  assert.deepEqual(bob.texts, ['true']);
  await bob.register(0);
});

/** A message with a digest that is right, in one datagram. */
async function askAsAlice(uri: string, body: Buffer, type = 'text/plain'): Promise<{ readonly status: number }> {
  const alice = await world.udp(PLACES.server);
  const parts = (cseq: number, lines: readonly string[]): Buffer =>
    rawRequest({
      ...{ from: '<sip:alice@sip.example>;tag=a', uri, to: `<${uri}>`, cseq, body },
      headers: [`Content-Type: ${type}`, ...lines],
    });
  const challenge = parseAuthParams((await world.ask(alice, parts(1, []))).header('WWW-Authenticate'))?.params;
  const nonce = challenge?.get('nonce') ?? '';
  const ha1 = ha1Of('SHA-256', 'alice', 'sip.example', PASSWORD);
  const response = digestResponse({ algorithm: 'SHA-256', ha1, method: 'MESSAGE', uri, nonce });
  const value = `Digest username="alice", realm="sip.example", nonce="${nonce}", uri="${uri}", algorithm=SHA-256, response="${response}"`;
  return world.ask(alice, parts(2, [`Authorization: ${value}`]));
}

async function waitFor(holds: () => boolean, withinMs = 5_000): Promise<void> {
  const endsAt = Date.now() + withinMs;
  while (!holds()) {
    assert.ok(Date.now() < endsAt, 'not in time');
    await new Promise((resume) => setTimeout(resume, 10));
  }
}
