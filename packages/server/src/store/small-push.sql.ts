/** Statements of small pushes: calls of the functions of `small-push-functions.sql.ts`. */
import type { PgStatement } from '../ports/postgres.ts';
import { bindNumbered, bindStatement, replaceLiterals } from '../rules/bound-statement.ts';
import type { BoundValue } from '../rules/bound-statement.ts';
import { tableRef } from '../rules/render-sql.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { SQL_HASH_BYTES_MAX, writeRowsSql } from './finalise.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { FOUND_SETTINGS, nameFunction } from './small-push-functions.sql.ts';
import type { SmallPushFunction } from './small-push-functions.sql.ts';

export interface SmallPushActor {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly sourceId: string;
  /** Whose the source has to be; `null` where sources are not bound to users. */
  readonly userId: string | null;
  readonly lockTimeoutMs: number;
}

function actorValues(actor: SmallPushActor): readonly BoundValue[] {
  return [
    ['int8', actor.scopePk],
    ['text', actor.scopeId],
    ['text', actor.sourceId],
    ['text', actor.userId],
    ['int4', Math.max(1, Math.floor(actor.lockTimeoutMs))],
  ];
}

export interface SmallPushSession {
  readonly sourceBundleId: bigint;
  readonly plannedRowCount: number;
  readonly canonicalRequestHash: string;
  readonly pushId: string;
  readonly ttlMs: number;
  /** Live sessions of other sources from which on there is no room. */
  readonly sessionsMax: number;
}

/** Opens the session: true, or false where the case is not plain. */
export function createSmallPush(m: MetadataNames, actor: SmallPushActor, session: SmallPushSession): PgStatement {
  return callFunction(m, 'create', [
    ...actorValues(actor),
    ['int8', session.sourceBundleId],
    ['int4', session.plannedRowCount],
    ['text', session.canonicalRequestHash],
    ['uuid', session.pushId],
    ['int8', session.ttlMs],
    ['int4', session.sessionsMax],
  ]);
}

export interface SmallChunk {
  readonly pushId: string;
  readonly rowCount: number;
  readonly stagedBytes: bigint;
  readonly rowLayout: string;
  readonly ttlMs: number;
  readonly rowsJson: string;
}

/** Stages the first rows of a push, whose values are not converted yet: its source bundle id, or NULL where the case is not plain. */
export function stageSmallPush(m: MetadataNames, actor: SmallPushActor, chunk: SmallChunk): PgStatement {
  return callFunction(m, 'stage', [
    ...actorValues(actor),
    ['uuid', chunk.pushId],
    ['int4', chunk.rowCount],
    ['int8', chunk.stagedBytes],
    ['text', chunk.rowLayout],
    ['int8', chunk.ttlMs],
    ['json', chunk.rowsJson],
  ]);
}

export interface SmallCommit {
  readonly pushId: string;
  readonly rowCount: number;
  readonly canonicalRequestHash: string;
  readonly rowLayout: string;
  readonly captureToken: string;
  /** The table of all rows, which capture need not note; `null` when there are several. */
  readonly tableId: number | null;
}

/**
 * Opens the bundle context, locks scope and session and finds out whether everything is as a commit wants it: bundle number, source bundle
 * id and milliseconds until the scope was locked, or no row where the case is not plain. The statements that follow find no rows then.
 */
export function beginSmallCommit(m: MetadataNames, actor: SmallPushActor, commit: SmallCommit): PgStatement {
  return callFunction(m, 'begin', [
    ...actorValues(actor),
    ['uuid', commit.pushId],
    ['int4', commit.rowCount],
    ['text', commit.canonicalRequestHash],
    ['text', commit.rowLayout],
    ['uuid', commit.captureToken],
    ['text', commit.tableId === null ? '' : String(commit.tableId)],
  ]);
}

/** Run after the rows were applied, when the locks of the table keep its columns as they are; raises where they are others. */
export function checkSmallCommitColumns(m: MetadataNames, table: TableDescription): PgStatement {
  const name = nameFunction(m, 'checkColumns');
  return bindStatement(
    (bind) => `SELECT ${name}(${quoteLiteral(tableRef(table))}::pg_catalog.regclass,${bind('text', table.rowColumns.join(','))})`,
  );
}

/** What `begin` has found, as SQL. */
const found = (setting: keyof typeof FOUND_SETTINGS): string =>
  `nullif(pg_catalog.current_setting(${quoteLiteral(FOUND_SETTINGS[setting])},true),'')::int8`;

