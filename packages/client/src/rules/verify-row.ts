import { stringifyJson } from '@oversync/protocol';

import { RowEncoder } from './encode-row.ts';
import { EncodeFault } from './encode-value.ts';
import { jsonbText } from './jsonb-text.ts';
import type { LocalTable } from './local-schema.ts';
import { parseWirePayload } from './wire-values.ts';

/** Writes rows of one table as both sides hash them: the version, a space, and the payload with booleans as `"0"` and `"1"`. */
export class VerifyRowWriter {
  readonly #encoder: RowEncoder;
  readonly #jsonColumns: ReadonlySet<string>;

  constructor(table: LocalTable) {
    this.#encoder = new RowEncoder(table);
    this.#jsonColumns = new Set(table.columns.filter((column) => column.isJson).map((column) => column.wireName));
  }

  /** The text of a captured row. A row that has no wire form gets a text that no server row has. */
  write(rowVersion: string, captured: string): string {
    try {
      return `${rowVersion} ${this.#payload(captured)}`;
    } catch (error) {
      if (error instanceof EncodeFault) return `${rowVersion} unreadable`;
      throw error;
    }
  }

  #payload(captured: string): string {
    const { wire } = this.#encoder.encodePayload(captured);
    if (this.#jsonColumns.size === 0) return wire;
    const members = parseWirePayload(wire);
    const texts = Object.entries(members).map(([name, value]) => {
      const text = this.#jsonColumns.has(name) && value !== null ? jsonbText(value) : stringifyJson(value);
      return `${JSON.stringify(name)}:${text}`;
    });
    return `{${texts.join(',')}}`;
  }
}
