/**
 * The part of @xmpp/component 0.13.1 that `link-component-stream.ts` uses. The package comes without types; these were
 * written from its source, members with a leading underscore included, because what must be replaced hangs on them.
 */
declare module '@xmpp/component' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';

  export interface ComponentEntity extends EventEmitter {
    /** Milliseconds for which `open` and the handshake wait; 0 waits for ever. */
    timeout: number;
    socket: Socket | null;
    /** What the elements of the stream are announced on: `start`, `element`, `end`, `error`. */
    parser: EventEmitter | null;
    Parser: new () => EventEmitter;
    /** Reconnects a second after every loss until it is stopped. */
    readonly reconnect: { stop(): void };
    socketParameters(service: string): { host: string; port: number };
    _onData(chunk: Buffer): void;
    /** Opens the socket; resolves when it is connected. */
    connect(service: string): Promise<unknown>;
    /** Writes the stream header; on its answer the package does the handshake and emits `online`. */
    open(options: { domain: string }): Promise<unknown>;
  }

  export function component(options: { service: string; domain: string; password: string }): ComponentEntity;
}
