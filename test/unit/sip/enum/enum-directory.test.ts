import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import type { NumberService } from '../../../../src/core/number-plan.ts';
import { parsePhoneNumber, type PhoneNumber } from '../../../../src/core/phone-number.ts';
import type { NaptrRecord } from '../../../../src/dns/dns-queries.ts';
import { domainOfNumber, EnumDirectory } from '../../../../src/sip/enum/enum-directory.ts';
import { applyNaptrRule } from '../../../../src/sip/enum/naptr-rule.ts';
import { enumRecord, naptr, ZoneDns } from '../../../support/zone-dns.ts';

const number = (text: string): PhoneNumber => {
  const parsed = parsePhoneNumber(text);
  assert.ok(parsed !== undefined);
  return parsed;
};
const NUMBER = number('+441632960083');
const NAME = '3.8.0.0.6.9.2.3.6.1.4.4.e164.arpa';

test('ENUM: a number as a name (RFC 6116, section 3.2)', () => {
  assert.equal(domainOfNumber(NUMBER, 'e164.arpa'), NAME);
  assert.equal(domainOfNumber(number('+15551234'), 'numbers.example'), '4.3.2.1.5.5.5.1.numbers.example');
});

const RULES: ReadonlyArray<readonly [what: string, rule: string, result: string | undefined]> = [
  ['a fixed result', '!^.*$!sip:info@example.com!', 'sip:info@example.com'],
  ['a back reference', '!^\\+44(.*)$!sip:0\\1@example.com!', 'sip:01632960083@example.com'],
  ['two of them, out of order', '/^\\+44(16)(.*)$/sip:\\2-\\1@x.example/', 'sip:32960083-16@x.example'],
  ['the flag for capitals', '!^.*$!sip:a@b!i', 'sip:a@b'],
  ['an escaped delimiter', '!^.*$!sip:a\\!b@c.example!', 'sip:a!b@c.example'],
  ['an escaped backslash', '!^.*$!sip:a\\\\b@c.example!', 'sip:a\\b@c.example'],
  ['what is outside of the match stays', '!^\\+44!sip:!', 'sip:1632960083'],
  ['no match', '!^\\+1(.*)$!sip:\\1@example.com!', undefined],
  ['a delimiter that is a digit', '1^.*$1sip:a@b1', undefined],
  ['no end', '!^.*$!sip:a@b', undefined],
  ['too many parts', '!^.*$!sip:a@b!!', undefined],
  ['an unknown flag', '!^.*$!sip:a@b!g', undefined],
  ['the group 0', '!^.*$!sip:\\0@b!', undefined],
  ['a group that took nothing', '!^(x)?.*$!sip:a\\1@b!', 'sip:a@b'],
  ['nothing', '', undefined],
  ['no expression', '!!sip:a@b!', undefined],
  ['an evil expression', '!^((.*)*)*x$!sip:a@b!', undefined],
  ['a result without end', `!^.*$!${'\\0'.repeat(3)}${'a'.repeat(800)}!`, undefined],
];
for (const [what, rule, result] of RULES) {
  test(`ENUM: a rule with ${what}`, () => {
    assert.equal(applyNaptrRule(rule, NUMBER), result);
  });
}

