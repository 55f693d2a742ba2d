import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptedType } from '../../../../src/sip/events/accept.ts';
import { formatEvent, parseEvent, servedPackage } from '../../../../src/sip/events/event-header.ts';

const PIDF = 'application/pidf+xml';
const XPIDF = 'application/xpidf+xml';
const OFFERED = [PIDF, XPIDF] as const;

const ACCEPTED: ReadonlyArray<readonly [name: string, values: readonly string[], type: string | undefined]> = [
  ['one type', [PIDF], PIDF],
  ['the other type', [XPIDF], XPIDF],
  ['any capitals', ['Application/PIDF+xml'], PIDF],
  ['everything', ['*/*'], PIDF],
  ['everything of application', ['application/*'], PIDF],
  ['everything of text', ['text/*'], undefined],
  ['another type', ['application/cpim-pidf+xml'], undefined],
  ['nothing', [''], undefined],
  ['no list', [',,'], undefined],
  ['both, in one field', [`${XPIDF}, ${PIDF}`], PIDF],
  ['both, in two fields', [XPIDF, PIDF], PIDF],
  ['both, the second better', [`${PIDF};q=0.5, ${XPIDF};q=0.9`], XPIDF],
  ['a type with q=0', [`${PIDF};q=0`], undefined],
  ['all but one type', [`${PIDF};q=0, */*`], XPIDF],
  ['all but one type, the other way round', [`*/*, ${PIDF};q=0.0`], XPIDF],
  ['the name counts more than the range', [`application/*;q=0.1, ${XPIDF};q=0.9`], XPIDF],
  ['the range of a type counts more than that of all', ['*/*;q=1, application/*;q=0'], undefined],
  ['a parameter', [`${PIDF};version=2`], PIDF],
  ['a quoted comma', [`text/plain;x="a,b", ${PIDF}`], PIDF],
  ['a q that is none is passed over', [`${PIDF};q=high, ${XPIDF};q=0.1`], XPIDF],
  ['blanks', [` ${PIDF} ; q=0.7 `], PIDF],
  ['what presence clients send', ['application/pidf+xml, application/watcherinfo+xml, application/rlmi+xml'], PIDF],
  ['a prefix of the type is another', ['application/pidf'], undefined],
  ['a range that is none', ['app*/*'], undefined],
];
for (const [name, values, type] of ACCEPTED) {
  test(`Accept: ${name} -> ${type ?? 'none'}`, () => assert.equal(acceptedType(values, OFFERED), type));
}

test('Accept: hundreds of fields with hundreds of values hurt nobody (CVE-2018-7284)', () => {
  const many = Array.from({ length: 250 }, (_, at) => Array.from({ length: 100 }, () => `text/x${at};q=0.1`).join(','));
  const startMs = performance.now();
  assert.equal(acceptedType([...many, XPIDF], OFFERED), XPIDF);
  assert.ok(performance.now() - startMs < 1_000);
});

type Read = ReturnType<typeof parseEvent>;
const EVENTS: ReadonlyArray<readonly [value: string, event: Read]> = [
  ['presence', { package: 'presence' }],
  ['presence.winfo', { package: 'presence.winfo' }],
  ['presence;id=7', { package: 'presence', id: '7' }],
  ['presence ; id = a.b', { package: 'presence', id: 'a.b' }],
  ['presence;adaptive-min-rate=1;id=x', { package: 'presence', id: 'x' }],
  ['Presence', { package: 'Presence' }],
  ['dialog;sla', { package: 'dialog' }],
  ['', undefined],
  [';id=1', undefined],
  ['presence;id', undefined],
  ['presence;id=', undefined],
  ['presence;id="a b"', undefined],
  ['presence;id=1;id=2', undefined],
  ['presence id=1', undefined],
  ['presence,dialog', undefined],
  [`presence;id=${'x'.repeat(129)}`, undefined],
];
for (const [value, event] of EVENTS) {
  test(`Event: ${JSON.stringify(value.slice(0, 40))}`, () => assert.deepEqual(parseEvent(value), event));
}

test('Event: packages are compared to the letter, templates are part of the name', () => {
  for (const name of ['Presence', 'presence.winfo.winfo', 'dialog', '__proto__']) {
    assert.equal(servedPackage(name), undefined);
  }
  assert.equal(servedPackage('presence.winfo'), 'presence.winfo');
  assert.equal(formatEvent('presence', undefined), 'presence');
  assert.equal(formatEvent('presence.winfo', 'a1'), 'presence.winfo;id=a1');
});
