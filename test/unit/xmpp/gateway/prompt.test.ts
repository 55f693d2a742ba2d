import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jidFromPrompt } from '../../../../src/xmpp/gateway/prompt.ts';

const DOMAINS = { domain: 'sip.example', name: 'sip.xmpp.example' };
const ROWS: ReadonlyArray<readonly [typed: string, jid: string | undefined]> = [
  ['sip:alice@sip.example', 'alice@sip.xmpp.example'],
  ['  <sips:alice@sip.example;transport=tls?subject=x> ', 'alice@sip.xmpp.example'],
  ['alice@sip.example', 'alice@sip.xmpp.example'],
  ['alice@sip.xmpp.example', 'alice@sip.xmpp.example'],
  ['alice', 'alice@sip.xmpp.example'],
  ["sip:o'neil@sip.example", 'o\\27neil@sip.xmpp.example'],
  ['sip:eve@elsewhere.example', undefined],
  ['sip:sip.example', 'sip.example@sip.xmpp.example'],
  ['two words', undefined],
  ['', undefined],
  ['x'.repeat(2_000), undefined],
];
for (const [typed, jid] of ROWS) {
  test(`prompt: ${JSON.stringify(typed.slice(0, 60))} is ${jid ?? 'nobody'}`, () => {
    assert.equal(jidFromPrompt(typed, DOMAINS), jid);
  });
}
