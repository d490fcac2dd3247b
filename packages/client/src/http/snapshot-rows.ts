import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { isLongerThan } from '../rules/utf8-length.ts';
import { CheckedRowReader } from './checked-rows.ts';
import type { ElementReader } from './json-envelope.ts';
import { violation } from './row-text.ts';

/** The rows of one chunk, and how many UTF-16 units they take as they stand in the body. */
export class SnapshotRows implements ElementReader {
  /** Those read since the last `take`. */
  rows: CheckedRow[] = [];
  rowCount = 0;
  charCount = 0;
  readonly #reader: CheckedRowReader;
  readonly #rowBytesMax: number;
  readonly #take = (row: CheckedRow): void => {
    this.rows.push(row);
  };

  constructor(schema: LocalSchema, rowBytesMax: number) {
    this.#reader = new CheckedRowReader(schema, 'snapshot');
    this.#rowBytesMax = rowBytesMax;
  }

  /** Hands the rows over. */
  take(): readonly CheckedRow[] {
    const { rows } = this;
    this.rows = [];
    return rows;
  }

  scan(text: string, start: number): number {
    const end = this.#reader.scan(text, start, this.#take);
    if (end < 0) return -1;
    this.#count(text, start, end);
    return end;
  }

  read(text: string): void {
    this.#count(text, 0, text.length);
    this.rows.push(this.#reader.read(text));
  }

  /** A text of too many characters is refused by the cursor; it may also be too long in bytes. */
  #count(text: string, start: number, end: number): void {
    const length = end - start;
    this.charCount += length;
    this.rowCount += 1;
    if (length * BYTES_PER_UNIT_MAX <= this.#rowBytesMax || length > this.#rowBytesMax) return;
    if (isLongerThan(text.slice(start, end), this.#rowBytesMax)) throw violation('count');
  }
}

/** UTF-8 bytes that one UTF-16 unit takes at most. */
const BYTES_PER_UNIT_MAX = 3;
