/**
 * The statements that end a bundle transaction (server.md 7.3 step 7, 7.4). The first one reads every touched key once and
 * writes rows and versions; its size grows with the number of touched tables, never with rows.
 */
import { bindStatement } from '../rules/bound-statement.ts';
import {
  BLANK_CHARACTERS_SQL,
  columnRef,
  keyFromBytes,
  keyFromText,
  keyMember,
  keyTextFromBytes,
  keyTextOfRow,
  renderPayload,
  tableMembers,
  tableRef,
} from '../rules/render-sql.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { ScriptStatement } from './run-statements.ts';

/** Rows of one stored block. With more, the array of lengths would leave the tuple, and reading it would cost another look-up. */
export const BLOCK_ROWS_MAX = 448;

/** Bytes at which a block is cut; one row more may stand in it. Bounds what a reader holds in memory at once. */
export const BLOCK_BYTES = 1_048_576;

/**
 * Canonical bytes up to which PostgreSQL computes the bundle hash: it holds about three copies of the text. Larger bundles are
 * streamed through the process.
 */
export const SQL_HASH_BYTES_MAX = 67_108_864;

/** Bytes of `,"op":"INSERT"`, which a bundle row has and a snapshot row has not; UPDATE is as long. */
const OP_MEMBER_BYTES = 14;

/** Bytes of `,"row_ordinal":"` and `"` and of the quotes around the version: what a canonical row has more than a wire row. */
const CANONICAL_EXTRA_BYTES = 19;

/** Bytes of `,"payload":null`: a canonical DELETE has it, a wire DELETE has not. */
const NULL_PAYLOAD_BYTES = 15;

/** Runs everything deferred, then lists the tables that anything but the push itself touched. */
export function settleConstraints(m: MetadataNames, scopePk: string, captureToken: string): readonly ScriptStatement[] {
  const select = bindStatement(
    (bind) =>
      `SELECT DISTINCT table_id FROM ${m.capture} WHERE scope_pk = ${bind('int8', scopePk)} AND token = ${bind('uuid', captureToken)}`,
  );
  return ['SET CONSTRAINTS ALL IMMEDIATE', select];
}

/** Parameters of {@link writeRowsSql}, in this order. */
export interface WriteRowsParams {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly bundleSeq: string;
  /** Rows pushed; the ordinals of other rows follow. */
  readonly pushedRowCount: string;
  readonly captureToken: string;
  readonly pushId: string | null;
}

export function writeRowsParams(p: WriteRowsParams): readonly (string | null)[] {
  return [p.scopePk, p.scopeId, p.bundleSeq, p.pushedRowCount, p.captureToken, p.pushId];
}

/** The parameters as they stand in the text; statements of other modules that write an image have them in the same places. */
export const SCOPE_PK = '$1::int8';
export const SCOPE_ID = '$2::text';
export const BUNDLE_SEQ = '$3::int8';
const PUSHED_ROW_COUNT = '$4::int8';
const CAPTURE_TOKEN = '$5::uuid';
export const PUSH_ID = '$6::uuid';

export interface TouchedTables {
  /** Tables with rows in `push_row`. */
  readonly pushed: readonly TableDescription[];
  /** Tables with keys in `capture`. */
  readonly captured: readonly TableDescription[];
  /** Canonical bytes up to which PostgreSQL computes the hash; 0 when the process has to. */
  readonly hashBytesMax: number;
}

/**
 * Writes blocks, row versions and tombstones of the touched keys, at least one table; one row: row count, wire bytes, canonical bytes, largest snapshot row, pushed rows
 * that are gone, hash or NULL. Byte counts are NULL without rows.
 *
 * Known versions are updated where the look-up found them (the scope lock keeps them there) and new ones inserted in key order,
 * without ON CONFLICT: two to four times cheaper.
 * `conclude` makes the end of the statement out of its SELECT.
 * `scope_pk + 0` hides the scope from the planner: of a scope without statistics it expects a single row, and would read all of its
 * rows per key instead of going to the place that the look-up found.
 */
