/**
 * Why a content cannot be read. A SIP peer gets 415 with Accept for 'unsupported', 400 for 'malformed'; in the core they
 * are 'content-unsupported' and 'content-malformed'.
 */
export class ContentError extends Error {
  readonly kind: 'unsupported' | 'malformed';
  /** A feature that a Require header names and that we do not have, as the sender wrote it (RFC 3862, section 3.5). */
  readonly feature: string | undefined;

  /** @param message for the log; it may quote names that the sender chose, never his text */
  constructor(kind: 'unsupported' | 'malformed', message: string, feature?: string) {
    super(message);
    this.name = 'ContentError';
    this.kind = kind;
    this.feature = feature;
  }
}
