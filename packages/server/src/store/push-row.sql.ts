/** Statements about staged rows. They carry their own values, so that several of them travel in one round trip. */
import { conversionProbe } from '../rules/push-apply-sql.ts';
import type { PgStatement } from '../ports/postgres.ts';
import { bindStatement } from '../rules/bound-statement.ts';
import type { Bind } from '../rules/bound-statement.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import type { TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';

export interface PushRef {
  readonly scopePk: string;
  readonly pushId: string;
}

/** A push whose scope is known by its id only. */
export interface ScopedPush {
  readonly scopeId: string;
  readonly pushId: string;
}

/** The number of a scope, looked up in the statement that needs it. */
export function scopePkOf(m: MetadataNames, bind: Bind, scopeId: string): string {
  return `(SELECT sc.scope_pk FROM ${m.scope} sc WHERE sc.scope_id=${bind('text', scopeId)})`;
}

const COLUMNS =
  'scope_pk,push_id,row_ordinal,table_id,op,key_bytes,key_text,base_row_version,column_set,canonical_text,apply_text';

export function copyRows(m: MetadataNames): string {
  return `COPY ${m.pushRow} (${COLUMNS}) FROM STDIN (FORMAT binary)`;
}

/** Terms of {@link insertRowsSql}, as SQL expressions. */
export interface InsertRowsTerms {
  readonly scopePk: string;
  readonly pushId: string;
  /** A JSON array of arrays as `jsonb`, see `formatRowsJson`: `->>` on `json` reads the text of a row from its beginning for every member. */
  readonly rows: string;
}

export function insertRowsSql(m: MetadataNames, { scopePk, pushId, rows }: InsertRowsTerms): string {
  return (
    `INSERT INTO ${m.pushRow} (${COLUMNS}) SELECT ${scopePk},${pushId},(r.v->>0)::int4,(r.v->>1)::int4,r.v->>2,` +
    `decode(r.v->>3,'hex'),r.v->>4,(r.v->>5)::int8,r.v->>6,r.v->>7,r.v->>8 FROM jsonb_array_elements(${rows}) AS r(v)`
  );
}

/** The rows of a small chunk. */
export function insertRows(m: MetadataNames, push: PushRef, rowsJson: string): PgStatement {
  return bindStatement((bind) =>
    insertRowsSql(m, { scopePk: bind('int8', push.scopePk), pushId: bind('uuid', push.pushId), rows: bind('jsonb', rowsJson) }),
  );
}

/** A range of ordinals, both ends included. */
export interface OrdinalRange {
  readonly first: number;
  readonly last: number;
}

function ofPush(bind: Bind, push: PushRef): string {
  return `p.scope_pk=${bind('int8', push.scopePk)} AND p.push_id=${bind('uuid', push.pushId)}`;
}

function ofScopedPush(m: MetadataNames, bind: Bind, push: ScopedPush): string {
  return `p.scope_pk=${scopePkOf(m, bind, push.scopeId)} AND p.push_id=${bind('uuid', push.pushId)}`;
}

function rangeCondition(push: PushRef, range: OrdinalRange): string {
  return `p.scope_pk=${push.scopePk} AND p.push_id=${quoteLiteral(push.pushId)} AND p.row_ordinal BETWEEN ${range.first} AND ${range.last}`;
}

/** How many rows of a range are staged, and the SHA-256 of their canonical texts joined by commas. */
export function hashStagedRange(m: MetadataNames, push: PushRef, range: OrdinalRange): string {
  return (
    `SELECT count(*),encode(sha256(convert_to(string_agg(p.canonical_text,',' ORDER BY p.row_ordinal),'UTF8')),'hex') ` +
    `FROM ${m.pushRow} p WHERE ${rangeCondition(push, range)}`
  );
}

/** Rows that are converted by one cast. */
export interface ConversionGroup {
  readonly table: TableDescription;
  readonly columnSet: string;
}