export function writeRowsSql(
  m: MetadataNames,
  touched: TouchedTables,
  conclude: (totals: string) => string = (totals) => totals,
): string {
  const tables = [...new Map([...touched.pushed, ...touched.captured].map((table) => [table.tableId, table])).values()];
  const image = { tables, states: 'mixed', images: 'mixed', hashBytesMax: touched.hashBytesMax } as const;
  return `
WITH input AS (SELECT ${SCOPE_PK}, ${SCOPE_ID}, ${BUNDLE_SEQ}, ${PUSHED_ROW_COUNT}, ${CAPTURE_TOKEN}, ${PUSH_ID}), ${imageCtes(m, touched)}, ${writeImageCtes(m, image)}
${conclude(`SELECT ${selectTotals(image, '(SELECT count(*) FROM image WHERE is_lost)')}
FROM totals t`)}`;
}

/** What is known of the rows of `image` before they are read; what cannot be there costs nothing. */
export interface ImageFacts {
  readonly tables: readonly TableDescription[];
  /** Whether the keys stand in `row_state`. */
  readonly states: 'new' | 'known' | 'mixed';
  /** Whether the rows are there. */
  readonly images: 'live' | 'gone' | 'mixed';
  readonly hashBytesMax: number;
  /** The texts of the blocks are read again, by the SELECT at the end. */
  readonly tellsTexts?: boolean;
}

/** Writes what `image` says: blocks, row versions, tombstones. `totals` has one row. */
export function writeImageCtes(m: MetadataNames, facts: ImageFacts): string {
  return `wired AS (
  SELECT i.ord, i.table_id, ${isGone(facts)} AS is_delete, ${wireExpression(facts)} AS wire FROM image i
), sized AS (
  SELECT w.*, octet_length(w.wire) AS bytes, sum(octet_length(w.wire)) OVER (ORDER BY w.ord ROWS UNBOUNDED PRECEDING) AS bytes_upto FROM wired w
), blocks AS (
  ${insertBlocks(m, facts)}
  FROM sized z
  GROUP BY z.ord / ${String(BLOCK_ROWS_MAX)}, (z.bytes_upto - 1) / ${String(BLOCK_BYTES)}
)${writeStateCtes(m, facts)}, totals AS (
  SELECT count(*) AS row_count, sum(bytes) + count(*) - 1 AS wire_bytes,
    sum(bytes + ${String(CANONICAL_EXTRA_BYTES)} + length(ord::text) + CASE WHEN is_delete THEN ${String(NULL_PAYLOAD_BYTES)} ELSE 0 END)
      + count(*) + 1 AS canonical_bytes,
    max(bytes - ${String(OP_MEMBER_BYTES)}) FILTER (WHERE NOT is_delete) AS largest_row
  FROM sized
)`;
}

/**
 * The same for rows so small that blocks need not be cut by bytes, with all ordinals from 0 on: each row text is made where it is
 * stored, and the totals are those of the blocks. `image` knows its block (`block`) and comes in the order of block and ordinal;
 * `totals` tells the bytes of the largest block too.
 */
export function writeSmallRowCtes(m: MetadataNames, facts: ImageFacts): string {
  const surplus = CANONICAL_EXTRA_BYTES + (facts.images === 'gone' ? NULL_PAYLOAD_BYTES : 0);
  const largest = `(SELECT max(l.bytes) FROM unnest(b.row_lengths) AS l (bytes)) - ${String(OP_MEMBER_BYTES)}`;
  return `blocks AS (
  ${insertBlocks(m, facts)}
  FROM (
    SELECT w.*, octet_length(w.wire) AS bytes FROM (
      SELECT i.block, i.ord, i.table_id, ${wireExpression(facts)} AS wire FROM image i ORDER BY i.block, i.ord OFFSET 0) w) z
  GROUP BY z.block
  RETURNING row_count, row_lengths, octet_length(row_texts) AS bytes${facts.tellsTexts === true ? ', first_row_ordinal, row_texts' : ''}
)${writeStateCtes(m, facts)}, totals AS (
  SELECT t.*, t.wire_bytes + t.row_count * ${String(surplus)} + ${digitsOfOrdinals('t.row_count')} + 2 AS canonical_bytes FROM (
    SELECT sum(b.row_count) AS row_count, sum(b.bytes) + count(*) - 1 AS wire_bytes,
      ${facts.images === 'gone' ? 'NULL::int4' : `max(${largest})`} AS largest_row, max(b.bytes) AS largest_block
    FROM blocks b) t
)`;
}

