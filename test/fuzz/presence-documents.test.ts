import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../src/cpim/content-error.ts';
import type { PresenceDocument } from '../../src/cpim/presence/document.ts';
import { PRESENCE_TYPES_READ, readPresence } from '../../src/cpim/presence/presence-formats.ts';
import { readPidf, writePidf } from '../../src/cpim/presence/pidf.ts';
import { readWatcherInfo, writeWatcherInfo } from '../../src/cpim/presence/watcherinfo.ts';
import { readXpidf, writeXpidf } from '../../src/cpim/presence/xpidf.ts';
import { FULL_DOCUMENT } from '../support/presence-documents.ts';
import { loadVectors } from '../support/vectors.ts';
import { aWatcherList } from '../support/watcher-lists.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';

/** Mutated presence documents and watcher information through their readers and writers. */
const RUN = new FuzzRun({ seed: 3863, cases: 6_000 });

const CORPUS: readonly string[] = [
  writePidf(FULL_DOCUMENT),
  writeXpidf(FULL_DOCUMENT),
  writeWatcherInfo(aWatcherList['every status and event'], 1),
  ...['rfc3863', 'rfc4480', 'rfc4482', 'rfc5196', 'rfc8048', 'rfc3858'].flatMap((rfc) =>
    loadVectors<string[], unknown>(`${rfc}/documents`).map((vector) => vector.in.join('\n')),
  ),
  `<p:presence xmlns:p="urn:ietf:params:xml:ns:cpim-pidf:1.0"><p:presentity id="pres:a@b"/><p:tuple name="1"><p:status><p:value>close</p:value></p:status></p:tuple></p:presence>`,
];
const PIECES: readonly string[] = [
  '&', '&nope;', '&#0;', '&#x1F600;', '<!DOCTYPE a>', '<!--', ']]>', '<![CDATA[', '\u0000', '\uFFFF', '\uD800', '\u{1F4F1}', ' xmlns=""',
  ' xmlns:dm="urn:x"', ' xmlns:rpid="urn:ietf:params:xml:ns:pidf"', ' xmlns:caps="urn:ietf:params:xml:ns:pidf:rpid"', ' xml:lang="cs"',
  ' xml:lang=""', ' id="p1"', ' id="1"', ' impp:mustUnderstand="1"', ' from="9999-12-31T23:59:59.999999999-23:59"', ' until="0000-01-01T00:00:00Z"',
  '<note/>', '<status/>', '<rpid:other/>', '<rpid:unknown/>', '<rpid:mood/>', '<rpid:lunch/>', '<dm:person id="q"/>', '<x/>', '<caps:type/>',
  '<show xmlns="jabber:client">xa</show>', '<rpid:sphere>x<rpid:home/></rpid:sphere>', '<rpid:place-is><rpid:text/></rpid:place-is>', '</tuple>',
  '-1', '1e9', '99999999999999999999', '"', "'", '>', '<', ' ', '\r\n', 'é', '__proto__', 'constructor', 'ID-_x', 'a'.repeat(5_000), '<a>'.repeat(40),
]; // prettier-ignore

/** One case, the same for the same seed and number. */
function mutated(number: number): string {
  const below = caseNumbers(RUN.seed, number);
  let text = CORPUS[below(CORPUS.length)] ?? '';
  for (let times = 1 + below(4); times > 0; times -= 1) {
    const at = below(text.length + 1);
    const piece = PIECES[below(PIECES.length)] ?? '';
    const other = CORPUS[below(CORPUS.length)] ?? '';
    // Where a tag begins, so that the result is often still XML.
    const tag = text.indexOf('<', at);
    const end = text.indexOf('>', at);
    switch (below(8)) {
      case 0:
        text = text.slice(0, at) + piece + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + below(20));
        break;
      case 2:
        text = text.slice(0, at) + other.slice(below(other.length));
        break;
      case 3:
        text = tag < 0 ? text : text.slice(0, tag) + piece + text.slice(tag);
        break;
      case 4:
        if (end > 0 && text[end - 1] !== '/' && text[end - 1] !== '?')
          text = text.slice(0, end) + piece + text.slice(end);
        break;
      case 5: {
        // A whole element somewhere else.
        const element = /<([\w:-]+)[^<>]*(?:\/>|>[^<>]*<\/\1>)/.exec(other.slice(below(other.length)))?.[0] ?? '';
        text = tag < 0 ? text : text.slice(0, tag) + element + text.slice(tag);
        break;
      }
      case 6: {
        const quote = text.indexOf('"', at);
        text = quote < 0 ? text : text.slice(0, quote + 1) + piece + text.slice(quote + 1);
        break;
      }
      default: {
        // One name for another, in both tags.
        const names = [...text.matchAll(/<([\w:-]+)/g)].map((match) => match[1] ?? '');
        const from = names[below(names.length)] ?? 'x';
        const to = names[below(names.length)] ?? 'x';
        text = text.replaceAll(new RegExp(`(</?)${from}(?=[\\s/>])`, 'g'), `$1${to}`);
      }
    }
  }
  return text;
}

/** What the reader gives; undefined when it refuses with the error that it may refuse with. */
function read<T>(reader: () => T): T | undefined {
  try {
    return reader();
  } catch (thrown) {
    if (thrown instanceof ContentError && thrown.message !== '') return undefined;
    throw thrown;
  }
}

function hasIdTwice(document: PresenceDocument): boolean {
  const ids: string[] = [];
  JSON.stringify(document, (key, value: unknown) => {
    if (key === 'id' && typeof value === 'string') ids.push(value);
    return value;
  });
  return new Set(ids).size < ids.length;
}

/** Runs a case; what it breaks is thrown. Says how many of its readings were good. */
function check(number: number): number {
  const text = mutated(number);
  let good = 0;
  for (const type of PRESENCE_TYPES_READ) {
    for (const lenient of [false, true]) {
      const document = read(() => readPresence(type, text, { lenient }));
      if (document === undefined) continue;
      good += 1;
      assert.deepEqual(JSON.parse(JSON.stringify(document)), document);
      const written = writePidf(document);
      const again = readPidf(written);
      // An id of RPID that is taken is not written: nothing could refer to it.
      if (!hasIdTwice(document)) assert.deepEqual(again, document);
      assert.equal(writePidf(again), written);
      assert.equal(writePidf(document), written);
      const old = writeXpidf(document);
      assert.equal(readXpidf(old).tuples.length, Math.max(1, document.tuples.length));
    }
  }
  const info = read(() => readWatcherInfo(text));
  for (const list of info?.lists ?? []) {
    good += 1;
    assert.deepEqual(readWatcherInfo(writeWatcherInfo(list, info?.version ?? 0)).lists, [list]);
  }
  return good;
}

test(`presence documents: ${RUN.title}: no throw but ContentError, what is read comes back`, () => {
  let good = 0;
  for (const number of RUN.numbers()) {
    try {
      good += check(number);
    } catch (thrown) {
      throw RUN.fault(number, mutated(number).slice(0, 500), thrown);
    }
  }
  // So that it does not end up testing the XML reader alone.
  if (RUN.only === undefined) assert.ok(good > RUN.cases / 4, `${good} of ${RUN.cases} readings were good`);
});
