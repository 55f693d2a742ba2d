// Node 20 has both methods; the ES2023 library that we compile against does not name them yet.
type Es2024String = { isWellFormed(): boolean; toWellFormed(): string };

/** Whether the text has no half of a surrogate pair standing alone, so that it has a UTF-8 form. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as Es2024String).isWellFormed();
}

/** The text with each lone surrogate replaced by U+FFFD. */
export function toWellFormed(text: string): string {
  return (text as unknown as Es2024String).toWellFormed();
}
