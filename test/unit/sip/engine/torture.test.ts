import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';

import { parseNameAddr, parseVia } from '../../../../src/sip/header-values.ts';
import { parseSipMessage } from '../../../../src/sip/engine/parser.ts';
import type { ParsedMessage } from '../../../../src/sip/engine/parser.ts';
import { StreamFramer } from '../../../../src/sip/engine/stream-framer.ts';
import { decodedUser, parseSipUri, uriParam } from '../../../../src/sip/uri.ts';
import { loadVectors } from '../../../support/vectors.ts';
import { tortureMessage } from '../../../vectors/rfc4475/markup.ts';

type Source = { readonly file: string; readonly sha256?: string };

/** `above` says what an element above the parser answers; `answer` is the status for a malformed request. */
type Verdict = {
  readonly verdict: 'valid' | 'valid-syntax' | 'malformed';
  readonly method?: string;
  readonly status?: number;
  readonly answer?: number | null;
  readonly above?: string;
  readonly why: string;
};

for (const document of ['rfc4475', 'rfc5118']) {
  const vectors = loadVectors<Source, Verdict>(`${document}/messages`);

  test(`torture: every message file of ${document} has a verdict`, () => {
    const files = readdirSync(new URL(`../../../vectors/${document}`, import.meta.url));
    const messages = files.filter((file) => file.endsWith('.txt'));
    assert.deepEqual(vectors.map((vector) => vector.in.file).sort(), messages.sort());
  });

  for (const { id, source, in: from, out } of vectors) {
    test(`torture: ${id} is ${out.verdict} (${source})`, () => {
      const bytes = tortureMessage(document, from.file);
      if (from.sha256 !== undefined) {
        // The bit-exact archive of RFC 4475, appendix A.
        assert.equal(createHash('sha256').update(bytes).digest('hex'), from.sha256);
      }
      const message = parseSipMessage(bytes);
      if (out.verdict === 'malformed') {
        assert.equal(message.kind, 'malformed');
        if (typeof out.answer !== 'number')
          assert.equal(message.request, undefined, 'a malformed response is not answered');
        else {
          assert.equal(message.status, out.answer, message.reason);
          assert.equal(message.request?.method, out.method);
        }
      } else if (out.status === undefined) {
        assert.ok(message.kind === 'request', JSON.stringify(message));
        assert.equal(message.method, out.method);
      } else {
        assert.ok(message.kind === 'response', JSON.stringify(message));
        assert.equal(message.status, out.status);
      }
    });
  }
}

function read(document: string, id: string): ParsedMessage {
  return parseSipMessage(tortureMessage(document, `${id}.txt`));
}

function request(id: string, document = 'rfc4475'): Extract<ParsedMessage, { kind: 'request' }> {
  const message = read(document, id);
  assert.ok(message.kind === 'request');
  return message;
}