/** A statement over the staged rows of a push, which finds them only where `begin` has found the push plain. */
export function afterBegin(statement: PgStatement): PgStatement {
  const literals = statement.literals.map((literal, index) => (statement.types[index] === 'int8' ? found('scopePk') : literal));
  return replaceLiterals(statement, literals);
}

export interface SmallCommitEnd {
  readonly scopeId: string;
  readonly sourceId: string;
  readonly rowCount: number;
  readonly canonicalRequestHash: string;
  readonly pushId: string;
  readonly captureToken: string;
  readonly tables: readonly TableDescription[];
  readonly limits: SmallCommitLimits;
}

/** `null` where an option is off. */
export interface SmallCommitLimits {
  readonly retainedBundlesPerScope: number | null;
  readonly retainedBundleAgeMs: number | null;
  readonly retainedBundleBytesPerScope: number | null;
  readonly retentionPruneBatchSize: number;
  readonly maxRowsPerBundle: number | null;
  readonly maxBytesPerBundle: number | null;
  readonly maxBytesPerSnapshotRow: number;
}

/**
 * Writes rows, versions, header and watermark in one statement: row count, canonical bytes, pushed rows that are gone, hash. After
 * `begin` has found the push plain; without rows and without doing anything otherwise. Raises
 * {@link NOT_PLAIN_STATE} when anything but the push has touched a registered table, and above every limit.
 */
export function endSmallCommit(m: MetadataNames, end: SmallCommitEnd): PgStatement {
  const { limits } = end;
  const statement = bindNumbered(getEndText(m, end.tables), [
    ['int8', null],
    ['text', end.scopeId],
    ['int8', null],
    ['int8', end.rowCount],
    ['uuid', end.captureToken],
    ['uuid', end.pushId],
    ['text', end.sourceId],
    ['int8', null],
    ['text', end.canonicalRequestHash],
    ['int8', limits.retainedBundlesPerScope],
    ['int8', limits.retainedBundleAgeMs],
    ['int8', limits.retainedBundleBytesPerScope],
    ['int4', limits.retentionPruneBatchSize],
    ['int8', limits.maxRowsPerBundle],
    ['int8', limits.maxBytesPerBundle],
    ['int8', limits.maxBytesPerSnapshotRow],
  ]);
  const literals = [...statement.literals];
  literals[0] = found('scopePk');
  literals[2] = found('bundleSeq');
  literals[7] = found('sourceBundleId');
  return replaceLiterals(statement, literals);
}

const endTexts = new WeakMap<TableDescription, string>();

/** Of the usual push, whose rows are all of one table, the text is made once. */
function getEndText(m: MetadataNames, tables: readonly TableDescription[]): string {
  const [only] = tables;
  if (only === undefined || tables.length > 1) return formatEnd(m, tables);
  let text = endTexts.get(only);
  if (text === undefined) endTexts.set(only, (text = formatEnd(m, tables)));
  return text;
}

function formatEnd(m: MetadataNames, tables: readonly TableDescription[]): string {
  const finish =
    `${nameFunction(m, 'finish')}($1::int8,$3::int8,$7::text,$8::int8,r.row_count::int4,r.hash,$9::text,NULL,r.canonical_bytes::int8,r.wire_bytes::int8,` +
    `'client',$6::uuid,$5::uuid,$10::int8,$11::int8,$12::int8,$13::int4,false,r.largest_row::int8,$14::int8,$15::int8,$16::int8)`;
  return writeRowsSql(
    m,
    { pushed: tables, captured: [], hashBytesMax: SQL_HASH_BYTES_MAX },
    (totals) =>
      `, result (row_count,wire_bytes,canonical_bytes,largest_row,lost_count,hash) AS MATERIALIZED (${totals}) ` +
      `SELECT r.row_count,r.canonical_bytes,r.lost_count,r.hash,${finish} FROM result r`,
  );
}

const calls = new Map<string, string>();

/** The text is made once, so that what looks it up need not hash it again. */
function callFunction(m: MetadataNames, kind: SmallPushFunction, values: readonly BoundValue[]): PgStatement {
  const name = nameFunction(m, kind);
  let text = calls.get(name);
  if (text === undefined) {
    const parameters = values.map(([type], index) => `$${String(index + 1)}::${type}`).join(',');
    text = kind === 'begin' ? `SELECT * FROM ${name}(${parameters})` : `SELECT ${name}(${parameters})`;
    calls.set(name, text);
  }
  return bindNumbered(text, values);
}
