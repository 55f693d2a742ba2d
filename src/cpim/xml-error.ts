/**
 * Why a text is refused as XML. An XMPP link answers each with the stream error beside it (RFC 6120, section 4.9.3).
 *
 * `not-well-formed`: not-well-formed; `restricted` (DTD, processing instruction, comment in a stream): restricted-xml;
 * `bad-namespace` (unbound or reserved prefix): bad-namespace-prefix; `encoding`: unsupported-encoding;
 * `too-large`, `too-deep`, `too-many` (attributes, children): policy-violation.
 */
export type XmlErrorKind =
  'not-well-formed' | 'restricted' | 'bad-namespace' | 'encoding' | 'too-large' | 'too-deep' | 'too-many';

/** What every reader and writer of XML here throws or hands out, and nothing else. */
export class XmlError extends Error {
  readonly kind: XmlErrorKind;

  constructor(kind: XmlErrorKind, message: string) {
    super(message);
    this.name = 'XmlError';
    this.kind = kind;
  }
}
