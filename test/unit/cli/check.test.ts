import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { check } from '../../../src/cli/check.ts';
import { needs } from '../../support/peers.ts';
import { testCertificate } from '../../support/self-signed.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** What `interpres check` says about a file with this section `sip`. */
function saidOf(t: TestContext, sip: string, rest = '', folder = temporaryFolder('check')): string {
  const file = join(folder, 'interpres.yaml');
  writeFileSync(file, `domains: [sip.example]\nsip: ${sip}\n${rest}`);
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

for (const [what, names, isOver, told] of [
  [
    'is for another domain',
    'other.example',
    false,
    /^ {2}note: links\.federation\.certificate is not for sip\.example: /m,
  ],
  ['is over', 'sip.example', true, /^ {2}note: the certificate of links\.federation is over since \d{4}-/m],
  ['is good', 'sip.example', false, undefined],
] as const) {
  test(`check looks at the certificate for XMPP servers: one that ${what}`, needs('openssl'), (t) => {
    const folder = temporaryFolder('check');
    const { certificate, key } = testCertificate([`DNS:${names}`], isOver ? { isOver } : {});
    writeFileSync(join(folder, 'cert.pem'), certificate);
    writeFileSync(join(folder, 'key.pem'), key);
    const link = "{ type: xmpp-s2s, listen: ['tcp://127.0.0.1:5269'], certificate: cert.pem, key: key.pem }";
    const said = saidOf(t, "{ listen: ['udp://127.0.0.1:5060'] }", `links: { federation: ${link} }\n`, folder);
    assert.equal(said.match(/^ {2}note: /gm)?.length ?? 0, told === undefined ? 0 : 1);
    if (told !== undefined) assert.match(said, told);
  });
}
