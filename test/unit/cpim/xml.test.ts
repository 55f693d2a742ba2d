import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  childOf,
  childrenOf,
  legalXmlText,
  readXml,
  textOf,
  writeOpeningTag,
  writeXml,
  type XmlElement,
  XmlError,
} from '../../../src/cpim/xml.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const LAUGHS =
  '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">' +
  '<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]><lolz>&lol3;</lolz>';

const REFUSED: ReadonlyArray<readonly [name: string, text: string, kind: string]> = [
  ['billion laughs', LAUGHS, 'restricted'],
  ['billion laughs in an attribute', LAUGHS.replace('<lolz>&lol3;', '<lolz a="&lol3;">'), 'restricted'],
  ['empty DOCTYPE', '<!DOCTYPE a><a/>', 'restricted'],
  ['external DTD', '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>', 'restricted'],
  ['external entity', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 'restricted'],
  ['DOCTYPE behind the root', '<a/><!DOCTYPE a>', 'not-well-formed'],
  ['undefined entity', '<a>&nbsp;</a>', 'not-well-formed'],
  ['entity by the name of an object member', '<a>&constructor;</a>', 'not-well-formed'],
  ['entity __proto__', '<a>&__proto__;</a>', 'not-well-formed'],
  ['duplicate attribute', '<a b="1" b="2"/>', 'not-well-formed'],
  ['attributes the same once resolved', '<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>', 'not-well-formed'],
  ['unbound element prefix', '<p:a/>', 'bad-namespace'],
  ['unbound attribute prefix', '<a p:b="1"/>', 'bad-namespace'],
  ['prefix bound by a sibling', '<a><b xmlns:p="u"/><p:c/></a>', 'bad-namespace'],
  ['prefix by the name of an object member', '<constructor:a/>', 'bad-namespace'],
  ['local name of an element that begins with a digit', '<a xmlns:p="u"><p:1/></a>', 'bad-namespace'],
  ['local name of an attribute that begins with a hyphen', '<a xmlns:p="u" p:-b="1"/>', 'bad-namespace'],
  ['prefix that begins with a digit bound', '<a xmlns:1="u"/>', 'bad-namespace'],
  ['prefix undeclared', '<a xmlns:p=""/>', 'bad-namespace'],
  ['xml prefix bound anew', '<a xmlns:xml="u"/>', 'bad-namespace'],
  ['xmlns prefix bound', '<a xmlns:xmlns="u"/>', 'bad-namespace'],
  ['xmlns as element prefix', '<xmlns:a/>', 'bad-namespace'],
  ['XML namespace under another prefix', '<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>', 'bad-namespace'],
  ['XML namespace as the default', '<a xmlns="http://www.w3.org/XML/1998/namespace"/>', 'bad-namespace'],
  ['two colons', '<a xmlns:p="u"><p:b:c/></a>', 'bad-namespace'],
  ['colon in front', '<:a/>', 'bad-namespace'],
  ['U+0000', '<a>\u0000</a>', 'not-well-formed'],
  ['U+0001', '<a>\u0001</a>', 'not-well-formed'],
  ['reference to U+0000', '<a>&#0;</a>', 'not-well-formed'],
  ['reference to U+0001', '<a>&#x1;</a>', 'not-well-formed'],
  ['reference to a surrogate', '<a>&#xD800;</a>', 'not-well-formed'],
  ['reference beyond Unicode', '<a>&#x110000;</a>', 'not-well-formed'],
  ['XML 1.1 does not allow more', '<?xml version="1.1"?><a>&#x1;</a>', 'not-well-formed'],
  ['U+FFFF', '<a>\uFFFF</a>', 'not-well-formed'],
  ['lone high surrogate that would hide a tag', '<a>\uD83D<b/></a>', 'not-well-formed'],
  ['lone low surrogate', '<a>\uDE00</a>', 'not-well-formed'],
  ['mismatched end tag', '<a><b></a></b>', 'not-well-formed'],
  ['wrong end tag of the root', '<a></b>', 'not-well-formed'],
  ['unclosed', '<a><b/>', 'not-well-formed'],
  ['two roots', '<a/><b/>', 'not-well-formed'],
  ['trailing text', '<a/>x', 'not-well-formed'],
  ['leading text', 'x<a/>', 'not-well-formed'],
  ['nothing', '', 'not-well-formed'],
  ['blanks only', '  \n', 'not-well-formed'],
  ['markup in a value', '<a b="<"/>', 'not-well-formed'],
  ['unquoted value', '<a b=c/>', 'not-well-formed'],
  ['end of CDATA in text', '<a>]]></a>', 'not-well-formed'],
  ['20,000 levels', '<a>'.repeat(20_000), 'too-deep'],
  ['65 levels', `${'<a>'.repeat(65)}${'</a>'.repeat(65)}`, 'too-deep'],
  ['65 attributes', `<a ${Array.from({ length: 65 }, (_, i) => `b${i}="1"`).join(' ')}/>`, 'too-many'],
  ['10,001 children', `<a>${'<b/>'.repeat(10_001)}</a>`, 'too-many'],
  ['over 1 MiB', `<a>${'x'.repeat(1_048_576)}</a>`, 'too-large'],
  ['over 1 MiB in bytes only', `<a>${'\u20AC'.repeat(400_000)}</a>`, 'too-large'],
];

