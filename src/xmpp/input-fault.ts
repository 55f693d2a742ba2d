import type { XmlError } from '../cpim/xml.ts';

/** What a fault of what comes in is called on every kind of stream (RFC 6120, section 4.9.3). */
const CONDITIONS = {
  'not-well-formed': 'not-well-formed',
  restricted: 'restricted-xml',
  'bad-namespace': 'bad-namespace-prefix',
  encoding: 'unsupported-encoding',
  'too-large': 'policy-violation',
  'too-deep': 'policy-violation',
  'too-many': 'policy-violation',
} as const satisfies Record<XmlError['kind'], string>;

/** The condition of the stream error that such input ends a stream with. */
export function conditionOfFault({ kind }: XmlError): string {
  return CONDITIONS[kind];
}
