import { ContentError } from '../cpim/content-error.ts';
import { GatewayError } from './errors.ts';

/**
 * What a content that cannot be read amounts to. Where it requires a feature that is not there the sender is told its
 * name (RFC 3922, section 4.2.7), without control characters and cut.
 */
export function contentFailure(cause: ContentError): GatewayError {
  const { kind, message, feature } = cause;
  const name = feature?.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ').slice(0, NAME_LENGTH_MAX);
  const details = name === undefined ? {} : { text: `It requires ${name}, which is not known here.` };
  return new GatewayError(`content-${kind}`, message, { cause, details });
}

const NAME_LENGTH_MAX = 100;

/** @throws GatewayError for what is wrong with a content that is read, as `contentFailure` has it */
export function readingContent<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof ContentError) throw contentFailure(thrown);
    throw thrown;
  }
}
