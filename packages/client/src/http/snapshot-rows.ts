import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { utf8Length } from '../rules/utf8-length.ts';
import { CheckedRowReader } from './checked-rows.ts';
import type { ElementReader } from './json-envelope.ts';
import { violation } from './row-text.ts';

/** UTF-8 bytes that one UTF-16 unit takes at most. */
const BYTES_PER_UNIT_MAX = 3;

/** The rows of one chunk, with the bytes they take as they stand in the body. */
export class SnapshotRows implements ElementReader {
  readonly #reader: CheckedRowReader;
  readonly #rowBytesMax: number;
  readonly #rows: CheckedRow[] = [];
  #byteCount = 0;
  /** Rows that follow one another, each after one comma: measured together, which costs a tenth. */
  #run = { text: '', start: 0, end: 0, commas: 0 };
  readonly #take = (row: CheckedRow, start: number, end: number): void => {
    this.#rows.push(row);
    if (start === this.#run.end + 1) this.#run.commas += 1;
    else this.#beginRun(this.#run.text, start);
    this.#run.end = end;
  };

  constructor(schema: LocalSchema, rowBytesMax: number) {
    this.#reader = new CheckedRowReader(schema, 'snapshot');
    this.#rowBytesMax = rowBytesMax;
  }

  scan(text: string, start: number): number {
    if (this.#run.text !== text) this.#beginRun(text, start);
    const end = this.#reader.scan(text, start, this.#take);
    if (end >= 0) this.#checkLength(text, start, end);
    return end;
  }

  read(text: string): void {
    const byteCount = utf8Length(text);
    if (byteCount > this.#rowBytesMax) throw violation('count');
    this.#byteCount += byteCount;
    this.#rows.push(this.#reader.read(text));
  }

  /** A text of too many characters is refused by the cursor. */
  #checkLength(text: string, start: number, end: number): void {
    const length = end - start;
    if (length * BYTES_PER_UNIT_MAX <= this.#rowBytesMax || length > this.#rowBytesMax) return;
    if (utf8Length(text.slice(start, end)) > this.#rowBytesMax) throw violation('count');
  }

  finish(): { readonly rows: readonly CheckedRow[]; readonly measuredByteCount: number } {
    this.#beginRun('', 0);
    return { rows: this.#rows, measuredByteCount: this.#byteCount };
  }

  #beginRun(text: string, start: number): void {
    const run = this.#run;
    this.#byteCount += utf8Length(run.text.slice(run.start, run.end)) - run.commas;
    this.#run = { text, start, end: start, commas: 0 };
  }
}
