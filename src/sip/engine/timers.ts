/** RFC 3261, table 4: what every timer derives from; ms. */
export const T1_MS = 500;
export const T2_MS = 4_000;

/** Timers B, F, H and J: how long a transaction lasts; ms. */
export const TRANSACTION_MS = 64 * T1_MS;

/**
 * When a busy server says 100 to a non-INVITE request: when the client's timer E reaches T2, after retransmissions at
 * 0.5, 1.5 and 3.5 s (RFC 4320, section 4.1); ms.
 */
export const TRYING_AFTER_MS = T1_MS + 2 * T1_MS + 4 * T1_MS;