/** Characters of the numbers from 0 to below `count`: each has one, those from 10 on a second, and so on. */
function digitsOfOrdinals(count: string): string {
  const further = Array.from(
    { length: ORDINAL_DIGITS_MAX - 1 },
    (_, index) => `GREATEST(${count} - 1${'0'.repeat(index + 1)}, 0)`,
  );
  return [count, ...further].join(' + ');
}

/** Digits of the largest ordinal, a 32-bit integer. */
const ORDINAL_DIGITS_MAX = 10;

function isGone({ images }: ImageFacts): string {
  return { live: 'false', gone: 'true', mixed: 'i.payload IS NULL' }[images];
}

/** What is equal for all rows stands in sub-selects of its own, which run once: each `||` copies the text that it has so far. */
function wireExpression({ tables, images }: ImageFacts): string {
  const version = `',"row_version":' || ${BUNDLE_SEQ}::text`;
  const rest = {
    live: `(SELECT ${version} || ',"payload":') || i.payload || '}'`,
    gone: `(SELECT ${version} || '}')`,
    mixed: `(SELECT ${version}) || COALESCE(',"payload":' || i.payload, '') || '}'`,
  };
  return `'{' || ${caseByTable(tables, tableMembers)} || ',' || i.head || ${rest[images]}`;
}

/** Up to and without FROM, whose rows are called z. */
function insertBlocks(m: MetadataNames, { tables }: ImageFacts): string {
  return `INSERT INTO ${m.bundleBlock} (scope_pk, bundle_seq, first_row_ordinal, row_count, shape_keys, row_lengths, row_texts)
  SELECT ${SCOPE_PK}, ${BUNDLE_SEQ}, min(z.ord), count(*),
    ${shapeKeysExpression(tables)},
    array_agg(z.bytes ORDER BY z.ord), string_agg(z.wire, ',' ORDER BY z.ord)`;
}

function writeStateCtes(m: MetadataNames, facts: ImageFacts): string {
  const { states, images } = facts;
  const inserted = `, inserted AS (
  INSERT INTO ${m.rowState} (scope_pk, table_id, key_bytes, version, deleted)
  SELECT ${SCOPE_PK}, i.table_id, i.key_bytes, ${BUNDLE_SEQ}, ${isGone(facts)} FROM image i${states === 'mixed' ? ' WHERE i.state_ctid IS NULL' : ''} ORDER BY i.table_id, i.key_bytes
)`;
  const updated = `, updated AS (
  UPDATE ${m.rowState} s SET version = ${BUNDLE_SEQ}, deleted = ${isGone(facts)}
  FROM image i
  WHERE i.state_ctid IS NOT NULL AND s.scope_pk + 0 = ${SCOPE_PK} AND s.ctid = i.state_ctid
)`;
  const buried = `, buried AS (
  INSERT INTO ${m.tombstone} (scope_pk, version, table_id, key_bytes)
  SELECT ${SCOPE_PK}, ${BUNDLE_SEQ}, i.table_id, i.key_bytes FROM image i${images === 'mixed' ? ' WHERE i.payload IS NULL' : ''} ORDER BY i.table_id, i.key_bytes
)`;
  return `${states === 'known' ? '' : inserted}${states === 'new' ? '' : updated}${images === 'live' ? '' : buried}`;
}

/** Select list over `totals t`; `lost` is the number of pushed rows that are gone, as SQL, `order` how the rows of `image` are sorted. */
export function selectTotals({ tables, hashBytesMax }: ImageFacts, lost: string, order = 'i.ord'): string {
  const hash = hashBytesMax > 0 ? hashExpression(tables, hashBytesMax, order) : 'NULL::text';
  return `t.row_count, t.wire_bytes, t.canonical_bytes, t.largest_row, ${lost},
  ${hash}`;
}

