/**
 * Largest frame that leaves for a drachtio server, its length in front included; bytes. The server reads into a ring
 * of 12,228 bytes and overwrites what does not fit: a longer frame, or several that it has not yet read, would leave
 * it waiting for ever for an end that is gone.
 */
export const FRAME_BYTES_MAX = 12_000;

/** A length above 10^8 is no length. */
const DIGITS_MAX = 8;
/** What is handed up of a frame that is too large: its fields, and the header of the message in it. */
const HEAD_BYTES = 64 * 1024;
const MARK = 0x23;

/** Takes one frame's payload; `isCut`: it was too large, and this is how it begins. */
export type OnFrame = (payload: Buffer, isCut: boolean) => void;

/**
 * Cuts the stream of a control connection into frames: `<length>#<payload>`, the length in decimal digits, of bytes.
 *
 * Linear in what is read; of a frame above `frameBytesMax` nothing but its head is ever kept.
 */
export class ControlFrameReader {
  readonly #frameBytesMax: number;
  #chunks: Buffer[] = [];
  #have = 0;
  /** Nothing can be read before so many bytes are there. */
  #need = 1;
  #skip = 0;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Reads on. @returns false when this is no control connection: what follows has no meaning any more */
  push(chunk: Buffer, onFrame: OnFrame): boolean {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    if (this.#have < this.#need) return true;
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#have);
    let isSound = true;
    for (;;) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length);
        this.#skip -= skipped;
        bytes = bytes.subarray(skipped);
      }
      this.#need = bytes.length + 1;
      if (bytes.length === 0) break;
      const mark = bytes.subarray(0, DIGITS_MAX + 1).indexOf(MARK);
      if (mark === -1 && bytes.length <= DIGITS_MAX) break;
      const digits = mark === -1 ? '' : bytes.toString('latin1', 0, mark);
      if (!/^\d+$/.test(digits)) {
        isSound = false;
        break;
      }
      const length = Number(digits);
      const start = mark + 1;
      const isCut = length > this.#frameBytesMax;
      const end = start + (isCut ? Math.min(length, HEAD_BYTES) : length);
      if (bytes.length < end) {
        this.#need = end;
        break;
      }
      onFrame(bytes.subarray(start, end), isCut);
      this.#skip = start + length - end;
      bytes = bytes.subarray(end);
    }
    this.#chunks = bytes.length === 0 ? [] : [bytes];
    this.#have = bytes.length;
    return isSound;
  }
}

/** The fields of a frame and the SIP message that follows them, if there is one; one character per byte. */
export type ControlMessage = { readonly fields: readonly string[]; readonly text: string };

export function controlMessage(payload: Buffer): ControlMessage {
  const text = payload.toString('latin1');
  const end = text.indexOf('\r\n');
  return end === -1
    ? { fields: text.split('|'), text: '' }
    : { fields: text.slice(0, end).split('|'), text: text.slice(end + 2) };
}

/** Text as the library is given it: one character per byte of its UTF-8, so that every byte of a body has one. */
export function toWireText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The bytes of a frame around this payload. */
export function frameOf(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${payload.length}#`), payload]);
}
