import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { writeOpeningTag, type XmlElement, XmlStreamReader } from '../../cpim/xml.ts';
import { CLIENT_NAMESPACE } from '../stanza-content.ts';
import type { ServiceTarget } from './service-address.ts';

export type SecuredSocketOptions = {
  /** Of the service, as its certificate has it: A-labels. */
  readonly domain: string;
  /** As the stream header has it. */
  readonly streamTo: string;
  /** PEM of the roots; absent: those of Node. */
  readonly ca?: string;
};

const STREAMS = 'http://etherx.jabber.org/streams';
const STARTTLS = 'urn:ietf:params:xml:ns:xmpp-tls';
/** Features before TLS are few. */
const UNITS_MAX = 16_384;

/**
 * Connects to one place and secures the connection, before anything is said that somebody else should not hear: TLS 1.2
 * or later, and a certificate for the domain of the service, whatever its host is called (RFC 6120, section 13.7.2).
 *
 * Rejects with words for the operator. `signal` gives it up.
 */
export async function securedSocket(
  target: ServiceTarget,
  address: string,
  options: SecuredSocketOptions,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const socket = connectTcp({ host: address, port: target.port });
  socket.setNoDelay(true);
  const abort = (): void => void socket.destroy();
  signal.addEventListener('abort', abort);
  try {
    await happened(socket, 'connect');
    if (!target.isDirect) await startTls(socket, options.streamTo);
    const secured = connectTls({
      socket,
      servername: options.domain,
      minVersion: 'TLSv1.2',
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(target.isDirect ? { ALPNProtocols: ['xmpp-client'] } : {}),
    });
    await happened(secured, 'secureConnect');
    return secured;
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** STARTTLS (RFC 6120, section 5.4): nothing that came in the clear counts for what follows. */
function startTls(socket: Socket, to: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    let stage: 'header' | 'features' | 'asked' | 'begins' | 'over' = 'header';
    const end = (error?: Error): void => {
      if (stage === 'over') return;
      stage = 'over';
      reader.stop();
      socket.removeListener('data', read);
      socket.removeListener('close', closed);
      socket.removeListener('error', end);
      if (error === undefined) resolve();
      else reject(error);
    };
    const isOver = (): boolean => stage === 'over';
    const element = (found: XmlElement): void => {
      if (stage === 'features' && localName(found) === 'features') {
        const offer = found.children.some(
          (child) => typeof child !== 'string' && child.name === 'starttls' && child.attrs['xmlns'] === STARTTLS,
        );
        if (offer) {
          stage = 'asked';
          socket.write(`<starttls xmlns='${STARTTLS}'/>`);
        } else end(new Error('the service offers no TLS'));
      } else if (stage === 'asked' && localName(found) === 'proceed') stage = 'begins';
      else end(new Error(`the service does not begin TLS: ${localName(found)}`));
    };
    const reader = new XmlStreamReader(
      {
        onOpen: () => {
          if (stage === 'header') stage = 'features';
        },
        onElement: element,
        onClose: () => end(new Error('the service closed the stream before TLS')),
        onError: (error) => end(new Error(`bad input from the service: ${error.message}`)),
      },
      { unitsMax: UNITS_MAX, depthMax: 16 },
    );
    const read = (chunk: Buffer): void => {
      let text: string;
      try {
        text = decoder.decode(chunk, { stream: true });
      } catch {
        end(new Error('bad input from the service: not UTF-8'));
        return;
      }
      // Tag by tag: what follows in the clear would be taken for something said under TLS.
      let at = 0;
      while (at < text.length && stage !== 'begins' && !isOver()) {
        const next = text.indexOf('>', at) + 1;
        const until = next === 0 ? text.length : next;
        reader.write(text.slice(at, until));
        at = until;
      }
      if (stage !== 'begins') return;
      if (text.slice(at).trim() === '') end();
      else end(new Error('the service said more than that TLS begins'));
    };
    const closed = (): void => end(new Error('the connection was lost before TLS'));
    socket.on('data', read);
    socket.once('close', closed);
    socket.once('error', end);
    const attrs = { xmlns: CLIENT_NAMESPACE, 'xmlns:stream': STREAMS, to, version: '1.0' };
    socket.write(`<?xml version='1.0'?>${writeOpeningTag({ name: 'stream:stream', attrs })}`);
  });
}

function happened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      socket.removeListener('error', failed);
      socket.removeListener('close', closed);
      resolve();
    };
    const failed = (error: Error): void => {
      socket.removeListener(event, done);
      socket.removeListener('close', closed);
      // Whatever follows is told to nobody, and must not come out of the socket.
      socket.on('error', () => undefined);
      reject(error);
    };
    const closed = (): void => failed(new Error('the connection was lost'));
    socket.once(event, done);
    socket.once('error', failed);
    socket.once('close', closed);
  });
}

/** As much of it as a name of XMPP has. */
function localName({ name }: XmlElement): string {
  return name.slice(name.indexOf(':') + 1).slice(0, 64);
}