/**
 * Fails with the fault of the first value that PostgreSQL cannot convert, and reads nothing else. A row literal is cast the same
 * way whichever columns it sets, so one pass per table covers them; JSON rows are converted per column set.
 */
export function checkConversion(m: MetadataNames, push: PushRef, range: OrdinalRange, group: ConversionGroup): PgStatement {
  const isLiteral = group.columnSet.startsWith('l');
  const rows = isLiteral ? `p.column_set LIKE 'l%'` : `p.column_set=${quoteLiteral(group.columnSet)}`;
  const op = `p.table_id=${group.table.tableId} AND p.apply_text IS NOT NULL`;
  return bindStatement(
    (bind) =>
      `SELECT count(*) FROM ${m.pushRow} p WHERE ${ofPush(bind, push)} AND p.row_ordinal BETWEEN ${bind('int4', range.first)} ` +
      `AND ${bind('int4', range.last)} AND ${op} AND ${rows} AND ${conversionProbe(group.table, group.columnSet)}`,
  );
}

/** The rows of a whole push, grouped as they are applied. */
export function selectApplyGroups(m: MetadataNames, push: ScopedPush): PgStatement {
  return bindStatement(
    (bind) =>
      `SELECT p.table_id,p.op,p.column_set,min(p.row_ordinal),count(*),bool_and(p.base_row_version=0) FROM ${m.pushRow} p ` +
      `WHERE ${ofScopedPush(m, bind, push)} GROUP BY 1,2,3 ORDER BY 4`,
  );
}

/** A key that stands in the push more than once, with its last row. */
export function selectRepeatedKey(m: MetadataNames, push: ScopedPush): PgStatement {
  return bindStatement(
    (bind) =>
      `SELECT p.table_id,p.key_text,max(p.row_ordinal) FROM ${m.pushRow} p ` +
      `WHERE ${ofScopedPush(m, bind, push)} GROUP BY 1,2 HAVING count(*)>1 ORDER BY 3 LIMIT 1`,
  );
}

/** Request hash over all staged rows. Holds two to three copies of the text inside PostgreSQL. */
export function hashStagedRows(m: MetadataNames, push: PushRef): string {
  return (
    `SELECT encode(sha256(convert_to('['||string_agg(p.canonical_text,',' ORDER BY p.row_ordinal)||']','UTF8')),'hex') ` +
    `FROM ${m.pushRow} p WHERE p.scope_pk=${push.scopePk} AND p.push_id=${quoteLiteral(push.pushId)}`
  );
}

/** The canonical rows in order, one a line, for a hash outside PostgreSQL. */
export function copyCanonicalRows(m: MetadataNames, push: PushRef): string {
  const rows = `SELECT p.canonical_text FROM ${m.pushRow} p WHERE p.scope_pk=${push.scopePk} AND p.push_id=${quoteLiteral(push.pushId)} ORDER BY p.row_ordinal`;
  return `COPY (${rows}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02', NULL E'\\x03', ENCODING 'UTF8')`;
}

export function selectCanonicalRange(m: MetadataNames, push: PushRef, range: OrdinalRange): string {
  return `SELECT p.canonical_text FROM ${m.pushRow} p WHERE ${rangeCondition(push, range)} ORDER BY p.row_ordinal`;
}

/** Replaces the forms that depend on the row layout; see `formatRebuiltJson`. */
export function updateRebuiltRows(m: MetadataNames, push: PushRef, rowsJson: string): string {
  return (
    `UPDATE ${m.pushRow} p SET column_set=r.v->>1,apply_text=r.v->>2 FROM json_array_elements(${quoteLiteral(rowsJson)}::json) AS r(v) ` +
    `WHERE p.scope_pk=${push.scopePk} AND p.push_id=${quoteLiteral(push.pushId)} AND p.row_ordinal=(r.v->>0)::int4`
  );
}
