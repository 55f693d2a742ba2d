import { decodeHtmlEntities } from './html-entities.ts';

/** Elements that stand on lines of their own. */
const BLOCKS: ReadonlySet<string> = new Set(
  (
    'address article aside blockquote body center dd details div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 ' +
    'header hr html li main nav ol p pre section table tr ul'
  ).split(' '),
);
/** Elements whose content is no text of the message; it goes up to their own end tag, whatever stands in between. */
const SILENT: ReadonlySet<string> = new Set(['script', 'style', 'title', 'iframe', 'noembed', 'noframes', 'xmp']);
const CELLS: ReadonlySet<string> = new Set(['td', 'th']);
/** Longest tag name looked at. */
const NAME_LENGTH_MAX = 32;

/**
 * The text of an HTML document or fragment, as a plain-text reader would want it: tags dropped, `br` and block elements
 * as line ends, runs of white space as one space (kept in `pre`), character references decoded, the content of scripts,
 * styles and titles dropped. No link, image or attribute is looked at.
 *
 * One pass over any input: an unclosed comment or script drops the rest, an unclosed tag is text.
 */
export function textFromHtml(html: string): string {
  const out = new TextBuilder();
  let at = 0;
  while (at < html.length) {
    const open = html.indexOf('<', at);
    if (open < 0) break;
    out.text(html.slice(at, open));
    const next = html.charCodeAt(open + 1);
    if (html.startsWith('<!--', open)) {
      at = behind(html, '-->', open + 4);
    } else if (next === 0x21 || next === 0x3f) {
      at = behind(html, '>', open + 2);
    } else if (isLetter(next) || (next === 0x2f && isLetter(html.charCodeAt(open + 2)))) {
      const end = tagEnd(html, open + 1);
      if (end < 0) {
        // No tag ends from here on, so nothing behind this is one.
        at = open;
        break;
      }
      at = tag(html, open + 1, end, out);
    } else {
      out.text('<');
      at = open + 1;
    }
  }
  out.text(html.slice(at));
  return out.result();
}

/** Applies a tag whose name begins at `start` and that ends before `end`; gives where reading goes on. */
function tag(html: string, start: number, end: number, out: TextBuilder): number {
  const isEnd = html[start] === '/';
  const name = tagName(html, isEnd ? start + 1 : start);
  if (name === 'br') out.lineEnd();
  else if (BLOCKS.has(name)) out.block();
  else if (CELLS.has(name)) out.text(' ');
  if (name === 'pre') out.preformatted(!isEnd);
  if (isEnd || !SILENT.has(name)) return end;
  const closing = new RegExp(`</${name}`, 'gi');
  closing.lastIndex = end;
  const found = closing.exec(html);
  // The end tag itself is read as any other.
  return found === null ? html.length : found.index;
}

function tagName(html: string, from: number): string {
  let at = from;
  while (at - from < NAME_LENGTH_MAX && (isLetter(html.charCodeAt(at)) || isDigit(html.charCodeAt(at)))) at += 1;
  return html.slice(from, at).toLowerCase();
}

/** Behind the `>` that ends a tag, quoted attribute values skipped; -1 when there is none. */
function tagEnd(html: string, from: number): number {
  for (let at = from; at < html.length; at += 1) {
    const code = html.charCodeAt(at);
    if (code === 0x3e) return at + 1;
    // A quote counts only where a value begins; elsewhere it is a character of a sloppy tag.
    if ((code === 0x22 || code === 0x27) && html.charCodeAt(at - 1) === 0x3d) {
      at = html.indexOf(html.charAt(at), at + 1);
      if (at < 0) return -1;
    }
  }
  return -1;
}

function behind(html: string, mark: string, from: number): number {
  const found = html.indexOf(mark, from);
  return found < 0 ? html.length : found + mark.length;
}

function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Collects text the way a browser lays it out: white space folded, no blanks at line ends, no empty line by blocks. */
class TextBuilder {
  #out = '';
  #atLineStart = true;
  #space = false;
  #preformatted = false;

  text(raw: string): void {
    if (raw === '') return;
    if (this.#preformatted) {
      this.#add(decodeHtmlEntities(raw).replaceAll('\r\n', '\n'));
      return;
    }
    // Folded before references are decoded, so that &nbsp; and &#10; stay what their writer wanted.
    let start = -1;
    for (let at = 0; at <= raw.length; at += 1) {
      const code = raw.charCodeAt(at);
      const isSpace = code === 0x20 || (code >= 0x09 && code <= 0x0d);
      if (isSpace || at === raw.length) {
        if (start >= 0) this.#add(decodeHtmlEntities(raw.slice(start, at)));
        start = -1;
        if (isSpace) this.#space = true;
      } else if (start < 0) {
        start = at;
      }
    }
  }

  lineEnd(): void {
    this.#out += '\n';
    this.#atLineStart = true;
    this.#space = false;
  }

  block(): void {
    if (this.#atLineStart) this.#space = false;
    else this.lineEnd();
  }

  preformatted(on: boolean): void {
    this.#preformatted = on;
  }

  /** The text without line ends at either end. */
  result(): string {
    let start = 0;
    let end = this.#out.length;
    while (this.#out[start] === '\n') start += 1;
    while (end > start && this.#out[end - 1] === '\n') end -= 1;
    return this.#out.slice(start, end).replaceAll('\u00A0', ' ');
  }

  #add(text: string): void {
    if (text === '') return;
    if (this.#space && !this.#atLineStart) this.#out += ' ';
    this.#out += text;
    this.#space = false;
    this.#atLineStart = text.endsWith('\n');
  }
}
