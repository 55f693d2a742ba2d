import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { check } from '../../../src/cli/check.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** What `interpres check` says about a file with this section `sip`. */
function saidOf(t: TestContext, sip: string): string {
  const file = join(temporaryFolder('check'), 'interpres.yaml');
  writeFileSync(file, `domains: [sip.example]\nsip: ${sip}\n`);
  let said = '';
  t.mock.method(process.stdout, 'write', (text: string) => {
    said += text;
    return true;
  });
  check(file);
  t.mock.restoreAll();
  return said;
}

test('check says where SIP listens', (t) => {
  assert.match(saidOf(t, "{ listen: ['udp://127.0.0.1:5060'] }"), /SIP listens: udp:\/\/127\.0\.0\.1:5060$/m);
});

test('check says which drachtio servers carry SIP, and what they lack', (t) => {
  const said = saidOf(
    t,
    "{ engine: drachtio, drachtio: [{ host: edge.example, secret: rig-5f1c, tls: {} }, { listen: 'tcp://127.0.0.1:9023', trust: [127.0.0.1], secret: rig-5f1c }] }",
  );
  assert.match(said, /carried by drachtio: edge\.example:9022 \(TLS\), whoever connects to tcp:\/\/127\.0\.0\.1:9023;/);
  assert.match(said, /no Route headers, no bodies that are no text, no messages above 11 kB/);
});
