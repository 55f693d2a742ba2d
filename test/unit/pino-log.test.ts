import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPinoLog } from '../../src/pino-log.ts';

test('log: a field as long as a stanza is cut, and says so', () => {
  const lines: string[] = [];
  const log = createPinoLog('info', { write: (line: string) => void lines.push(line) });
  const to = `${'a'.repeat(1_999)}\u202e${'b'.repeat(260_000)}`;
  log.child({ link: 'office' }).warn({ jid: 'juliet@xmpp.example', to, count: 3 }, 'stanza dropped');
  const [line = ''] = lines;
  assert.ok(line.length < 2_500, `${line.length}`);
  const { jid, to: shown, count, link, msg } = JSON.parse(line) as Record<string, unknown>;
  assert.deepEqual(
    { jid, count, link, msg },
    { jid: 'juliet@xmpp.example', count: 3, link: 'office', msg: 'stanza dropped' },
  );
  assert.equal(shown, `${to.slice(0, 2_000)}… (262000 characters)`);
});