const bob = '!^.*$!sip:bob@b.example!';
type Row = readonly [what: string, records: readonly NaptrRecord[], service: NumberService, found: readonly string[]];
const ROWS: readonly Row[] = [
  ['E2U+sip (RFC 3764)', [enumRecord(100, 10, 'E2U+sip', bob)], 'im', ['bob@b.example']],
  ['E2U+sip to watch', [enumRecord(100, 10, 'E2U+sip', bob)], 'pres', ['bob@b.example']],
  ['E2U+im (RFC 4979)', [enumRecord(100, 10, 'E2U+im', '!^.*$!im:bob@b.example!')], 'im', ['bob@b.example']],
  ['E2U+im to watch', [enumRecord(100, 10, 'E2U+im', '!^.*$!im:bob@b.example!')], 'pres', []],
  ['E2U+pres (RFC 3953)', [enumRecord(100, 10, 'E2U+pres', '!^.*$!pres:bob@b.example!')], 'pres', ['bob@b.example']],
  ['E2U+pres to write', [enumRecord(100, 10, 'E2U+pres', '!^.*$!pres:bob@b.example!')], 'im', []],
  ['other services', [enumRecord(100, 10, 'E2U+msg', '!^.*$!mailto:info@example.com!'), enumRecord(100, 20, 'E2U+web:http', '!^.*$!http://x.example!')], 'im', []],
  ['several types in one', [enumRecord(100, 10, 'E2U+voice:tel+sip', bob)], 'im', ['bob@b.example']],
  ['the older form', [enumRecord(100, 10, 'sip+E2U', bob)], 'im', ['bob@b.example']],
  ['small letters', [enumRecord(100, 10, 'e2u+SIP', bob)], 'im', ['bob@b.example']],
  ['order before preference', [enumRecord(100, 10, 'E2U+sip', '!^.*$!sip:c@c.example!'), enumRecord(50, 90, 'E2U+sip', bob), enumRecord(50, 80, 'E2U+im', '!^.*$!im:a@a.example!')], 'im', ['a@a.example', 'bob@b.example', 'c@c.example']],
  ['a URI of another scheme than its service', [enumRecord(100, 10, 'E2U+sip', '!^.*$!mailto:bob@b.example!')], 'im', []],
  ['a URI without a user', [enumRecord(100, 10, 'E2U+sip', '!^.*$!sip:b.example!')], 'im', []],
  ['a URI with parameters', [enumRecord(100, 10, 'E2U+sip', '!^.*$!sips:bob@b.example:5061;transport=tls!')], 'im', ['bob@b.example']],
  ['a rule that does not match, and one that does', [enumRecord(1, 1, 'E2U+sip', '!^\\+1!sip:x@x!'), enumRecord(2, 1, 'E2U+sip', bob)], 'im', ['bob@b.example']],
  ['flags of another kind', [{ ...enumRecord(1, 1, 'E2U+sip', bob), flags: 's' }], 'im', []],
  ['no records', [], 'im', []],
]; // prettier-ignore
for (const [what, records, service, found] of ROWS) {
  test(`ENUM: ${what}: ${service} gives [${found.join(', ')}]`, async () => {
    const directory = new EnumDirectory({ dns: new ZoneDns({ naptr: { [NAME]: records } }), zone: 'e164.arpa' });
    assert.deepEqual(await directory.lookUp(NUMBER, service), found);
  });
}

const further = (to: string): NaptrRecord => naptr(1, 1, '', to, '');

test('ENUM: a record that leads on is followed, five times and no more, and never in a circle', async () => {
  const chain = (length: number): Record<string, readonly NaptrRecord[]> => ({
    [NAME]: [further('n1.example.')],
    ...Object.fromEntries(Array.from({ length }, (_, at) => [`n${at + 1}.example`, [further(`n${at + 2}.example.`)]])),
    [`n${length + 1}.example`]: [enumRecord(1, 1, 'E2U+sip', bob)],
  });
  const found = async (naptr: Record<string, readonly NaptrRecord[]>): Promise<readonly string[]> =>
    new EnumDirectory({ dns: new ZoneDns({ naptr }), zone: 'e164.arpa' }).lookUp(NUMBER, 'im');
  assert.deepEqual(await found(chain(4)), ['bob@b.example']);
  assert.deepEqual(await found(chain(5)), []);
  assert.deepEqual(await found({ [NAME]: [further(`${NAME}.`)] }), []);
  assert.deepEqual(await found({ [NAME]: [further('.')] }), []);
});

test('ENUM: name servers that fail are no answer', async () => {
  const dns = new ZoneDns({ failing: [`naptr ${NAME}`] });
  await assert.rejects(
    new EnumDirectory({ dns, zone: 'e164.arpa' }).lookUp(NUMBER, 'im'),
    (error) => error instanceof GatewayError && error.code === 'recipient-unavailable' && error.transient,
  );
});