function shapeKeysExpression(tables: readonly TableDescription[]): string {
  const key = caseByTable(tables, (table) => quoteLiteral(`${String(table.tableId)}:${String(table.shapeId)}`));
  if (tables.length === 1) return `ARRAY[${key}]`;
  return `ARRAY(SELECT DISTINCT ${key} FROM unnest(array_agg(z.table_id)) AS i (table_id) ORDER BY 1)`;
}

function hashExpression(tables: readonly TableDescription[], bytesMax: number, order: string): string {
  return `CASE WHEN t.canonical_bytes <= ${String(bytesMax)} THEN (
    SELECT encode(sha256(convert_to(${canonicalRowsExpression(tables, order)}, 'UTF8')), 'hex')
    FROM image i
  ) END`;
}

/** Rows of one table end alike: their end travels with the comma, and not through every row's own text. */
function canonicalRowsExpression(tables: readonly TableDescription[], order: string): string {
  const start = `i.head || ',"payload":' || COALESCE(i.payload, 'null') || ',"row_ordinal":"' || i.ord::text`;
  const end = `'","row_version":"' || ${BUNDLE_SEQ}::text || '",' || ${caseByTable(tables, tableMembers)} || '}'`;
  if (tables.length > 1) return `'[' || string_agg('{' || ${start} || ${end}, ',' ORDER BY ${order}) || ']'`;
  return `'[{' || string_agg(${start}, (SELECT ${end} || ',{') ORDER BY ${order}) || ${end} || ']'`;
}

/** `image`: one row per bundle row. `head` is what wire and canonical form share: the members key and op. */
function imageCtes(m: MetadataNames, touched: TouchedTables): string {
  const pushed = touched.pushed.map((table) => pushedRowsSql(m, table));
  if (touched.captured.length === 0) return `image AS MATERIALIZED (${pushed.join('\nUNION ALL ')})`;
  const others = `other AS MATERIALIZED (${touched.captured.map((table) => capturedRowsSql(m, table)).join('\nUNION ALL ')})`;
  const numbered = `SELECT ${PUSHED_ROW_COUNT} + row_number() OVER (ORDER BY o.first_ordinal, o.table_id, o.key_bytes) - 1, o.table_id, o.key_bytes, o.state_ctid, false, o.head, o.payload FROM other o`;
  return `touched AS MATERIALIZED (${touchedKeysSql(m, touched)}), ${others}, image (ord, table_id, key_bytes, state_ctid, is_lost, head, payload) AS MATERIALIZED (${[...pushed, numbered].join('\nUNION ALL ')})`;
}

/**
 * Keys that were touched and not pushed. Grouped rather than anti-joined: the planner knows nothing about the stage and might
 * compare every captured key with every staged row.
 */
function touchedKeysSql(m: MetadataNames, touched: TouchedTables): string {
  const captured = `SELECT c.table_id, c.key_bytes, c.ordinal, false AS is_pushed FROM ${m.capture} c WHERE c.scope_pk = ${SCOPE_PK} AND c.token = ${CAPTURE_TOKEN}`;
  const pushed = `SELECT p.table_id, p.key_bytes, NULL::int8, true FROM ${m.pushRow} p WHERE p.scope_pk = ${SCOPE_PK} AND p.push_id = ${PUSH_ID}`;
  const keys = touched.pushed.length === 0 ? captured : `${captured} UNION ALL ${pushed}`;
  return `SELECT k.table_id, k.key_bytes, min(k.ordinal) AS first_ordinal FROM (${keys}) k GROUP BY k.table_id, k.key_bytes HAVING NOT bool_or(k.is_pushed) ORDER BY k.table_id, k.key_bytes`;
}

function pushedRowsSql(m: MetadataNames, table: TableDescription): string {
  const present = `${columnRef('b', table.keyColumn)} IS NOT NULL`;
  const detail = `p.row_ordinal::text||':'||p.key_text`;
  return `
  SELECT p.row_ordinal::int8 AS ord, p.table_id, p.key_bytes, s.state_ctid,
    p.op <> 'DELETE' AND NOT (${present}) AS is_lost,
    ${keyMember(table, 'p.key_text')} || ${opMember(present)} AS head,
    CASE WHEN ${present} THEN ${renderPayload(table, 'b', m, detail)} END AS payload
  FROM (
    SELECT p.row_ordinal, p.table_id, p.op, p.key_bytes, p.key_text FROM ${m.pushRow} p
    WHERE p.scope_pk = ${SCOPE_PK} AND p.push_id = ${PUSH_ID} AND p.table_id = ${String(table.tableId)} ORDER BY p.key_bytes OFFSET 0) p
  ${lookUps(m, table, 'p.key_bytes', keyFromText(table, 'p.key_text'))}`;
}

