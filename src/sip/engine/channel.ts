import type { SipFlow } from '../message.ts';

/** A way to one far end: a listener's socket and an address, or a connection. */
export interface Channel {
  readonly flow: SipFlow;
  /** Streams: nothing is retransmitted over them. */
  readonly isReliable: boolean;
  /** Whether bytes would leave, or wait for a connection that is being opened. */
  readonly isUsable: boolean;
  /** Takes bytes to be sent, in order; false when the channel is gone. */
  send(bytes: Buffer): boolean;
  /** The far end has promised to say something at least this often; one that is silent for longer is gone. */
  expectEvery?(ms: number): void;
  /** From now on `rider` hears when the channel is gone; a channel that was never connected has nothing to tell. */
  board(rider: Rider): void;
  leave(rider: Rider): void;
}

/** Someone who has to know when a connection is gone. */
export interface Rider {
  /** `wasOpen`: it had been open, so that what was sent may have arrived. */
  connectionLost(wasOpen: boolean): void;
}

/** What arrives, from whichever transport. Nothing of it throws. */
export interface MessageSink {
  onMessage(bytes: Buffer, channel: Channel): void;
  /** A stream that makes no sense any more; `bytes` begin with the message at fault. It is closed afterwards. */
  onStreamFault(bytes: Buffer, channel: Channel): void;
}

/** Address and port as they stand in a URI or a Via: IPv6 in brackets. */
export function hostPort(address: string, port: number | undefined): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return port === undefined ? host : `${host}:${port}`;
}
