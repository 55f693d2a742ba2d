/** One line of a ladder diagram: an arrow between two of the parties, or a remark across all of them. */
export type Rung = { readonly from: number; readonly to: number; readonly text: string } | { readonly remark: string };

const COLUMN = 44;
const MARGIN = 8;

/**
 * Draws an exchange as it happens, one line a rung, in plain ASCII so that any terminal shows it right:
 *
 *         phone                              Interpres                          XMPP server
 *           |------- MESSAGE "hello" ----------->|                                    |
 */
export class Ladder {
  readonly #names: readonly string[];
  readonly #write: (line: string) => void;

  constructor(names: readonly string[], write: (line: string) => void) {
    this.#names = names;
    this.#write = write;
  }

  /** The names of the parties, each over its line. */
  head(): void {
    let line = '';
    for (const [index, name] of this.#names.entries()) {
      const start = Math.max(0, this.#at(index) - Math.floor(name.length / 2));
      line = line.padEnd(start) + name;
    }
    this.#write(line);
    this.#write(this.#lines());
  }

  draw(rung: Rung): void {
    if ('remark' in rung) {
      this.#write(this.#lines());
      this.#write(`${' '.repeat(MARGIN)}* ${printable(rung.remark)}`);
      return;
    }
    const [left, right] = [Math.min(rung.from, rung.to), Math.max(rung.from, rung.to)];
    const width = this.#at(right) - this.#at(left) - 1;
    const text = printable(rung.text);
    const label = ` ${text.length > width - 6 ? `${text.slice(0, width - 9)}...` : text} `;
    const before = Math.floor((width - label.length) / 2);
    const shaft = `${'-'.repeat(before)}${label}${'-'.repeat(width - label.length - before)}`;
    const arrow = rung.to > rung.from ? `${shaft.slice(0, -1)}>` : `<${shaft.slice(1)}`;
    const line = this.#lines();
    this.#write(line.slice(0, this.#at(left) + 1) + arrow + line.slice(this.#at(right)));
  }

  #at(index: number): number {
    return MARGIN + index * COLUMN;
  }

  #lines(): string {
    return this.#names.map((_, index) => (index === 0 ? ' '.repeat(MARGIN) : ' '.repeat(COLUMN - 1)) + '|').join('');
  }
}

function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