/** Keys that are neither there nor were live before leave no trace. */
function capturedRowsSql(m: MetadataNames, table: TableDescription): string {
  const present = `${columnRef('b', table.keyColumn)} IS NOT NULL`;
  const key = keyTextOfRow(table, 'b');
  return `
  SELECT k.first_ordinal, k.table_id, k.key_bytes, s.state_ctid,
    ${keyMember(table, keyTextFromBytes(table, 'k.key_bytes'))} || ${opMember(present)} AS head,
    CASE WHEN ${present} THEN ${refuseBlankKey(m, table, key)}${renderPayload(table, 'b', m, `':'||${key}`)} END AS payload
  FROM touched k
  ${lookUps(m, table, 'k.key_bytes', keyFromBytes(table, 'k.key_bytes'))}
  WHERE k.table_id = ${String(table.tableId)} AND (${present} OR NOT s.deleted)`;
}

/**
 * One index look-up per key in `row_state` (alias s) and in the table (alias b). LATERAL with OFFSET 0 rules out every other plan: a
 * fresh stage and a growing scope have no statistics, and the planner would compare each key with every row of the scope. Keys come
 * in key order, so that neighbouring look-ups meet the same pages.
 */
function lookUps(m: MetadataNames, table: TableDescription, keyBytes: string, key: string): string {
  return `LEFT JOIN LATERAL (
    SELECT r.ctid AS state_ctid, r.version, r.deleted FROM ${m.rowState} r
    WHERE r.scope_pk = ${SCOPE_PK} AND r.table_id = ${String(table.tableId)} AND r.key_bytes = ${keyBytes} OFFSET 0) s ON true
  LEFT JOIN LATERAL (
    SELECT * FROM ${tableRef(table)} t
    WHERE ${columnRef('t', SCOPE_COLUMN)} = ${SCOPE_ID} AND ${columnRef('t', table.keyColumn)} = ${key} OFFSET 0) b ON true`;
}

function opMember(present: string): string {
  return `CASE WHEN NOT (${present}) THEN ',"op":"DELETE"' WHEN s.deleted IS NOT FALSE THEN ',"op":"INSERT"' ELSE ',"op":"UPDATE"' END`;
}

/** A pushed key was checked when it came in; one that a trigger stored was not. */
function refuseBlankKey(m: MetadataNames, table: TableDescription, key: string): string {
  if (table.keyKind === 'uuid') return '';
  const names = [table.schema, table.table, table.keyColumn].map(quoteLiteral).join(',');
  return `CASE WHEN btrim(${key}, ${BLANK_CHARACTERS_SQL}) = '' THEN ${m.notRepresentable}(${names},':'||${key}) ELSE '' END||`;
}

function caseByTable(tables: readonly TableDescription[], value: (table: TableDescription) => string): string {
  const [only] = tables;
  if (only !== undefined && tables.length === 1) return value(only);
  return `CASE i.table_id ${tables.map((table) => `WHEN ${String(table.tableId)} THEN ${value(table)}`).join(' ')} END`;
}

/** `$1 scope_pk, $2 bundle_seq`, inlined because COPY takes no parameters: row texts of a bundle, one block per line. */
export function blockTextsSql(m: MetadataNames, scopePk: string, bundleSeq: string): string {
  return `SELECT row_texts FROM ${m.bundleBlock} WHERE scope_pk = ${BigInt(scopePk)} AND bundle_seq = ${BigInt(bundleSeq)} ORDER BY first_row_ordinal`;
}

/** `$1 scope_pk, $2 bundle_seq`: takes the rows off a bundle that is too large to be kept. */
export function dropBlocksSql(m: MetadataNames): string {
  return `DELETE FROM ${m.bundleBlock} WHERE scope_pk = $1::int8 AND bundle_seq = $2::int8`;
}
