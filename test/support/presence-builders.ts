import type { Device, Person, PresenceDocument, Tuple } from '../../src/cpim/presence/document.ts';
import type { Publication } from '../../src/core/presence/publication.ts';
import { anAddress } from './builders.ts';

/** An open service that says nothing else. */
export function aTuple(parts: Partial<Tuple> = {}): Tuple {
  return {
    id: 't1',
    basic: 'open',
    rich: {},
    notes: [],
    extensions: [],
    statusExtensions: [],
    deviceIds: [],
    ...parts,
  };
}

export function aPerson(parts: Partial<Person> = {}): Person {
  return { id: 'p1', rich: {}, notes: [], extensions: [], ...parts };
}

export function aDevice(parts: Partial<Device> = {}): Device {
  return { id: 'd1', deviceId: 'urn:x-mac:0003ba4811e3', rich: {}, notes: [], extensions: [], ...parts };
}

/** A document of alice with one open service, where the test says nothing else. */
export function aDocument(parts: Partial<PresenceDocument> = {}): PresenceDocument {
  return {
    entity: 'pres:alice@sip.example',
    tuples: [aTuple()],
    persons: [],
    devices: [],
    notes: [],
    extensions: [],
    ...parts,
  };
}

export function aPublication(parts: Partial<Publication> = {}): Publication {
  return {
    presentity: anAddress('alice@sip.example'),
    number: 1,
    document: aDocument(),
    expiresAtMs: 1_700_003_600_000,
    publishedAtMs: 1_700_000_000_000,
    changedAtMs: 1_700_000_000_000,
    ...parts,
  };
}
