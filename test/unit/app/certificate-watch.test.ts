import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CertificateWatch } from '../../../src/app/certificate-watch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { LogRecorder } from '../../support/log-recorder.ts';
import { needs } from '../../support/peers.ts';
import { testAuthority, testCertificate } from '../../support/self-signed.ts';

const DAY_MS = 86_400_000;
const openssl = needs('openssl');
const inDays = (days: number): Date => new Date(Math.floor(Date.now() / 1_000) * 1_000 + days * DAY_MS + 3_600_000);

type Row = readonly [what: string, days: number, level: 'none' | 'warn' | 'error', daysLeft: number];
const rows: readonly Row[] = [
  ['that lasts says nothing', 25, 'none', 25],
  ['within the warning time warns', 20, 'warn', 20],
  ['that is over is an error', -2, 'error', -2],
];
for (const [what, days, level, daysLeft] of rows) {
  test(`certificate watch: one ${what}`, openssl, () => {
    const until = inDays(days);
    const pem = testCertificate(['DNS:a.example'], { until }).certificate;
    const log = new LogRecorder();
    const clock = new FakeClock(Date.now());
    const watch = new CertificateWatch([{ key: 'sip.tls', pem, warnDays: 21 }], clock, log);
    watch.start();
    const said = log.lines.map((line) => line.level);
    assert.deepEqual(said, level === 'none' ? [] : [level]);
    assert.deepEqual(watch.health(), { 'sip.tls': { notAfter: until.toISOString(), daysLeft } });
    watch.stop();
  });
}

test('certificate watch: it looks again each day, and a chain ends with its first part', openssl, () => {
  const leaf = testCertificate(['DNS:a.example'], { until: inDays(22) }).certificate;
  const log = new LogRecorder();
  const clock = new FakeClock(Date.now());
  // The authority lasts two days.
  const pem = `${leaf}\n${testAuthority().certificate}`;
  const watch = new CertificateWatch([{ key: 'sip.tls', pem, warnDays: 1 }], clock, log);
  watch.start();
  assert.equal(log.lines.length, 0);
  clock.advance(DAY_MS);
  assert.equal(log.lines.length, 1);
  clock.advance(DAY_MS);
  assert.equal(log.lines.length, 2);
  watch.stop();
  clock.advance(DAY_MS);
  assert.equal(log.lines.length, 2);
});

test('certificate watch: a file without a certificate is not its affair', () => {
  const watch = new CertificateWatch([{ key: 'sip.tls', pem: 'x', warnDays: 1 }], new FakeClock(), new LogRecorder());
  watch.start();
  assert.deepEqual(watch.health(), {});
});
