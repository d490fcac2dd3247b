/**
 * Adoption (server.md 4.5): gives rows from before registration their metadata, scope by scope in the order of scope ids, so that a
 * restart continues behind the last one. All registered tables that are not adopted yet take part together.
 */
import { keyBytesOfRow, tableRef } from '../rules/render-sql.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { scopePkSetting } from './capture.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';

const scopeOf = (alias: string): string => `${alias}.${quoteIdentifier(SCOPE_COLUMN)}`;

/** `$1` scope id after which to look (all when NULL), `$2` how many. The next scopes that hold rows or live metadata of the tables. */
export function adoptionScopesSql(m: MetadataNames, tables: readonly TableDescription[]): string {
  const ids = tables.map((table) => String(table.tableId)).join(',');
  const business = tables.map(
    (table) =>
      `SELECT DISTINCT ${scopeOf('b')} COLLATE "C" AS scope_id FROM ${tableRef(table)} b WHERE $1::text IS NULL OR ${scopeOf('b')} COLLATE "C" > $1::text`,
  );
  const stored = `SELECT s.scope_id FROM ${m.scope} s WHERE ($1::text IS NULL OR s.scope_id > $1::text)
    AND EXISTS (SELECT FROM ${m.rowState} r WHERE r.scope_pk = s.scope_pk AND r.table_id IN (${ids}) AND NOT r.deleted)`;
  return `SELECT a.scope_id FROM (${[...business, stored].join('\nUNION ')}) a ORDER BY a.scope_id LIMIT $2::int4`;
}

/** Where the look-up of scopes starts; NULL when a table has adopted nothing yet. */
export function adoptionCursorSql(m: MetadataNames): string {
  return `SELECT CASE WHEN bool_and(adoption_cursor IS NOT NULL) THEN min(adoption_cursor) END
    FROM ${m.registeredTable} WHERE is_active AND adopted_at IS NULL`;
}

/** `$1` scope id. Ids of the tables that have not come as far; locked, so that each scope is adopted by one process. */
export function lockTablesBehindSql(m: MetadataNames): string {
  return `SELECT table_id FROM ${m.registeredTable}
    WHERE is_active AND adopted_at IS NULL AND (adoption_cursor IS NULL OR adoption_cursor < $1) ORDER BY table_id FOR UPDATE`;
}

/**
 * `$1 scope_pk, $2 scope id, $3 capture token`: declares every key of the scope touched, in the order of a snapshot. Keys that have live
 * metadata but no row come along and end as DELETE.
 */
export function captureScopeSql(m: MetadataNames, tables: readonly TableDescription[]): string {
  const keys = tables.flatMap((table) => {
    const id = String(table.tableId);
    return [
      `SELECT ${id}::int4 AS table_id, ${keyBytesOfRow(table, 'b')} AS key_bytes FROM ${tableRef(table)} b WHERE ${scopeOf('b')} = $2::text`,
      `SELECT r.table_id, r.key_bytes FROM ${m.rowState} r WHERE r.scope_pk = $1::int8 AND r.table_id = ${id} AND NOT r.deleted`,
    ];
  });
  return `INSERT INTO ${m.capture} (scope_pk, token, ordinal, table_id, key_bytes)
    SELECT $1::int8, $3::uuid, row_number() OVER (ORDER BY k.table_id, k.key_bytes), k.table_id, k.key_bytes FROM (${keys.join('\nUNION ')}) k`;
}

/** `$1` scope id, `$2` table ids text[]. */
export function saveAdoptionCursorSql(m: MetadataNames): string {
  return `UPDATE ${m.registeredTable} SET adoption_cursor = $1 WHERE table_id = ANY ($2::text[]::int4[])`;
}

/** `$1` scope id. The sequence is only asked when there is no row. */
export function ensureScopeSql(m: MetadataNames): string {
  return `INSERT INTO ${m.scope} (scope_pk, scope_id, state)
    SELECT nextval('${m.scopePkSequence}'), $1, 'uninitialized' WHERE NOT EXISTS (SELECT FROM ${m.scope} WHERE scope_id = $1)`;
}

/** `$1` scope id. Scope_pk and head of the locked row; completes the bundle context. */
export function lockAdoptedScopeSql(m: MetadataNames): string {
  return `SELECT s.scope_pk, s.head, ${scopePkSetting('s.scope_pk')} FROM ${m.scope} s WHERE s.scope_id = $1 FOR NO KEY UPDATE OF s`;
}
