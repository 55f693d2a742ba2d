/** Bounds and patience of the engine. Every one protects against a peer that means ill, or is broken. */
export type EngineLimits = {
  /** Requests the handler is busy with; one more is answered 503. */
  readonly requestsUnderWayMax: number;
  /** UDP transactions kept to absorb retransmissions; past it answers are sent and not remembered. */
  readonly transactionsKeptMax: number;
  /** The same, by what their answers and names measure; bytes. */
  readonly transactionsKeptBytesMax: number;
  /** INVITEs that wait for their ACK, each with its whole request; one more is answered 503. */
  readonly inviteTransactionsMax: number;
  /** Connections that others opened to this server: in all, and from one address. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** A connection nobody has sent anything on for this long after it was opened is closed; ms. */
  readonly silentMs: number;
  /** A message that has begun must be whole within this time; ms. */
  readonly partialMs: number;
  /** A connection without traffic for this long is closed; longer than phones wait between two REGISTERs; ms. */
  readonly idleMs: number;
  /** How long one attempt to open a connection may take, TLS included; ms. */
  readonly connectMs: number;
  /** What may wait to be sent on one connection before its reader counts as dead; bytes. */
  readonly pendingBytesMax: number;
  readonly headerBytesMax: number;
  readonly bodyBytesMax: number;
};

export const ENGINE_LIMITS: EngineLimits = {
  requestsUnderWayMax: 20_000,
  transactionsKeptMax: 500_000,
  transactionsKeptBytesMax: 384 * 1024 * 1024,
  inviteTransactionsMax: 2_000,
  connectionsMax: 20_000,
  connectionsPerAddressMax: 500,
  silentMs: 30_000,
  partialMs: 30_000,
  idleMs: 3_900_000,
  connectMs: 4_000,
  pendingBytesMax: 8 * 1024 * 1024,
  headerBytesMax: 32 * 1024,
  bodyBytesMax: 1024 * 1024,
};