/** What the sections say in words about the content of the messages that are well-formed. */
const CONTENT: ReadonlyArray<readonly [what: string, check: () => void]> = [
  [
    'wsinv: folded, blank-ridden values mean what they say',
    () => {
      const { headers, via, from, to, cseq, body } = request('wsinv');
      assert.deepEqual(headers.all('Via'), [
        'SIP  /   2.0 /UDP 192.0.2.2;branch=390skdjuw',
        'SIP  / 2.0  / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8',
        'SIP  /    2.0   / UDP  192.168.255.111   ; branch= z9hG4bK30239',
      ]);
      assert.deepEqual(
        headers.all('Via').map((value) => parseVia(value)?.host),
        ['192.0.2.2', 'spindle.example.com', '192.168.255.111'],
      );
      assert.equal(parseVia(headers.all('Via')[1]!)?.params.get('branch'), 'z9hG4bK9ikj8');
      assert.equal(via.params.get('branch'), '390skdjuw');
      assert.equal(from.display, 'J Rosenberg \\"');
      assert.equal(from.params.get('tag'), '98asjd8');
      assert.equal(to.uri, 'sip:vivekg@chair-dnrc.example.com');
      assert.equal(to.params.get('tag'), '1918181833n');
      assert.deepEqual(cseq, { number: 9, method: 'INVITE' });
      assert.equal(headers.get('subject'), '');
      assert.equal(headers.get('Max-Forwards'), '0068');
      assert.equal(headers.get('newfangledheader'), 'newfangled value continued newfangled value');
      assert.equal(headers.get('UnknownHeaderWithUnusualValue'), ';;,,;;,;');
      const contact = parseNameAddr(headers.get('Contact')!);
      assert.equal(contact?.display, 'Quoted string ""');
      assert.equal(contact.params.get('q'), '0.33');
      assert.equal(body.length, 150);
    },
  ],
  [
    'intmeth: To holds a quoted NUL and the URI after it',
    () => {
      const { to, from, headers, uri } = request('intmeth');
      assert.equal(to.display, 'BEL:\x07 NUL:\0 DEL:\x7f');
      assert.equal(to.uri, "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com");
      assert.equal(parseSipUri(uri)?.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
      assert.equal(from.display, "token1~` token2'+_ token3*%!.-");
      assert.equal(from.params.get("fromparam''~+*_!.-%"), 'работающий');
      assert.equal(headers.get("extensionheader-!.%*+_`'~"), '\ufeff大停電');
      assert.equal(headers.get('Call-ID'), 'intmeth.word%ZK-!.*_+\'@word`~)(><:\\/"][?}{');
    },
  ],
  [
    'esc01: escapes are undone once',
    () => {
      const { uri, to, from, headers } = request('esc01');
      assert.equal(decodedUser(parseSipUri(uri)!), 'sips:user@example.com');
      assert.equal(decodedUser(parseSipUri(to.uri)!), 'user');
      assert.equal(decodedUser(parseSipUri(from.uri)!), 'I have spaces');
      const contact = parseSipUri(parseNameAddr(headers.get('m')!)!.uri)!;
      assert.equal(uriParam(contact, 'lr'), true);
      assert.equal(uriParam(contact, 'name'), 'v%61lue%25%34%31');
    },
  ],
  [
    'escnull: two contacts, and no name for a person in any of them',
    () => {
      const { to, headers } = request('escnull');
      assert.equal(parseSipUri(to.uri)?.user, 'null-%00-null');
      assert.equal(decodedUser(parseSipUri(to.uri)!), undefined);
      assert.deepEqual(headers.all('Contact'), ['<sip:%00@host5.example.com>', '<sip:%00%00@host5.example.com>']);
    },
  ],
  ['esc02: two contacts, not three', () => assert.equal(request('esc02').headers.all('Contact').length, 2)],
  ['lwsdisp: a display name that touches the bracket', () => assert.equal(request('lwsdisp').from.display, 'caller')],
  [
    'longreq: values of hundreds of bytes arrive whole',
    () => {
      const { headers, from, to } = request('longreq');
      assert.equal(headers.all('Via').length, 34);
      assert.equal((from.params.get('tag') as string).length, 5 + 50 * 3);
      assert.ok(to.display?.startsWith('I have a user name of extremeextreme'));
      assert.equal(headers.get('Call-ID')?.length, 'longreq.onelongcallid'.length + 20 * 6);
    },
  ],
  ['dblreq: the body is empty, the rest is gone', () => assert.equal(request('dblreq').body.length, 0)],
  [
    'semiuri: the user part is what stands before the @',
    () => assert.equal(decodedUser(parseSipUri(request('semiuri').uri)!), 'user;par=u@example.net'),
  ],
  [
    'transports: five, in order',
    () => {
      const transports = request('transports')
        .headers.all('Via')
        .map((value) => parseVia(value)?.transport);
      assert.deepEqual(transports, ['UDP', 'SCTP', 'TLS', 'UNKNOWN', 'TCP']);
    },
  ],
  [
    'mpart01: the body is all there, NUL and all',
    () => {
      const { body } = request('mpart01');
      assert.equal(body.length, 553);
      assert.ok(body.includes(0));
      assert.ok(body.subarray(-22).equals(Buffer.from('--7a9cbec02ceef655--\r\n')));
    },
  ],
  [
    'unreason: the phrase is decoded',
    () => {
      const message = read('rfc4475', 'unreason');
      assert.equal(message.kind === 'response' && message.reason, '= 2**3 * 5**2 но сто девяносто девять - простое');
    },
  ],
  [
    'noreason: the phrase is empty',
    () => {
      const message = read('rfc4475', 'noreason');
      assert.equal(message.kind === 'response' && message.reason, '');
    },
  ],
  [
    'badinv01: what was sound is kept for the answer',
    () => {
      const message = read('rfc4475', 'badinv01');
      assert.ok(message.kind === 'malformed');
      assert.equal(message.request?.headers.get('From'), 'sip:caller@example.net;tag=134161461246');
    },
  ],
  [
    'badvers: the answer has a Via to go to',
    () => {
      const message = read('rfc4475', 'badvers');
      assert.ok(message.kind === 'malformed');
      assert.equal(parseVia(message.request?.headers.get('Via') ?? '')?.host, 'c.example.com');
    },
  ],
  [
    'multi01: the answer copies the first of each',
    () => {
      const message = read('rfc4475', 'multi01');
      assert.ok(message.kind === 'malformed');
      assert.equal(message.request?.headers.get('To'), 'sip:user@example.com');
    },
  ],
  [
    'regbadct: the Contact is refused by its own parser',
    () => assert.equal(parseNameAddr(request('regbadct').headers.get('Contact')!), undefined),
  ],
  [
    'cparam01: the parameter is the header’s',
    () => {
      const contact = parseNameAddr(request('cparam01').headers.get('Contact')!);
      assert.equal(contact?.uri, 'sip:+19725552222@gw1.example.net');
      assert.equal(contact.params.get('unknownparam'), true);
    },
  ],
  [
    'cparam02: the parameter is the URI’s',
    () => {
      const contact = parseNameAddr(request('cparam02').headers.get('Contact')!);
      assert.equal(uriParam(parseSipUri(contact!.uri)!, 'unknownparam'), true);
    },
  ],
  [
    'regescrt: the escaped header stays in the URI',
    () => {
      const contact = parseNameAddr(request('regescrt').headers.get('Contact')!);
      assert.equal(parseSipUri(contact!.uri)?.headers, 'Route=%3Csip:sip.example.com%3E');
    },
  ],
  ['inv2543: no length, so the body is the rest', () => assert.ok(request('inv2543').body.length > 100)],
  [
    'port-ambiguous and port-unambiguous: where the port is',
    () => {
      const ambiguous = parseSipUri(request('port-ambiguous', 'rfc5118').uri);
      assert.deepEqual([ambiguous?.host, ambiguous?.port], ['[2001:db8::10:5070]', undefined]);
      const unambiguous = parseSipUri(request('port-unambiguous', 'rfc5118').uri);
      assert.deepEqual([unambiguous?.host, unambiguous?.port], ['[2001:db8::10]', 5070]);
    },
  ],
  [
    'received: with and without brackets',
    () => {
      const received = (id: string): unknown => request(id, 'rfc5118').via.params.get('received');
      assert.equal(received('via-received-param-with-delim'), '[2001:db8::9:255]');
      assert.equal(received('via-received-param-no-delim'), '2001:db8::9:255');
    },
  ],
  [
    'ipv4-mapped-ipv6: host and port of the topmost Via',
    () => {
      const { via } = request('ipv4-mapped-ipv6', 'rfc5118');
      assert.deepEqual([via.host, via.port], ['[::ffff:192.0.2.10]', 19823]);
    },
  ],
  [
    'the extra colon is gone',
    () => {
      assert.equal(parseSipUri(request('ipv6-bug-abnf-3-colons', 'rfc5118').uri)?.host, '[2001:db8::192.0.2.1]');
    },
  ],
];

for (const [what, check] of CONTENT) test(`torture: ${what}`, check);

/** What becomes of the messages with a doubtful length on a stream (RFC 4475, sections 3.1.2.2, 3.1.2.3 and 3.3.9). */
const ON_A_STREAM: ReadonlyArray<readonly [id: string, outcome: 'waits' | 'fails']> = [
  ['clerr', 'waits'],
  ['ncl', 'fails'],
  ['mcl01', 'fails'],
  ['inv2543', 'fails'],
];

for (const [id, outcome] of ON_A_STREAM) {
  test(`torture: on a stream ${id} ${outcome}`, () => {
    const framer = new StreamFramer();
    const bytes = tortureMessage('rfc4475', `${id}.txt`);
    if (outcome === 'fails') assert.throws(() => framer.push(bytes), { code: 'request-malformed' });
    else assert.deepEqual(framer.push(bytes), []);
  });
}
