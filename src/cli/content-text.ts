import { bytesOf } from '../cpim/content.ts';
import type { Content } from '../cpim/content.ts';

/** Content as an operator can read it: its type and its text, or its size where it is no text. */
export function contentText(
  content: Content,
): { readonly type: string; readonly text: string } | { type: string; bytes: number } {
  if ('text' in content) return { type: content.type, text: content.text };
  return { type: content.type, bytes: bytesOf(content).length };
}
