/**
 * Control characters of C0 and C1, DEL, line and paragraph separators, and the marks that turn the direction of
 * writing (Unicode, UAX #9): what came from the wire could steer the operator's terminal or fake a line with them.
 */
const STEERING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** One line of text from elsewhere, safe to print: each character that would steer the terminal is a space. */
export function printable(text: string): string {
  return text.replace(STEERING, ' ');
}

/** A value as JSON over several lines, safe to print: characters that would steer the terminal are escaped. */
export function printableJson(value: unknown): string {
  // JSON itself escapes those of C0; the line breaks that are left are its own.
  return JSON.stringify(value, null, 2).replace(STEERING, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
