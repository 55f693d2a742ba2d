import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textFromHtml } from '../../../src/cpim/html-text.ts';

const READ: ReadonlyArray<readonly [name: string, html: string, text: string]> = [
  ['plain', 'hello', 'hello'],
  ['tags dropped', '<html><body><b>he</b>l<i>lo</i></body></html>', 'hello'],
  ['line breaks', 'a<br>b<BR/>c<br />d', 'a\nb\nc\nd'],
  ['two line breaks', 'a<br><br>b', 'a\n\nb'],
  ['paragraphs', '<p>a</p><p>b</p>', 'a\nb'],
  ['nested blocks give one line end', '<div><div>a</div></div><div>b</div>', 'a\nb'],
  ['list', '<ul>\n<li>a</li>\n<li>b</li>\n</ul>c', 'a\nb\nc'],
  ['table', '<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>', 'a b\nc'],
  ['white space folded', '  a \n\t b  <br>  c  ', 'a b\nc'],
  ['space between elements kept', '<b>a</b> <i>b</i>', 'a b'],
  ['preformatted', '<pre>a\n  b</pre>c', 'a\n  b\nc'],
  [
    'entities',
    '&lt;b&gt; &amp;amp; &quot;&apos; &eacute;&#233;&#xE9; &euro;&#8364; &#128512;',
    '<b> &amp; "\' \u00E9\u00E9\u00E9 \u20AC\u20AC \u{1F600}',
  ],
  ['non-breaking spaces stay spaces', 'a&nbsp;&nbsp;b', 'a  b'],
  ['unknown and unfinished entities', '&unknown; & &; &#; &#x; &#xZ; &amp', '&unknown; & &; &#; &#x; &#xZ; &amp'],
  ['entity by the name of an object member', '&constructor;&__proto__;', '&constructor;&__proto__;'],
  ['references that are no characters', '&#0;&#xD800;&#x110000;&#99999999999;', '\uFFFD\uFFFD\uFFFD\uFFFD'],
  ['references of windows-1252', '&#150;&#x80;', '\u2013\u20AC'],
  ['decoded once', '&amp;lt;b&amp;gt;', '&lt;b&gt;'],
  ['entity that would be a tag', '&lt;script&gt;alert(1)&lt;/script&gt;', '<script>alert(1)</script>'],
  ['script dropped', 'a<script>if (a<b) alert("</b>")</script>b', 'ab'],
  ['script in upper case', 'a<SCRIPT src="x">y</ScRiPt>b', 'ab'],
  ['script that does not end', 'a<script>b', 'a'],
  ['style and title dropped', '<head><title>t</title><style>p{}</style></head>a', 'a'],
  ['comment dropped', 'a<!-- <b> -- > -->b', 'ab'],
  ['comment that does not end', 'a<!-- b', 'a'],
  ['doctype and processing instruction', '<!DOCTYPE html><?xml version="1.0"?>a', 'a'],
  ['quoted > in an attribute', '<a href="x>y" title=\'>\'>a</a>', 'a'],
  ['apostrophe in a sloppy tag', "<a it's>a</a> don't", "a don't"],
  ['less-than that is none', 'a < b <3 <', 'a < b <3 <'],
  ['tag that does not end', 'a <b', 'a <b'],
  ['attribute that does not end', 'a <b c="d>e', 'a <b c="d>e'],
  ['right to left', '<p dir="rtl">\u05E9\u05DC\u05D5\u05DD</p>', '\u05E9\u05DC\u05D5\u05DD'],
  ['as Pidgin writes it', '<FONT FACE="Arial"><SPAN STYLE="color: #000">hi &amp; bye</SPAN></FONT>', 'hi & bye'],
  ['nothing', '', ''],
  ['tags only', '<p><br></p>', ''],
];
for (const [name, html, text] of READ) {
  test(`HTML to text: ${name}`, () => {
    assert.equal(textFromHtml(html), text);
  });
}

const MANY = 300_000;
const HOSTILE: ReadonlyArray<readonly [name: string, html: string]> = [
  ['tags that never end', '<a '.repeat(MANY)],
  ['attributes that never end', '<a b="'.repeat(MANY)],
  ['attributes with quotes of both kinds', `<a b='x" c="y' `.repeat(MANY / 4)],
  ['comments that never end', '<!--'.repeat(MANY)],
  ['comments nearly ended', `<!--${'--'.repeat(MANY)}`],
  ['declarations that never end', '<!'.repeat(MANY)],
  ['scripts that never end', '<script>'.repeat(MANY)],
  ['scripts nearly ended', `<script>${'</scrip'.repeat(MANY)}`],
  ['end tags', '</p>'.repeat(MANY)],
  ['less-than signs', '<'.repeat(MANY)],
  ['ampersands', '&'.repeat(MANY)],
  ['references that never end', '&#x1'.repeat(MANY)],
  ['blanks', ' \n'.repeat(MANY)],
  ['line breaks', '<br>'.repeat(MANY)],
  ['one long name', `<${'a'.repeat(MANY)}>`],
  ['levels', '<div>'.repeat(MANY)],
];
for (const [name, html] of HOSTILE) {
  test(`HTML to text takes its time in proportion: ${name}`, () => {
    const start = process.cpuUsage();
    textFromHtml(html);
    const { user } = process.cpuUsage(start);
    // Some milliseconds when it is one pass; minutes when each start is looked at to the end.
    assert.ok(user < 1_500_000, `${user} microseconds of CPU`);
  });
}
