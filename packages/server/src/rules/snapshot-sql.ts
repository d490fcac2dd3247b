/** SQL that yields the rows of a scope as snapshot rows; built from checked table descriptions. */
import {
  columnRef,
  keyBytesOfRow,
  keyFromBytes,
  keyMember,
  keyTextOfRow,
  renderPayload,
  tableMembers,
  tableRef,
} from './render-sql.ts';
import type { RenderFunctions } from './render-sql.ts';
import { quoteIdentifier } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { TableDescription } from './table-description.ts';

/** SQL expressions for consecutive live keys of one table in the order of their bytes. */
export interface KeyBatch {
  readonly tableId: string;
  /** `bytea[]`, never empty. */
  readonly keys: string;
  /** `int8[]`, one for each key. */
  readonly versions: string;
  /** The first key; that of the first batch of a table is the lowest uuid instead, so that no row lies before it. */
  readonly firstKey: string;
  /** The first key of the next batch, NULL for the last batch of a table. */
  readonly nextKey: string;
}

/**
 * A query with the columns `position, key_bytes, row_text` over the rows of `batch`, from position 1 on in the order of the keys. Its
 * column `key_bytes` equals the keys of the batch exactly if every key has a row and no other row lies between them; the texts are worth
 * something only then.
 *
 * `scopeId` is an SQL expression, usually a parameter.
 */
export function snapshotRows(
  tables: readonly TableDescription[],
  functions: RenderFunctions,
  scopeId: string,
  batch: KeyBatch,
): string {
  if (tables.length === 0) return 'SELECT NULL::int8 AS position, NULL::bytea AS key_bytes, NULL::text AS row_text WHERE false';
  const queries = tables.map((table) =>
    table.keyKind === 'uuid' ? rowsOfRange(table, functions, scopeId, batch) : rowsOfKeys(table, functions, scopeId, batch),
  );
  return queries.join('\nUNION ALL\n');
}

/** The hidden column is never published, so its name is free beside the published ones. */
const POSITION = quoteIdentifier(SCOPE_COLUMN);

const HIGHEST_UUID = `'${'f'.repeat(32)}'::pg_catalog.uuid`;

/**
 * Uuids sort like their bytes: the rows from the first key of a batch to that of the next one are one range of the unique index, in the
 * order of the keys, and the place of a row in it is the place of its version. That costs less than a look-up or a join for each key. The
 * ranges of all batches cover the scope.
 */
function rowsOfRange(table: TableDescription, functions: RenderFunctions, scopeId: string, batch: KeyBatch): string {
  const key = columnRef('r', table.keyColumn);
  const first = keyFromBytes(table, batch.firstKey);
  const next = keyFromBytes(table, batch.nextKey);
  const columns = table.columns.map(({ name }) => columnRef('r', name)).join(', ');
  const text = snapshotRowText(table, functions, `(${batch.versions})[t.${POSITION}]`);
  return (
    `SELECT t.${POSITION} AS position, ${keyBytesOfRow(table, 't')} AS key_bytes, ${text} AS row_text FROM (` +
    `SELECT ${columns}, row_number() OVER (ORDER BY ${key}) AS ${POSITION} FROM ${tableRef(table)} r ` +
    `WHERE ${columnRef('r', SCOPE_COLUMN)} = ${scopeId} AND ${key} >= ${first} AND ${key} <= COALESCE(${next}, ${HIGHEST_UUID}) ` +
    `AND (${batch.nextKey} IS NULL OR ${key} <> ${next})` +
    `) t WHERE ${batch.tableId} = ${String(table.tableId)}`
  );
}

/**
 * The order of texts depends on their collation, so each key is looked up; `OFFSET 0` keeps the planner from reading all texts of the
 * scope for each batch instead.
 */
function rowsOfKeys(table: TableDescription, functions: RenderFunctions, scopeId: string, batch: KeyBatch): string {
  const key = columnRef('t', table.keyColumn);
  const isRow = `${columnRef('t', SCOPE_COLUMN)} = ${scopeId} AND ${key} = ${keyFromBytes(table, 's.key_bytes')}`;
  const ifFound = (value: string): string => `CASE WHEN ${key} IS NOT NULL THEN ${value} END`;
  return (
    `SELECT s.position, ${ifFound('s.key_bytes')} AS key_bytes, ${ifFound(snapshotRowText(table, functions, 's.version'))} AS row_text ` +
    `FROM unnest(${batch.keys}, ${batch.versions}) WITH ORDINALITY s(key_bytes, version, position) ` +
    `LEFT JOIN LATERAL (SELECT * FROM ${tableRef(table)} t WHERE ${isRow} OFFSET 0) t ON true ` +
    `WHERE ${batch.tableId} = ${String(table.tableId)}`
  );
}

/** Wire text of the row under the alias `t`. */
function snapshotRowText(table: TableDescription, functions: RenderFunctions, version: string): string {
  return (
    `'{'||${tableMembers(table)}||','||${keyMember(table, keyTextOfRow(table, 't'))}||',"row_version":'||${version}::text` +
    `||',"payload":'||${renderPayload(table, 't', functions)}||'}'`
  );
}

/**
 * An SQL expression for the rows of the scope that belong to no batch, beyond those that {@link snapshotRows} shows: rows of uuid tables
 * without any key, and the surplus of rows over keys in tables whose keys are looked up. `batches` is the relation of all batches.
 */
export function countStrayRows(tables: readonly TableDescription[], scopeId: string, batches: string): string {
  const counts = tables.map((table) => {
    const rows = `SELECT count(*) FROM ${tableRef(table)} WHERE ${quoteIdentifier(SCOPE_COLUMN)} = ${scopeId}`;
    const ofTable = `FROM ${batches} b WHERE b.table_id = ${String(table.tableId)}`;
    if (table.keyKind === 'uuid') return `(${rows} AND NOT EXISTS (SELECT ${ofTable}))`;
    return `(${rows})-(SELECT COALESCE(sum(cardinality(b.keys)), 0) ${ofTable})`;
  });
  return ['0', ...counts].join('+');
}
