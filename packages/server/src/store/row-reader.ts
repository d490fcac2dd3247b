import type { PgRow } from '../ports/postgres.ts';

/** Takes the text values of one row in column order and turns each into what the statement promised. */
export class RowReader {
  readonly #row: PgRow;
  #next = 0;

  constructor(row: PgRow) {
    this.#row = row;
  }

  /** SQL NULL as `undefined`. */
  optional(): string | undefined {
    const value = this.#row[this.#next];
    this.#next += 1;
    if (value === undefined) throw new TypeError(`the statement returned only ${String(this.#row.length)} columns`);
    return value ?? undefined;
  }

  text(): string {
    const value = this.optional();
    if (value === undefined) throw new TypeError(`column ${String(this.#next)} is NULL`);
    return value;
  }

  flag(): boolean {
    return this.text() === 't';
  }

  /** A 32-bit number: version, attribute number, row count. */
  int(): number {
    const value = Number(this.text());
    if (!Number.isInteger(value)) throw new TypeError(`column ${String(this.#next)} is not an integer`);
    return value;
  }

  /** A 64-bit counter. */
  bigint(): bigint {
    return BigInt(this.text());
  }

  /** Comma-separated 32-bit numbers; NULL and '' are the empty list. */
  ints(): readonly number[] {
    return (this.optional() ?? '')
      .split(',')
      .filter((part) => part !== '')
      .map(Number);
  }

  /** A JSON array of strings; NULL is the empty list. */
  jsonTexts(): readonly string[] {
    const parsed: unknown = JSON.parse(this.optional() ?? '[]');
    if (!Array.isArray(parsed)) throw new TypeError(`column ${String(this.#next)} is not a JSON array`);
    return parsed.map(String);
  }
}
