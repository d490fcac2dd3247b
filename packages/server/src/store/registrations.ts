/** Stored registrations and shapes: `registered_table` and `table_shape`. */
import type { PgTransaction } from '../ports/postgres.ts';
import { renderColumnValue } from '../rules/render-sql.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import type { KeyKind, ShapeColumn, TableDescription, TableShape } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { RowReader } from './row-reader.ts';
import { parseShapeColumns } from './shape-columns.ts';

export interface StoredRegistration {
  readonly tableId: number;
  readonly schema: string;
  readonly table: string;
  readonly keyColumn: string;
  readonly keyKind: KeyKind;
  readonly isActive: boolean;
  readonly shapeId: number;
  readonly isAdopted: boolean;
  /** Scopes up to this id are adopted already. */
  readonly adoptionCursor: string | undefined;
}

export async function loadRegistrations(tx: PgTransaction, m: MetadataNames): Promise<readonly StoredRegistration[]> {
  const { rows } = await tx.query(
    `SELECT table_id, schema_name, table_name, key_column, key_kind, is_active, shape_id, adopted_at IS NOT NULL, adoption_cursor FROM ${m.registeredTable} ORDER BY table_id`,
  );
  return rows.map((row) => {
    const reader = new RowReader(row);
    return {
      tableId: reader.int(),
      schema: reader.text(),
      table: reader.text(),
      keyColumn: reader.text(),
      keyKind: reader.int() === 1 ? 'uuid' : 'text',
      isActive: reader.flag(),
      shapeId: reader.int(),
      isAdopted: reader.flag(),
      adoptionCursor: reader.optional(),
    };
  });
}

export async function loadShapes(tx: PgTransaction, m: MetadataNames): Promise<readonly TableShape[]> {
  const { rows } = await tx.query(`SELECT table_id, shape_id, columns FROM ${m.tableShape} ORDER BY table_id, shape_id`);
  return rows.map((row) => {
    const reader = new RowReader(row);
    return { tableId: reader.int(), shapeId: reader.int(), columns: parseShapeColumns(reader.text()) };
  });
}

/** Allocates an id for a new table. The sequence is not transactional, so a failed bootstrap leaves a gap and no reuse. */
export async function insertRegistration(
  tx: PgTransaction,
  m: MetadataNames,
  table: { readonly schema: string; readonly table: string; readonly keyColumn: string; readonly keyKind: KeyKind },
): Promise<number> {
  const { rows } = await tx.query(
    `INSERT INTO ${m.registeredTable} (table_id, schema_name, table_name, key_column, key_kind, is_active, shape_id)
     VALUES (nextval('${m.tableIdSequence}'), $1, $2, $3, $4::int2, true, 0) RETURNING table_id`,
    [table.schema, table.table, table.keyColumn, table.keyKind === 'uuid' ? '1' : '2'],
  );
  return new RowReader(rows[0] ?? []).int();
}

/** A table that comes back after a pause was unwatched meanwhile: it has to be adopted again. */
export async function setRegistrationActive(
  tx: PgTransaction,
  m: MetadataNames,
  tableId: number,
  isActive: boolean,
): Promise<void> {
  await tx.query(
    `UPDATE ${m.registeredTable} SET is_active = $2::bool, adopted_at = NULL, adoption_cursor = NULL WHERE table_id = $1::int4`,
    [String(tableId), isActive ? 't' : 'f'],
  );
}

export async function markAdopted(tx: PgTransaction, m: MetadataNames, tableIds: readonly number[]): Promise<void> {
  if (tableIds.length === 0) return;
  await tx.query(
    `UPDATE ${m.registeredTable} SET adopted_at = now(), adoption_cursor = NULL WHERE table_id = ANY ($1::text[]::int4[]) AND adopted_at IS NULL`,
    [tableIds.map(String)],
  );
}

/** Records the next shape of a table and makes it current; returns its number. */
export async function insertShape(
  tx: PgTransaction,
  m: MetadataNames,
  tableId: number,
  columns: readonly ShapeColumn[],
): Promise<number> {
  const { rows } = await tx.query(
    `WITH shape AS (
       INSERT INTO ${m.tableShape} (table_id, shape_id, columns)
       SELECT $1::int4, COALESCE(max(s.shape_id), 0) + 1, $2::jsonb FROM ${m.tableShape} s WHERE s.table_id = $1::int4
       RETURNING shape_id
     )
     UPDATE ${m.registeredTable} t SET shape_id = shape.shape_id FROM shape WHERE t.table_id = $1::int4 RETURNING t.shape_id`,
    [String(tableId), JSON.stringify(columns)],
  );
  return new RowReader(rows[0] ?? []).int();
}

/**
 * Wire JSON text that stored rows show in a column that was added after them. PostgreSQL keeps such a value in `pg_attribute`
 * when `ADD COLUMN … DEFAULT` did not rewrite the table; without one the rows show NULL.
 */
export async function loadMissingValue(
  tx: PgTransaction,
  m: MetadataNames,
  table: TableDescription,
  column: string,
): Promise<string> {
  const description = table.columnByName.get(column);
  if (description === undefined) throw new TypeError(`column ${column} is not published`);
  const rendered = renderColumnValue(table, description, 'v', m, `''`);
  const { rows } = await tx.query(
    `SELECT COALESCE(${rendered}, 'null') FROM (
       SELECT (a.attmissingval::text::${description.sqlType}[])[1] AS ${quoteIdentifier(column)}
       FROM pg_catalog.pg_attribute a
       JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND a.atthasmissing
     ) v`,
    [table.schema, table.table, column],
  );
  return rows[0]?.[0] ?? 'null';
}
