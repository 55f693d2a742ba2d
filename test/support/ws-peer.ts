import { once } from 'node:events';
import { WebSocket, type ClientOptions } from 'ws';
import { Inbox, RawMessage } from './raw-sip.ts';

export type WsPeerOptions = ClientOptions & {
  readonly scheme?: 'ws' | 'wss';
  /** What is asked for in the handshake; `sip` when absent. */
  readonly protocols?: readonly string[];
};

/** A SIP client on a WebSocket that does what the test says, and nothing by itself. */
export class WsPeer extends Inbox {
  readonly webSocket: WebSocket;
  /** Messages as they came: whether each was binary. */
  readonly binary: boolean[] = [];
  /** Texts that are no SIP: answers to keep-alives. */
  readonly texts: string[] = [];
  readonly closed: Promise<number>;

  private constructor(webSocket: WebSocket) {
    super();
    this.webSocket = webSocket;
    webSocket.on('error', () => undefined);
    webSocket.on('message', (data, isBinary) => {
      const bytes = data as Buffer;
      if (bytes.toString().trim() === '') {
        this.texts.push(bytes.toString());
        return;
      }
      this.binary.push(isBinary);
      this.add(new RawMessage(bytes, 0));
    });
    this.closed = new Promise((resolve) => webSocket.once('close', (code) => resolve(code)));
  }

  /** @throws Error `Unexpected server response: <status>` when the handshake is refused */
  static async connect(port: number, options: WsPeerOptions = {}): Promise<WsPeer> {
    const { scheme = 'ws', protocols = ['sip'], ...rest } = options;
    const webSocket = new WebSocket(`${scheme}://127.0.0.1:${port}/`, [...protocols], rest);
    const peer = new WsPeer(webSocket);
    await once(webSocket, 'open');
    return peer;
  }

  send(message: string | Buffer, isBinary = false): void {
    this.webSocket.send(message, { binary: isBinary });
  }

  close(): void {
    this.webSocket.terminate();
  }
}
