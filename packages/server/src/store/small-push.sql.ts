/** Statements of small pushes: calls of the functions of `small-push-functions.sql.ts`. */
import type { PgStatement } from '../ports/postgres.ts';
import { bindNumbered, replaceParameters } from '../rules/bound-statement.ts';
import type { BoundValue, SqlTerm } from '../rules/bound-statement.ts';
import type { DirectPush } from '../rules/direct-push.ts';
import { tableRef } from '../rules/render-sql.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { formatDirectPush } from './direct-push.sql.ts';
import { BLOCK_BYTES, SQL_HASH_BYTES_MAX, writeRowsSql } from './finalise.sql.ts';
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
    ['jsonb', chunk.rowsJson],
  ]);
}

export interface SmallCommit {
  readonly pushId: string;
  readonly rowCount: number;
  readonly canonicalRequestHash: string;
  readonly rowLayout: string;
  readonly captureToken: string;
  /** Tables whose rows capture need not note, until it is told otherwise. */
  readonly tableIds: readonly number[];
  /** False where the statement that follows compares versions itself. */
  readonly checksVersions: boolean;
}

/**
 * Opens the bundle context, locks scope and session and finds out whether everything is as a commit wants it: bundle number, source bundle
 * id and milliseconds until the scope was locked, with commas, or NULL where the case is not plain. The statements that follow find no rows then.
 */
export function beginSmallCommit(m: MetadataNames, actor: SmallPushActor, commit: SmallCommit): PgStatement {
  return callFunction(m, 'begin', [
    ...actorValues(actor),
    ['uuid', commit.pushId],
    ['int4', commit.rowCount],
    ['text', commit.canonicalRequestHash],
    ['text', commit.rowLayout],
    ['uuid', commit.captureToken],
    ['text', commit.tableIds.join(',')],
    ['bool', commit.checksVersions ? 't' : 'f'],
  ]);
}

/** What `settle` has to know of a commit that took the row literals for the rows. */
export interface DirectCommit {
  readonly scopePk: string;
  readonly captureToken: string;
}

/**
 * Run after the rows were applied, when the locks of the table keep its columns as they are; raises where they are others, and, of a direct
 * commit, where anything else has written or had a say in what was stored.
 */
export function settleSmallCommit(m: MetadataNames, table: TableDescription, direct: DirectCommit | null): PgStatement {
  return callFunction(m, 'settle', [
    ['regclass', tableRef(table)],
    ['text', table.rowColumns.join(',')],
    ['int8', direct === null ? null : direct.scopePk],
    ['uuid', direct === null ? null : direct.captureToken],
  ]);
}

/** What `begin` has found. NULL where the case is not plain: the statement finds no staged rows then. */
export function foundBy(setting: keyof typeof FOUND_SETTINGS): SqlTerm {
  return { sql: `nullif(pg_catalog.current_setting(${quoteLiteral(FOUND_SETTINGS[setting])},true),'')::int8` };
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
  const { limits, tables } = end;
  const [only] = tables;
  const format = (): EndText => fillConstants(formatEnd(m, tables), endConstants(limits));
  // Of the usual push, whose rows are all of one table, the text is made once.
  const text = only === undefined || tables.length > 1 ? format() : keepText(only, m, 'end', limits, format);
  return bindEnd(text, { ...endValues(end), 4: ['int8', end.rowCount], 5: ['uuid', end.captureToken] });
}

/**
 * The same for rows that are not applied yet: applies them too. A row in conflict and nothing is written (row count NULL); a row
 * that is not there raises. Triggers run after it, so `settle` has to follow.
 */
export function commitSmallDirectly(m: MetadataNames, end: SmallCommitEnd, push: DirectPush, hasSmallRows: boolean): PgStatement {
  const { limits } = end;
  const [only] = push.groups;
  const constants = { ...endConstants(limits), 4: foundBy('floor').sql, 5: 'NULL' };
  const format = (): EndText => fillConstants(formatDirectEnd(m, push, hasSmallRows), constants);
  const name = `${push.op} ${only?.group.columnSet ?? ''} ${String(hasSmallRows)}`;
  const text = only === undefined || push.groups.length > 1 ? format() : keepText(only.table, m, name, limits, format);
  return bindEnd(text, endValues(end));
}

/** Parameters of the statements that end a commit, by their numbers. `$4` and `$5` mean what they mean to the statement that comes first. */
function endValues(end: SmallCommitEnd): Readonly<Record<number, BoundValue>> {
  return {
    2: ['text', end.scopeId],
    6: ['uuid', end.pushId],
    7: ['text', end.sourceId],
    9: ['text', end.canonicalRequestHash],
  };
}

/**
 * What stands in place of the other parameters. PostgreSQL analyses and plans the arguments of every EXECUTE, so what is the same in each
 * commit, or known to the session, is part of the text.
 */
