/**
 * One row of a pull page, a committed-rows page or a snapshot chunk after the envelope has been read: identity and version are parsed,
 * the payload is still the wire's own text, so that no value is ever parsed into a number.
 */
export interface IncomingRow {
  readonly schema: string;
  readonly table: string;
  /** Name of the one member of `key`. */
  readonly keyColumn: string;
  /** Its unescaped string value. */
  readonly keyValue: string;
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly rowVersion: bigint;
  /** JSON text of the payload object as received; `null` for DELETE. */
  readonly payload: string | null;
}

/** An incoming row that has passed every check of client.md 10.1 and is ready to be stored. */
export interface CheckedRow {
  readonly schema: string;
  readonly table: string;
  /** Exactly what the triggers write for the same key. */
  readonly keyJson: string;
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly rowVersion: bigint;
  readonly payload: string | null;
  /**
   * The values of the payload in the order of the columns, where they were at hand and say all that the payload says: no member without
   * a column, no BLOB, no nested JSON. They can be bound as they are, so that SQLite need not parse the payload once more.
   */
  readonly values?: readonly ColumnText[] | undefined;
}

/**
 * A value as a received payload spells it: text without its quotes and escapes, the digits of a number, `true` or `false` for a boolean,
 * a UUID with dashes, `null` for a JSON `null`.
 */
export type ColumnText = string | null;
