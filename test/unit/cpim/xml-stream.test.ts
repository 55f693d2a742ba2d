import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type XmlElement, type XmlError, type XmlLimits, XmlStreamReader } from '../../../src/cpim/xml.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const OPEN = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='s' id='1'>";

type Seen = { readonly log: unknown[]; readonly elements: XmlElement[]; readonly reader: XmlStreamReader };

function aReader(limits: XmlLimits & { unitsMax?: number } = {}): Seen {
  const log: unknown[] = [];
  const elements: XmlElement[] = [];
  const reader = new XmlStreamReader(
    {
      onOpen: (name, attrs) => log.push(['open', name, attrs['id']]),
      onElement: (element) => {
        elements.push(element);
        log.push(['element', element.name]);
      },
      onClose: () => log.push(['close']),
      onError: (error: XmlError) => log.push(['error', error.kind]),
    },
    limits,
  );
  return { log, elements, reader };
}

test('XML stream: opened, elements, closed', () => {
  const { log, elements, reader } = aReader();
  reader.write(`${OPEN}<message to='a'><body>x&amp;y</body></message> \n<iq/></stream:stream>`);
  assert.deepEqual(log, [['open', 'stream:stream', '1'], ['element', 'message'], ['element', 'iq'], ['close']]);
  assert.deepEqual(elements[0], {
    name: 'message',
    attrs: { to: 'a' },
    children: [{ name: 'body', attrs: {}, children: ['x&y'] }],
  });
  assert.equal(reader.over, true);
});

test('XML stream: an element is reported as soon as its end tag has come', () => {
  const { log, reader } = aReader();
  reader.write(`${OPEN}<a><b/></a`);
  assert.deepEqual(log, [['open', 'stream:stream', '1']]);
  reader.write('>');
  assert.deepEqual(log[1], ['element', 'a']);
  reader.write('<c/>');
  assert.deepEqual(log[2], ['element', 'c']);
});

test('XML stream: prefixes of the stream element hold inside', () => {
  const { elements, reader } = aReader();
  reader.write(`${OPEN}<stream:error><x/></stream:error>`);
  assert.equal(elements[0]?.name, 'stream:error');
});

const REFUSED: ReadonlyArray<readonly [name: string, text: string, kind: string]> = [
  ['DOCTYPE', '<!DOCTYPE a>' + OPEN, 'restricted'],
  ['billion laughs', '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;">]>' + OPEN, 'restricted'],
  ['DOCTYPE between stanzas', OPEN + '<a/><!DOCTYPE a>', 'not-well-formed'],
  ['comment', OPEN + '<!-- x -->', 'restricted'],
  ['comment in a stanza', OPEN + '<a><!-- x --></a>', 'restricted'],
  ['processing instruction', OPEN + '<?x y?>', 'restricted'],
  ['undefined entity', OPEN + '<a>&nbsp;</a>', 'not-well-formed'],
  ['text between stanzas', OPEN + 'hello<a/>', 'not-well-formed'],
  ['encoding', OPEN.replace("version='1.0'", "version='1.0' encoding='ISO-8859-1'"), 'encoding'],
  ['duplicate attribute', OPEN + '<a b="1" b="2"/>', 'not-well-formed'],
  ['unbound prefix', OPEN + '<p:a/>', 'bad-namespace'],
  ['prefix of an earlier stanza', OPEN + '<a xmlns:p="u"/><p:b/>', 'bad-namespace'],
  ['U+0000', OPEN + '<a>\u0000</a>', 'not-well-formed'],
  ['lone surrogate that would hide a tag', OPEN + '<a>\uD83D</a><b/>', 'not-well-formed'],
  ['end tag of another element', OPEN + '<a></b>', 'not-well-formed'],
  ['end of the stream inside a stanza', OPEN + '<a></stream:stream>', 'not-well-formed'],
  ['end tag of another stream', OPEN + '</stream>', 'not-well-formed'],
  ['64 levels under the stream', OPEN + '<a>'.repeat(64), 'too-deep'],
  ['20,000 levels', OPEN + '<a>'.repeat(20_000), 'too-deep'],
];
for (const [name, text, kind] of REFUSED) {
  test(`XML stream refused: ${name}`, () => {
    for (const size of [text.length, 7, 1]) {
      const { log, reader } = aReader();
      for (let at = 0; at < text.length; at += size) reader.write(text.slice(at, at + size));
      // Told once, and nothing that came with it or after it is.
      assert.deepEqual(
        log.filter((entry) => (entry as string[])[0] === 'error'),
        [['error', kind]],
      );
      assert.deepEqual(log.at(-1), ['error', kind]);
      const told = log.length;
      reader.write('<b/></stream:stream>');
      reader.end();
      assert.equal(log.length, told);
      assert.equal(reader.over, true);
    }
  });
}

test('XML stream: an element with a wrong end tag is never reported', () => {
  const { elements, reader } = aReader();
  reader.write(`${OPEN}<message to='x'></iq>`);
  assert.deepEqual(elements, []);
});

