import type { Content } from '../../src/cpim/content.ts';
import * as imdn from '../../src/cpim/imdn.ts';
import { cpimFromContent } from '../../src/cpim/message-cpim.ts';
import type { Wants } from '../../src/cpim/operation.ts';

/** What a content tells about another message. */
export function noticeFrom(content: Content): imdn.Notice | undefined {
  return imdn.noticeFrom(content, cpimFromContent(content));
}

/** What the author of a content asks to be told. */
export function wantsFrom(content: Content): Wants | undefined {
  const cpim = cpimFromContent(content);
  return cpim === undefined ? undefined : imdn.wantsFrom(cpim);
}