for (const [name, text, kind] of REFUSED) {
  test(`XML document refused: ${name}`, () => {
    assert.throws(
      () => readXml(text),
      (thrown) => thrown instanceof XmlError && thrown.kind === kind,
    );
  });
}

const el = (name: string, attrs: Record<string, string>, ...children: Array<XmlElement | string>): XmlElement => ({
  name,
  attrs,
  children,
});

const READ: ReadonlyArray<readonly [name: string, text: string, element: XmlElement]> = [
  ['empty element', '<a/>', el('a', {})],
  ['declaration', '<?xml version="1.0" encoding="UTF-8"?>\n<a/>\n', el('a', {})],
  ['byte order mark', '\uFEFF<a/>', el('a', {})],
  ['text and elements in order', '<a>x<b c="1"/>y</a>', el('a', {}, 'x', el('b', { c: '1' }), 'y')],
  ['five entities', '<a b="&quot;&apos;">&amp;&lt;&gt;</a>', el('a', { b: '"\'' }, '&<>')],
  ['character references', '<a>&#233;&#x1F600;</a>', el('a', {}, '\u00E9\u{1F600}')],
  ['CDATA joined with text', '<a>x<![CDATA[<&]]>y</a>', el('a', {}, 'x<&y')],
  ['comment left out', '<a>x<!-- - -->y</a>', el('a', {}, 'xy')],
  ['processing instruction left out', '<?x y?><a><?z?></a>', el('a', {})],
  ['line ends', '<a>x\r\ny\rz</a>', el('a', {}, 'x\ny\nz')],
  ['line ends in a value', '<a b="x\ny\tz"/>', el('a', { b: 'x y z' })],
  ['prefixes as written', '<p:a xmlns:p="u" p:b="1"/>', el('p:a', { 'xmlns:p': 'u', 'p:b': '1' })],
  ['xml:lang', '<a xml:lang="de"/>', el('a', { 'xml:lang': 'de' })],
  [
    'prefix rebound inside',
    '<p:a xmlns:p="u"><p:b xmlns:p="v"/></p:a>',
    el('p:a', { 'xmlns:p': 'u' }, el('p:b', { 'xmlns:p': 'v' })),
  ],
  ['default namespace undeclared', '<a xmlns="u"><b xmlns=""/></a>', el('a', { xmlns: 'u' }, el('b', { xmlns: '' }))],
  [
    'same local attribute with and without prefix',
    '<a xmlns:p="u" b="1" p:b="2"/>',
    el('a', { 'xmlns:p': 'u', b: '1', 'p:b': '2' }),
  ],
  ['attribute by the name of an object member', '<a constructor="1"/>', el('a', { constructor: '1' })],
  ['64 levels', `${'<a>'.repeat(64)}${'</a>'.repeat(64)}`, nested(64)],
  ['names beyond the first plane', '<\u{1F4F1} a\u0301="1"/>', el('\u{1F4F1}', { 'a\u0301': '1' })],
  ['names beyond ASCII', '<\u00FC \u00E9="1"/>', el('\u00FC', { '\u00E9': '1' })],
];

function nested(levels: number): XmlElement {
  return levels === 1 ? el('a', {}) : el('a', {}, nested(levels - 1));
}

for (const [name, text, element] of READ) {
  test(`XML document read: ${name}`, () => {
    assert.deepEqual(readXml(text), element);
    assert.deepEqual(readXml(writeXml(element)), element);
  });
}

test('XML document: an attribute __proto__ changes no object', () => {
  const { attrs } = readXml('<a __proto__="x" b="1"/>');
  assert.deepEqual(attrs, { b: '1' });
  assert.equal(Object.getPrototypeOf(attrs), Object.prototype);
});

test('XML document: its own bounds', () => {
  const refused = (text: string, limits: Parameters<typeof readXml>[1], kind: string): void => {
    assert.throws(() => readXml(text, limits), { name: 'XmlError', kind });
  };
  refused('<a><b/></a>', { depthMax: 1 }, 'too-deep');
  refused('<a b="1" c="2"/>', { attributesMax: 1 }, 'too-many');
  refused('<a><b/><b/></a>', { childrenMax: 1 }, 'too-many');
  refused('<a>\u00FC\u00FC</a>', { bytesMax: 10 }, 'too-large');
  assert.deepEqual(readXml('<a>\u00FC\u00FC</a>', { bytesMax: 11 }), el('a', {}, '\u00FC\u00FC'));
});

