import type { TableDescription } from './table-description.ts';

export type PushOp = 'INSERT' | 'UPDATE' | 'DELETE';

/** One checked row of a chunk in the forms that are staged. */
export interface PushRow {
  /** Absolute ordinal in the push. */
  readonly rowOrdinal: number;
  readonly table: TableDescription;
  readonly op: PushOp;
  readonly keyText: string;
  /** Decimal text of a signed 64-bit integer. */
  readonly baseRowVersion: string;
  /** See `parseColumnSet`; empty for DELETE. */
  readonly columnSet: string;
  /** Canonical request row of protocol.md 6.2. */
  readonly canonicalText: string;
  /** What the row literal or JSON object of the column set holds; `null` for DELETE. */
  readonly applyText: string | null;
}

/** Reads the text of our own column; anything else is damage. */
export function parsePushOp(text: string): PushOp {
  if (text === 'INSERT' || text === 'UPDATE' || text === 'DELETE') return text;
  throw new TypeError('a staged row has an unknown op');
}
