import { randomBytes } from 'node:crypto';
import { roundNote } from './counting-watchers.ts';
import { PatientSipEnd } from './patient-sip-end.ts';
import { headerOf, statusOf } from './sip-wire.ts';

export type PublisherOptions = {
  readonly transport: 'udp' | 'tcp';
  readonly port: number;
  readonly domain: string;
  readonly user: string;
};

/** Publishes numbered states of one user, one after the other, each until it is answered. */
export class CountingPublisher {
  readonly #options: PublisherOptions;
  readonly #end: PatientSipEnd;
  readonly #callId = randomBytes(9).toString('base64url');
  #cseq = 0;
  #etag: string | undefined;
  /** How often a publication had to be made anew. */
  restarts = 0;
  /** The newest that was answered with success; -1: none. */
  acknowledged = -1;

  private constructor(options: PublisherOptions, end: PatientSipEnd) {
    this.#options = options;
    this.#end = end;
  }

  static async open(options: PublisherOptions): Promise<CountingPublisher> {
    const { transport, port } = options;
    const end = await PatientSipEnd.open({ transport, port, onRequest: () => undefined });
    return new CountingPublisher(options, end);
  }

  /** Many users on one socket, which whoever opened it closes. */
  static over(end: PatientSipEnd, options: PublisherOptions): CountingPublisher {
    return new CountingPublisher(options, end);
  }

  /** Resolves with the final status. A publication that the server does not know (412) is made anew. */
  async publish(round: number): Promise<number> {
    const answer = await this.#ask(round);
    const status = statusOf(answer) ?? 0;
    if (status === 412 && this.#etag !== undefined) {
      this.#etag = undefined;
      this.restarts += 1;
      return this.publish(round);
    }
    if (status < 300) {
      this.#etag = headerOf(answer, 'SIP-ETag');
      this.acknowledged = round;
    }
    return status;
  }

  close(): Promise<void> {
    return this.#end.close();
  }

  #ask(round: number): Promise<string> {
    const { user, domain } = this.#options;
    const uri = `sip:${user}@${domain}`;
    const body =
      `<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:${user}@${domain}">` +
      `<tuple id="t1"><status><basic>open</basic></status><note>${roundNote(round)}</note></tuple></presence>`;
    const cseq = ++this.#cseq;
    return this.#end.request(
      (via) =>
        `PUBLISH ${uri} SIP/2.0\r\nVia: ${via}\r\nMax-Forwards: 70\r\nFrom: <${uri}>;tag=publisher\r\nTo: <${uri}>\r\n` +
        `Call-ID: ${this.#callId}\r\nCSeq: ${cseq} PUBLISH\r\nEvent: presence\r\nExpires: 3600\r\n` +
        (this.#etag === undefined ? '' : `SIP-If-Match: ${this.#etag}\r\n`) +
        `Content-Type: application/pidf+xml\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  }
}