const WRITTEN: ReadonlyArray<readonly [name: string, element: XmlElement, text: string]> = [
  ['markup', el('a', { b: '<&>"\'' }, '<&>"\''), '<a b="&lt;&amp;&gt;&quot;\'">&lt;&amp;&gt;"\'</a>'],
  ['end of CDATA', el('a', {}, ']]>'), '<a>]]&gt;</a>'],
  ['white space of a value', el('a', { b: 'x\t\n\ry' }), '<a b="x&#x9;&#xA;&#xD;y"/>'],
  ['line ends of a text', el('a', {}, 'x\t\n\r\ny'), '<a>x\t\n&#xD;\ny</a>'],
  [
    'control characters',
    el('a', { b: '\u0000' }, '\u0001\u0008\u000B\u001F'),
    '<a b="\uFFFD">\uFFFD\uFFFD\uFFFD\uFFFD</a>',
  ],
  ['C1 and DEL are legal', el('a', {}, '\u007F\u0085'), '<a>\u007F\u0085</a>'],
  ['noncharacters', el('a', {}, '\uFFFE\uFFFF'), '<a>\uFFFD\uFFFD</a>'],
  ['lone surrogates', el('a', { b: '\uDC00' }, 'x\uD800<'), '<a b="\uFFFD">x\uFFFD&lt;</a>'],
  ['emoji', el('a', {}, '\u{1F600}'), '<a>\u{1F600}</a>'],
  ['empty text', el('a', {}, ''), '<a></a>'],
];
for (const [name, element, text] of WRITTEN) {
  test(`XML written: ${name}`, () => {
    assert.equal(writeXml(element), text);
    assert.equal(writeXml(readXml(text)), text.replace('></a>', '/>'));
  });
}

for (const name of ['', 'a b', 'a>', '1a', 'a:', ':a', 'a:b:c', 'a"b', '-a', 'a\u0000', 'a\u00D7', 'a:1']) {
  test(`XML written: the name ${JSON.stringify(name)} is refused`, () => {
    assert.throws(() => writeXml(el(name, {})), { name: 'XmlError' });
    assert.throws(() => writeXml(el('a', { [name]: '1' })), { name: 'XmlError' });
  });
}

test('XML written: an opening tag alone', () => {
  assert.equal(writeOpeningTag({ name: 'stream:stream', attrs: { to: 'a&b' } }), '<stream:stream to="a&amp;b">');
});

test('XML written: a tree that is too deep is refused, not overflowed', () => {
  let element = el('a', {});
  for (let level = 0; level < 20_000; level += 1) element = el('a', {}, element);
  assert.throws(() => writeXml(element), { name: 'XmlError', kind: 'too-deep' });
});

test('legal XML text: what XML has stays', () => {
  assert.equal(legalXmlText('a\t\n\r\u007F\uFFFD\u{1F600}<&'), 'a\t\n\r\u007F\uFFFD\u{1F600}<&');
});
test('legal XML text: what it has not becomes U+FFFD', () => {
  assert.equal(legalXmlText('a\u0000\u001B\uD800b\uFFFE'), 'a\uFFFD\uFFFD\uFFFDb\uFFFD');
});

test('XML: 2,000 texts and values of any UTF-16 units survive writing and reading (seed 10)', () => {
  const random = seededRandom(10);
  for (let round = 0; round < 2000; round += 1) {
    let text = '';
    for (let length = Math.floor(random() * 16); length > 0; length -= 1) {
      text += String.fromCharCode(Math.floor(random() * (random() < 0.6 ? 0x80 : 0x10000)));
    }
    const legal = legalXmlText(text);
    const read = readXml(writeXml(el('a', { b: text }, text)));
    assert.equal(read.attrs['b'], legal);
    assert.equal(textOf(read), legal);
  }
});

const MESSAGE = readXml(
  '<message xmlns="c"><body>x</body><body xml:lang="de">y</body><body xmlns="http://www.w3.org/1999/xhtml">z</body>' +
    '<d:delay xmlns:d="urn:xmpp:delay"/><subject xmlns="c">s<i/>t</subject></message>',
);
test('XML tree: a child in its parent\u2019s namespace', () => {
  assert.equal(textOf(childOf(MESSAGE, 'body')!), 'x');
  assert.deepEqual(childrenOf(MESSAGE, 'body').map(textOf), ['x', 'y']);
  assert.equal(textOf(childOf(MESSAGE, 'subject')!), 'st');
  assert.equal(childOf(MESSAGE, 'delay'), undefined);
});
test('XML tree: a child in a namespace of its own', () => {
  assert.equal(textOf(childOf(MESSAGE, 'body', 'http://www.w3.org/1999/xhtml')!), 'z');
  assert.deepEqual(childrenOf(MESSAGE, 'body', 'c').map(textOf), ['x', 'y']);
  assert.equal(childOf(MESSAGE, 'delay', 'urn:xmpp:delay')?.name, 'd:delay');
  assert.equal(childOf(MESSAGE, 'delay', 'c'), undefined);
});