function endConstants(limits: SmallCommitLimits): Readonly<Record<number, string>> {
  const bound = (value: number | null): string => (value === null ? 'NULL' : String(value));
  return {
    1: foundBy('scopePk').sql,
    3: foundBy('bundleSeq').sql,
    8: foundBy('sourceBundleId').sql,
    10: bound(limits.retainedBundlesPerScope),
    11: bound(limits.retainedBundleAgeMs),
    12: bound(limits.retainedBundleBytesPerScope),
    13: bound(limits.retentionPruneBatchSize),
    14: bound(limits.maxRowsPerBundle),
    15: bound(limits.maxBytesPerBundle),
    16: bound(limits.maxBytesPerSnapshotRow),
  };
}

/** A text whose parameters are numbered anew, and which of the old ones each of them is. */
interface EndText {
  readonly text: string;
  readonly parameters: readonly number[];
}

function fillConstants(text: string, constants: Readonly<Record<number, string>>): EndText {
  const parameters: number[] = [];
  const filled = replaceParameters(text, (number) => {
    const constant = constants[number];
    if (constant !== undefined) return constant;
    if (!parameters.includes(number)) parameters.push(number);
    return `$${String(parameters.indexOf(number) + 1)}`;
  });
  return { text: filled, parameters };
}

function bindEnd({ text, parameters }: EndText, values: Readonly<Record<number, BoundValue>>): PgStatement {
  return bindNumbered(
    text,
    parameters.map((number) => {
      const value = values[number];
      if (value === undefined) throw new TypeError(`parameter ${String(number)} has no value`);
      return value;
    }),
  );
}

/** Texts of one table by what else they depend on: operation, columns, of which few are taken, and limits, which a server never changes. */
type TableTexts = Map<string, { readonly limits: SmallCommitLimits; readonly text: EndText }>;

const textsByTable = new WeakMap<TableDescription, TableTexts>();

function keepText(
  table: TableDescription,
  m: MetadataNames,
  name: string,
  limits: SmallCommitLimits,
  format: () => EndText,
): EndText {
  let texts = textsByTable.get(table);
  if (texts === undefined) textsByTable.set(table, (texts = new Map()));
  const key = `${m.schema} ${name}`;
  const kept = texts.get(key);
  if (kept?.limits === limits) return kept.text;
  const text = format();
  texts.set(key, { limits, text });
  return text;
}

/** `result r` as the end of a statement: `hash` is SQL and NULL where the bundle must not be written. */
function selectResult(m: MetadataNames, hash: string): string {
  return (
    `SELECT r.row_count,r.canonical_bytes,r.lost_count,r.hash,` +
    `${nameFunction(m, 'finish')}($1::int8,$3::int8,$7::text,$8::int8,r.row_count::int4,${hash},$9::text,NULL,r.canonical_bytes::int8,r.wire_bytes::int8,` +
    `'client',$6::uuid,$5::uuid,$10::int8,$11::int8,$12::int8,$13::int4,false,r.largest_row::int8,$14::int8,$15::int8,$16::int8) FROM result r`
  );
}

function formatEnd(m: MetadataNames, tables: readonly TableDescription[]): string {
  return writeRowsSql(
    m,
    { pushed: tables, captured: [], hashBytesMax: SQL_HASH_BYTES_MAX },
    (totals) =>
      `, result (row_count,wire_bytes,canonical_bytes,largest_row,lost_count,hash) AS MATERIALIZED (${totals}) ${selectResult(m, 'r.hash')}`,
  );
}

function formatDirectEnd(m: MetadataNames, push: DirectPush, hasSmallRows: boolean): string {
  const isWhole = `r.applied_count=${push.op === 'INSERT' ? '0' : 'r.row_count'} AND r.largest_block<=${String(BLOCK_BYTES)}`;
  return formatDirectPush(
    m,
    { push, hasSmallRows, hashBytesMax: SQL_HASH_BYTES_MAX },
    (totals) =>
      `, result (row_count,wire_bytes,canonical_bytes,largest_row,lost_count,hash,applied_count,largest_block) AS MATERIALIZED (${totals}) ` +
      selectResult(m, `CASE WHEN ${isWhole} THEN r.hash END`),
  );
}

const calls = new Map<string, string>();

/** The text is made once, so that what looks it up need not hash it again. */
function callFunction(m: MetadataNames, kind: SmallPushFunction, values: readonly BoundValue[]): PgStatement {
  const name = nameFunction(m, kind);
  let text = calls.get(name);
  if (text === undefined) {
    const parameters = values.map(([type], index) => `$${String(index + 1)}::${type}`).join(',');
    text = `SELECT ${name}(${parameters})`;
    calls.set(name, text);
  }
  return bindNumbered(text, values);
}
