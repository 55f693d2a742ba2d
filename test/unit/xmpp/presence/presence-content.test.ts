import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml } from '../../../../src/cpim/xml.ts';
import type { PresenceContent } from '../../../../src/xmpp/presence/presence-content.ts';
import { readStanza } from '../../../../src/xmpp/stanza.ts';

const ROWS: ReadonlyArray<readonly [what: string, children: string, expected: Partial<PresenceContent>]> = [
  ['nothing', '', {}],
  ['show', '<show> away </show>', { show: 'away' }],
  ['a show that is none', '<show>invisible</show>', {}],
  ['a show in capitals', '<show>DND</show>', {}],
  ['the first show', '<show>xa</show><show>chat</show>', { show: 'xa' }],
  ['a show of another namespace', `<show xmlns='urn:x'>away</show>`, {}],
  ['priority', '<priority>13</priority>', { priority: 13 }],
  ['a negative priority', '<priority>-128</priority>', { priority: -128 }],
  ['priority with a sign', '<priority>+5</priority>', { priority: 5 }],
  ...['128', '-129', '1e2', '0x10', '', '1.5', 'NaN', '9'.repeat(400)].map(
    (text) => [`a priority of ${text.slice(0, 9)}`, `<priority>${text}</priority>`, {}] as const,
  ),
  ['idle', `<idle xmlns='urn:xmpp:idle:1' since='1969-07-21T02:56:15Z'/>`, { idleSinceMs: -14_159_025_000 }],
  ['idle since never', `<idle xmlns='urn:xmpp:idle:1' since='yesterday'/>`, {}],
  [
    'caps',
    `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>`,
    { caps: { hash: 'sha-1', node: 'n', ver: 'v' } },
  ],
  ['caps of the old form', `<c xmlns='http://jabber.org/protocol/caps' node='n' ver='v'/>`, {}],
  [
    'caps that are too long',
    `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='${'v'.repeat(300)}'/>`,
    {},
  ],
  ['nick', `<nick xmlns='http://jabber.org/protocol/nick'> Jule </nick>`, { nick: 'Jule' }],
  ['a blank nick', `<nick xmlns='http://jabber.org/protocol/nick'> </nick>`, {}],
  ['a language that is none', `<status xml:lang='${'x'.repeat(50)}'>a</status>`, { statuses: [{ text: 'a' }] }],
  [
    'one status per language',
    `<status>a</status><status>b</status><status xml:lang='en'>c</status><status xml:lang='EN'>d</status>`,
    { statuses: [{ text: 'a' }, { text: 'c', language: 'en' }] },
  ],
  ['a blank status', '<status>  </status>', {}],
  ['a delay', `<delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:01Z'/>`, { delay: { stampMs: 1_000 } }],
];
for (const [what, children, expected] of ROWS) {
  test(`presence content: ${what}`, () => {
    const stanza = readStanza(readXml(`<presence from='a@x.example/r' to='b@y.example'>${children}</presence>`));
    const addressed = {
      kind: 'presence',
      type: 'available',
      from: { local: 'a', domain: 'x.example', resource: 'r' },
      to: { local: 'b', domain: 'y.example' },
    };
    assert.deepEqual(stanza, { ...addressed, statuses: [], ...expected });
  });
}

test('presence content: a thousand languages are eight', () => {
  const statuses = Array.from({ length: 1_000 }, (_, number) => `<status xml:lang='x-${number}'>s</status>`).join('');
  const stanza = readStanza(readXml(`<presence from='a@x.example/r' to='b@y.example'>${statuses}</presence>`));
  assert.equal((stanza as unknown as PresenceContent).statuses.length, 8);
});

for (const [type, read] of [['subscribe', 'subscribe'], ['unavailable', 'unavailable'], ['', 'unknown'], ['available', 'unknown'], ['Subscribe', 'unknown'], ['toString', 'unknown']] as const) {
  test(`presence type: "${type}" is ${read}`, () => {
    const stanza = readStanza(readXml(`<presence from='a@x.example/r' to='b@y.example' type='${type}'/>`));
    assert.equal((stanza as { type: string }).type, read);
  });
} // prettier-ignore

test('presence of type error has its error, whatever there is', () => {
  const xml = `<presence from='a@x.example' to='b@y.example' type='error'><show>away</show></presence>`;
  const stanza = readStanza(readXml(xml));
  assert.deepEqual((stanza as { error?: unknown }).error, { condition: 'undefined-condition', type: 'cancel' });
});
