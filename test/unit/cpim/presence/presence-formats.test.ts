import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../../src/cpim/content-error.ts';
import {
  PRESENCE_TYPES_READ,
  PRESENCE_TYPES_WRITTEN,
  readPresence,
  writePresence,
} from '../../../../src/cpim/presence/presence-formats.ts';
import { aTuple } from '../../../support/presence-builders.ts';
import { aPresenceDocument } from '../../../support/presence-documents.ts';

const document = aPresenceDocument({ tuples: [aTuple({ contact: { uri: 'sip:juliet@example.com' } })] });

for (const type of PRESENCE_TYPES_WRITTEN) {
  test(`presence formats: ${type} is written and read`, () => {
    assert.ok(PRESENCE_TYPES_READ.includes(type));
    const read = readPresence(`${type.toUpperCase()}; charset=UTF-8`, writePresence(type, document));
    assert.deepEqual(read.tuples, document.tuples);
  });
}

for (const type of PRESENCE_TYPES_READ) {
  test(`presence formats: ${type} is read, and its faults are named`, () => {
    assert.throws(
      () => readPresence(type, '<presence/>'),
      (thrown) => thrown instanceof ContentError && thrown.kind === 'malformed',
    );
  });
}

for (const type of ['text/plain', 'application/pidf-diff+xml', '', 'pidf+xml']) {
  test(`presence formats: ${JSON.stringify(type)} is not known`, () => {
    assert.throws(() => readPresence(type, '<presence/>'), { name: 'ContentError', kind: 'unsupported' });
    assert.throws(() => writePresence(type, document), { name: 'ContentError', kind: 'unsupported' });
  });
}

test('presence formats: leniency reaches PIDF', () => {
  const text = `<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'><tuple id='5001'><status><basic>open</basic></status></tuple></presence>`;
  assert.throws(() => readPresence('application/pidf+xml', text), ContentError);
  assert.equal(readPresence('application/pidf+xml', text, { lenient: true }).tuples[0]?.id, 'ID-5001');
});
