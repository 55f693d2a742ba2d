import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contactsByDevice, contactsOfDevice, deviceOf, isDeviceName } from '../../../src/core/devices.ts';
import { aBinding } from '../../support/builders.ts';

const named: ReadonlyArray<readonly [instance: string | undefined, device: string | undefined]> = [
  ['<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>', 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6'],
  ['<URN:UUID:1>', 'URN:UUID:1'],
  ['<urn:x:a/b?c>', 'urn:x:a/b?c'],
  ['urn:uuid:1', undefined],
  ['<mac:1>', undefined],
  ['<urn:a b>', undefined],
  ['<urn:a<b>', undefined],
  [`<urn:${'a'.repeat(300)}>`, undefined],
  [undefined, undefined],
];
for (const [instance, device] of named) {
  test(`device: ${instance?.slice(0, 60)} is ${device ?? 'none'}`, () => {
    assert.equal(deviceOf(instance === undefined ? {} : { instance }), device);
    if (device !== undefined) assert.ok(isDeviceName(device));
  });
}

test('device: its contacts, whichever way its URN is written, the newest first, one without an answer last', () => {
  const contact = (name: string, instance: string | undefined, refreshedAtMs: number) =>
    aBinding({ contact: `sip:${name}`, refreshedAtMs, ...(instance === undefined ? {} : { instance }) });
  const bindings = [
    contact('a', '<urn:uuid:A>', 1),
    contact('b', undefined, 5),
    contact('c', '<urn:uuid:a>', 3),
    contact('d', '<urn:uuid:a>', 2),
    contact('e', undefined, 5),
  ];
  const names = (lists: ReturnType<typeof contactsByDevice>) =>
    lists.map((list) => list.map((binding) => binding.contact.slice(4)).join(''));
  assert.deepEqual(names(contactsByDevice(bindings)), ['cda', 'b', 'e']);
  assert.deepEqual(names(contactsByDevice(bindings, (binding) => binding.contact === 'sip:c')), ['dac', 'b', 'e']);
  assert.equal(contactsOfDevice(bindings, 'URN:uuid:A').length, 3);
});
