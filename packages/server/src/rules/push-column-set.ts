import type { TableDescription } from './table-description.ts';

/**
 * Which columns a staged row sets, as one short text, so that PostgreSQL can group rows that one statement applies. Bit n of the
 * hexadecimal number stands for field n of the row literal; the number is bound to the row layout it was made with.
 *
 * `l` row literal, `j` JSON object of texts (for rows that a literal cannot express).
 */
export type ApplyForm = 'l' | 'j';

export interface ColumnSet {
  readonly form: ApplyForm;
  readonly columns: readonly string[];
}

export function formatColumnSet(form: ApplyForm, positions: Iterable<number>): string {
  let bits = 0n;
  for (const position of positions) bits |= 1n << BigInt(position);
  return form + bits.toString(16);
}

/** The columns in the order of the row literal. */
export function parseColumnSet(text: string, table: TableDescription): ColumnSet {
  const bits = BigInt(`0x${text.slice(1)}`);
  const columns = table.rowColumns.filter((_, position) => ((bits >> BigInt(position)) & 1n) === 1n);
  return { form: text.startsWith('j') ? 'j' : 'l', columns };
}
