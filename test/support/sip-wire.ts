import { createHash, randomBytes } from 'node:crypto';

/** Just enough of SIP for counting senders and receivers: messages as latin1 text, no checks, little work each. */

/** First value of a header field by its long name; undefined when there is none. */
export function headerOf(message: string, name: string): string | undefined {
  const end = message.indexOf('\r\n\r\n');
  let at = message.indexOf('\r\n');
  const wanted = name.toLowerCase();
  while (at >= 0 && at < end) {
    const colon = message.indexOf(':', at);
    if (
      message
        .slice(at + 2, colon)
        .trimEnd()
        .toLowerCase() === wanted
    ) {
      return message.slice(colon + 1, message.indexOf('\r\n', colon)).trim();
    }
    at = message.indexOf('\r\n', at + 2);
  }
  return undefined;
}

/** The body, decoded as UTF-8. */
export function bodyOf(message: string): string {
  const at = message.indexOf('\r\n\r\n');
  return Buffer.from(message.slice(at + 4), 'latin1').toString('utf8');
}

export function statusOf(message: string): number | undefined {
  return message.startsWith('SIP/2.0 ') ? Number(message.slice(8, 11)) : undefined;
}

/** The branch of the topmost Via. */
export function branchOf(message: string): string {
  const start = message.indexOf(';branch=') + 8;
  let end = start;
  while (end < message.length && !';, \r'.includes(message.charAt(end))) end++;
  return message.slice(start, end);
}

/** The response to a request held as text. */
export function answerTo(request: string, status: string): string {
  let answer = `SIP/2.0 ${status}\r\n`;
  const end = request.indexOf('\r\n\r\n') + 2;
  for (let at = request.indexOf('\r\n') + 2; at < end;) {
    const next = request.indexOf('\r\n', at) + 2;
    const line = request.slice(at, next);
    at = next;
    const colon = line.indexOf(':');
    switch (line.slice(0, colon).trimEnd().toLowerCase()) {
      case 'to':
        answer += line.includes(';tag=') ? line : `${line.slice(0, -2)};tag=counting\r\n`;
        break;
      case 'via':
      case 'from':
      case 'call-id':
      case 'cseq':
      case 'record-route':
        answer += line;
        break;
    }
  }
  return `${answer}Content-Length: 0\r\n\r\n`;
}

/** SIP over a stream: gives whole messages by Content-Length. */
export class MessageSplitter {
  #held = '';

  push(chunk: string): string[] {
    this.#held += chunk;
    const messages: string[] = [];
    let at = 0;
    for (;;) {
      while (this.#held.startsWith('\r\n', at)) at += 2;
      const end = this.#held.indexOf('\r\n\r\n', at);
      if (end < 0) break;
      const length = Number(headerOf(this.#held.slice(at, end + 4), 'Content-Length') ?? '0');
      if (this.#held.length < end + 4 + length) break;
      messages.push(this.#held.slice(at, end + 4 + length));
      at = end + 4 + length;
    }
    this.#held = this.#held.slice(at);
    return messages;
  }
}

/** The answer to a digest challenge with MD5 (RFC 2617, section 3.2.2, qop auth). */
export function digestAnswer(
  challenge: string,
  { user, password, method, uri }: { user: string; password: string; method: string; uri: string },
): string {
  const param = (name: string): string => new RegExp(`[ ,]${name}="?([^",]+)"?`, 'i').exec(challenge)?.[1] ?? '';
  const sha = param('algorithm').toUpperCase() === 'SHA-256';
  const hash = (text: string): string =>
    createHash(sha ? 'sha256' : 'md5')
      .update(text)
      .digest('hex');
  const [realm, nonce, opaque] = [param('realm'), param('nonce'), param('opaque')];
  const cnonce = randomBytes(8).toString('hex');
  const first = hash(`${user}:${realm}:${password}`);
  const second = hash(`${method}:${uri}`);
  const response = hash(`${first}:${nonce}:00000001:${cnonce}:auth:${second}`);
  return (
    `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", ` +
    `algorithm=${sha ? 'SHA-256' : 'MD5'}, cnonce="${cnonce}", qop=auth, nc=00000001` +
    (opaque === '' ? '' : `, opaque="${opaque}"`)
  );
}
