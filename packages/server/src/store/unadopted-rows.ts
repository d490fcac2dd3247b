import type { PgTransaction } from '../ports/postgres.ts';
import { quoteQualified } from '../rules/sql-text.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** A table that is not adopted: new, or back after a pause in which nobody watched it. */
export interface UnadoptedTable {
  readonly schema: string;
  readonly table: string;
  /** Undefined before the table has a registration. */
  readonly tableId: number | undefined;
}

/**
 * Whether there is anything to adopt. After a pause every row counts, also one with metadata: what changed meanwhile cannot be
 * told apart; and so does metadata whose row is gone.
 */
export async function hasRowsToAdopt(tx: PgTransaction, m: MetadataNames, table: UnadoptedTable): Promise<boolean> {
  const rowExists = `EXISTS (SELECT FROM ${quoteQualified(table.schema, table.table)})`;
  const stateExists = `EXISTS (SELECT FROM ${m.rowState} WHERE table_id = ${String(table.tableId)} AND NOT deleted)`;
  const { rows } = await tx.query(`SELECT ${rowExists}${table.tableId === undefined ? '' : ` OR ${stateExists}`}`);
  return rows[0]?.[0] === 't';
}
