/**
 * A dialog of a subscription (RFC 3261, section 12; RFC 6665, section 4.4.1): what a request within it is made of. Plain
 * data, stored as JSON before any packet that depends on it leaves.
 */
export type Dialog = {
  readonly callId: string;
  readonly localTag: string;
  /** Absent while the far side has not answered. */
  remoteTag?: string;
  /** The URI of our From, without brackets. */
  readonly localUri: string;
  /** The URI of our To, without brackets. */
  readonly remoteUri: string;
  /** The far side's Contact, a URI without brackets: where requests within the dialog go. */
  remoteTarget: string;
  /** Route values in the order of sending, as they stood in Record-Route. */
  routeSet: readonly string[];
  /** The flow the far side's last request came over, where it is the way back (an opaque name of the SIP engine). */
  flow?: string;
  /** The CSeq number of our last request; 0 before the first. */
  localCseq: number;
  /**
   * Numbers up to this one may be used without storing the dialog again. After a crash the next one is above it: gaps are
   * allowed, repetitions are not (RFC 3261, section 12.2.2).
   */
  localCseqReserved: number;
  /** The CSeq number of the far side's last request; 0 before the first. */
  remoteCseq: number;
};