test('XML stream: the size of a stanza is counted while it is read', () => {
  const { log, reader } = aReader({ unitsMax: 1000 });
  reader.write(OPEN);
  let written = 0;
  reader.write('<a><b>');
  while (!reader.over && written < 100_000) {
    reader.write('x'.repeat(100));
    written += 100;
  }
  assert.deepEqual(log.at(-1), ['error', 'too-large']);
  assert.ok(written <= 1100, `refused after ${written}`);
});

test('XML stream: the size counts per stanza, not in total', () => {
  const { elements, log, reader } = aReader({ unitsMax: 1000 });
  reader.write(OPEN);
  for (let turn = 0; turn < 50; turn += 1) reader.write(`<a>${'x'.repeat(900)}</a>`.repeat(3));
  assert.equal(elements.length, 150);
  reader.write(`<a>${'x'.repeat(1000)}</a>`);
  assert.deepEqual(log.at(-1), ['error', 'too-large']);
});

for (const [name, part] of [
  ['attribute value', '<a b="'],
  ['tag name', '<a'],
  ['entity', '<a>&'],
  ['CDATA', '<a><![CDATA['],
  ['end tag', '<a></a'],
  ['DOCTYPE', ''],
] as const) {
  test(`XML stream: an endless ${name} is refused at the bound`, () => {
    const { log, reader } = aReader({ unitsMax: 20_000 });
    reader.write(name === 'DOCTYPE' ? '<!DOCTYPE a [' : OPEN + part);
    for (let turn = 0; turn < 100 && !reader.over; turn += 1) reader.write('x'.repeat(1000));
    assert.ok(['too-large', 'not-well-formed'].includes((log.at(-1) as string[])[1] ?? ''), JSON.stringify(log));
    assert.equal(reader.over, true);
  });
}

test('XML stream: keep-alives cost nothing, however many', () => {
  const { elements, log, reader } = aReader({ unitsMax: 500 });
  reader.write(`${OPEN}\n`);
  for (let turn = 0; turn < 2000; turn += 1) reader.write(turn % 3 === 0 ? ' ' : turn % 3 === 1 ? '\r\n' : '\r');
  reader.write('<a/>\n');
  for (let turn = 0; turn < 2000; turn += 1) reader.write(' \n');
  reader.write('<b/>');
  assert.deepEqual(
    elements.map(({ name }) => name),
    ['a', 'b'],
  );
  assert.equal(log.length, 3);
});

test('XML stream: blanks inside of what is unfinished are kept', () => {
  const { elements, log, reader } = aReader();
  reader.write(OPEN);
  reader.write('<a>');
  reader.write('  ');
  reader.write('</a>');
  assert.deepEqual(elements[0]?.children, ['  ']);
  reader.write('<');
  reader.write(' ');
  reader.write('b/>');
  assert.deepEqual(log.at(-1), ['error', 'not-well-formed']);
});

test('XML stream: the input ends before the stream', () => {
  const { log, reader } = aReader();
  reader.write(OPEN);
  reader.end();
  assert.deepEqual(log.at(-1), ['error', 'not-well-formed']);
});

test('XML stream: stopped from a callback, it reports nothing more', () => {
  const seen: string[] = [];
  const reader: XmlStreamReader = new XmlStreamReader({
    onOpen: () => undefined,
    onElement: ({ name }) => {
      seen.push(name);
      reader.stop();
    },
    onClose: () => seen.push('close'),
    onError: () => seen.push('error'),
  });
  reader.write(`${OPEN}<a/><b/></stream:stream>`);
  reader.write('<c/>');
  assert.deepEqual(seen, ['a']);
});

test('XML stream: what a callback throws comes out unchanged', () => {
  const fault = new Error('mine');
  const errors: unknown[] = [];
  const reader = new XmlStreamReader({
    onOpen: () => undefined,
    onElement: () => {
      throw fault;
    },
    onClose: () => undefined,
    onError: (error) => errors.push(error),
  });
  assert.throws(
    () => reader.write(`${OPEN}<a/>`),
    (thrown) => thrown === fault,
  );
  assert.deepEqual(errors, []);
});

test('XML stream: cut anywhere, it reads the same (300 cuttings, seed 6120)', () => {
  const text =
    `${OPEN}<message id='\u{1F600}'><body xml:lang='he'>\u05E9\u05DC\u05D5\u05DD \u{1F468}\u200D\u{1F469} &lt;x&gt;\r\n]]&gt;</body>` +
    `<x xmlns='u'><![CDATA[a]]b]]></x></message>\r\n<p:y xmlns:p='v' p:z='1'/></stream:stream>`;
  const whole = aReader();
  whole.reader.write(text);
  assert.equal(whole.log.length, 4);
  const random = seededRandom(6120);
  for (let round = 0; round < 300; round += 1) {
    const cut = aReader();
    const most = 1 + Math.floor(random() * 20);
    for (let at = 0; at < text.length;) {
      const length = 1 + Math.floor(random() * most);
      cut.reader.write(text.slice(at, at + length));
      at += length;
    }
    assert.deepEqual(cut.log, whole.log);
    assert.deepEqual(cut.elements, whole.elements);
  }
});
