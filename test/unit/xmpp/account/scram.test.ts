import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { ScramExchange, type ScramName } from '../../../../src/xmpp/account/scram.ts';

/** RFC 5802, section 5, and RFC 7677, section 3: user `user`, password `pencil`. */
const EXAMPLES: ReadonlyArray<{ name: ScramName; nonce: string; challenge: string; final: string; proof: string }> = [
  {
    name: 'SCRAM-SHA-1',
    nonce: 'fyko+d2lbbFgONRv9qkxdawL',
    challenge: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
    final: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
    proof: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
  },
  {
    name: 'SCRAM-SHA-256',
    nonce: 'rOprNGfwEbeRWgbNEkqO',
    challenge: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    final: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    proof: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
];
for (const { name, nonce, challenge, final, proof } of EXAMPLES) {
  test(`scram: the example of the standard with ${name}`, async () => {
    const exchange = new ScramExchange(name, 'user', 'pencil', nonce);
    assert.equal(exchange.first(), `n,,n=user,r=${nonce}`);
    assert.equal(await exchange.final(challenge), final);
    assert.equal(exchange.isProof(proof), true);
    assert.equal(exchange.isProof(proof.replace(/.=*$/, 'x=')), false);
    assert.equal(exchange.isProof('e=other-error'), false);
  });
}

test('scram: a name with , and = is escaped, and no proof counts before the challenge', () => {
  const exchange = new ScramExchange('SCRAM-SHA-1', 'a,b=c', 'x', 'n');
  assert.equal(exchange.first(), 'n,,n=a=2Cb=3Dc,r=n');
  assert.equal(exchange.isProof('v=AAAA'), false);
});

const BAD: ReadonlyArray<readonly [string, string]> = [
  ['a nonce that is not ours', 'r=other,s=QSXCR+Q6sek8bf92,i=4096'],
  ['our nonce and nothing of its own', 'r=abc,s=QSXCR+Q6sek8bf92,i=4096'],
  ['too few rounds', 'r=abcd,s=QSXCR+Q6sek8bf92,i=1'],
  ['more rounds than anybody needs', 'r=abcd,s=QSXCR+Q6sek8bf92,i=500001'],
  ['a number beyond all numbers', 'r=abcd,s=QSXCR+Q6sek8bf92,i=99999999999999999999'],
  ['an extension that must be understood', 'm=x,r=abcd,s=QSXCR+Q6sek8bf92,i=4096'],
  ['nothing', ''],
  ['too much', `r=abcd${'x'.repeat(5_000)},s=QSXCR+Q6sek8bf92,i=4096`],
];
for (const [what, challenge] of BAD) {
  test(`scram: a challenge with ${what} is refused`, async () => {
    const exchange = new ScramExchange('SCRAM-SHA-1', 'user', 'pencil', 'abc');
    await assert.rejects(exchange.final(challenge), (thrown) => GatewayError.of(thrown).code === 'request-malformed');
  });
}
