/**
 * The statement that commits a direct push: it reads each staged row once, applies it, and writes the history of the same values.
 * Compared with applying first and reading back, it saves a look-up in the table for every row, and needs no sort by key for them.
 */
import type { PgStatement } from '../ports/postgres.ts';
import { bindNumbered } from '../rules/bound-statement.ts';
import type { BoundValue } from '../rules/bound-statement.ts';
import type { DirectGroup, DirectPush } from '../rules/direct-push.ts';
import { createAcceptCondition } from './conflict.sql.ts';
import { keyFromText, keyMember, renderPayload, tableRef } from '../rules/render-sql.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import {
  BLOCK_ROWS_MAX,
  BUNDLE_SEQ,
  PUSH_ID,
  SCOPE_ID,
  SCOPE_PK,
  selectTotals,
  writeImageCtes,
  writeSmallRowCtes,
} from './finalise.sql.ts';
import type { ImageFacts } from './finalise.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { OrdinalRange } from './push-row.sql.ts';

export interface DirectPushQuery extends DirectPushShape {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly bundleSeq: string;
  readonly pushId: string;
  /** Of the scope: what a base version has to be compared with where the key is unknown. */
  readonly floor: string;
  /** Rows of the statement, both ends included; all rows where {@link DirectPushShape.isPart} is not set. */
  readonly range?: OrdinalRange;
}

/** Our columns beside those of the table, whose published ones are in lower case. */
const OWN = {
  block: '"BLOCK"',
  ord: '"ORD"',
  keyBytes: '"KEY_BYTES"',
  keyText: '"KEY_TEXT"',
  base: '"BASE"',
  scope: '"SCOPE"',
  state: '"STATE"',
  isAccepted: '"IS_ACCEPTED"',
  head: '"HEAD"',
  payload: '"PAYLOAD"',
};

/** The place of the rows pushed in other statements that write an image. */
const FLOOR = '$4::int8';

/** What the text of a direct push depends on; all of its values are parameters. */
export interface DirectPushShape {
  readonly push: DirectPush;
  readonly hashBytesMax: number;
  /** Blocks of the greatest number of rows are expected to stay far below their greatest size. */
  readonly hasSmallRows: boolean;
  /**
   * The texts of the blocks come along, in the order of their rows and before the totals, so that they are hashed meanwhile: a row each,
   * its first column the first ordinal, its last the text as `varchar`, the others NULL. Small rows only.
   */
  readonly tellsTexts?: boolean;
  /** Only rows of a range, whose ends are two more parameters; other parts may have been written before. Tells no canonical bytes. */
  readonly isPart?: boolean;
}

/** Ends of the range of a part. */
const [FIRST_ORDINAL, LAST_ORDINAL] = ['$7::int4', '$8::int4'];

/** One conflict and nothing is written. */
const MAY_WRITE = '(SELECT g.verdict FROM guard g)';

/**
 * One row as `writeRowsSql` gives it, without any rows when one is in conflict, the number of rows that were updated or deleted (0 for inserts), and the bytes of the largest block
 * (0 where blocks were cut by bytes). With {@link DirectPushShape.tellsTexts} it is the last one, and has one column more, which is NULL.
 */
export function commitDirectly(m: MetadataNames, query: DirectPushQuery): PgStatement {
  return bindNumbered(formatDirectPush(m, { ...query, isPart: query.range !== undefined }), [
    ['int8', query.scopePk],
    ['text', query.scopeId],
    ['int8', query.bundleSeq],
    ['int8', query.floor],
    ['uuid', null],
    ['uuid', query.pushId],
    ...(query.range === undefined ? [] : [toBound(query.range.first), toBound(query.range.last)]),
  ]);
}

function toBound(ordinal: number): BoundValue {
  return ['int4', ordinal];
}

/** Its parameters are those of {@link commitDirectly}. `conclude` makes the end of the statement out of its SELECT. */
export function formatDirectPush(
  m: MetadataNames,
  query: DirectPushShape,
  conclude: (totals: string) => string = (totals) => totals,
): string {
  const { push } = query;
  const facts: ImageFacts = {
    tables: [...new Set(push.groups.map(({ table }) => table))],
    states: isNew(push) ? 'new' : push.op === 'INSERT' ? 'mixed' : 'known',
    images: push.op === 'DELETE' ? 'gone' : 'live',
    hashBytesMax: query.hashBytesMax,
    tellsTexts: query.tellsTexts === true && query.hasSmallRows,
  };
  const rows = push.groups.map((group, index) => `x${String(index)} AS MATERIALIZED (${rowsSql(m, query, group)})`);
  const applied = push.groups.map((group, index) => `a${String(index)} AS (${applySql(push, group, `x${String(index)}`)})`);
  const images = push.groups.map(
    ({ table }, index) =>
      `SELECT x.${OWN.block} AS block,x.${OWN.ord} AS ord,${String(table.tableId)} AS table_id,x.${OWN.keyBytes} AS key_bytes,x.${OWN.state} AS state_ctid,` +
      `x.${OWN.head} AS head,x.${OWN.payload} AS payload FROM x${String(index)} x WHERE ${MAY_WRITE}`,
  );
  const verdicts = push.groups.map((_, index) => `SELECT bool_and(x.${OWN.isAccepted}) AS verdict FROM x${String(index)} x`);
  const counts = push.groups.map((_, index) => `(SELECT count(*) FROM a${String(index)})`);
  return `
WITH ${rows.join(',\n')}, guard AS MATERIALIZED (SELECT bool_and(v.verdict) AS verdict FROM (${verdicts.join(' UNION ALL ')}) v), ${applied.join(',\n')},
image AS NOT MATERIALIZED (${images.join(' UNION ALL ')}), ${query.hasSmallRows ? writeSmallRowCtes(m, facts) : writeImageCtes(m, facts)}
${conclude(
  `${facts.tellsTexts === true ? TEXTS : ''}SELECT ${selectTotals(facts, '0', 'i.block, i.ord')}, ${push.op === 'INSERT' ? '0' : counts.join('+')}, ${query.hasSmallRows ? 't.largest_block' : '0'}${facts.tellsTexts === true ? ', NULL' : ''}
FROM totals t`,
)}`;
}

/** In front of the totals: PostgreSQL sends each block as soon as it is written, and they are written in the order of their rows. */
const TEXTS = `SELECT b.first_row_ordinal, NULL, NULL, NULL, NULL, NULL, NULL, NULL, b.row_texts::varchar FROM blocks b
UNION ALL `;

/**
 * Rows that nobody has seen before need no look-up: should one of their keys be known nevertheless, the primary key of the versions or of
 * the table refuses it.
 */
function isNew({ op, groups }: DirectPush): boolean {
  return op === 'INSERT' && groups.every(({ group }) => group.isNew === true);
}

function rowsSql(m: MetadataNames, query: DirectPushShape, direct: DirectGroup): string {
  const { push } = query;
  const { table } = direct;
  const y = (name: string): string => `y.${name}`;
  const published = push.op === 'DELETE' ? [table.keyColumn] : table.columns.map(({ name }) => name);
  const values = published.map((name) => y(quoteIdentifier(name)));
  const head = `${keyMember(table, y(OWN.keyText))}||',"op":"${push.op}"'`;
  const detail = `${y(OWN.ord)}::text||':'||${y(OWN.keyText)}`;
  const payload = push.op === 'DELETE' ? 'NULL::text' : renderPayload(table, 'y', m, detail);
  const accept = createAcceptCondition({
    op: `'${push.op}'`,
    baseRowVersion: y(OWN.base),
    version: 's.version',
    deleted: 's.deleted',
    floor: FLOOR,
  });
  // A key that an earlier part has written looks known at the version that this bundle gives it.
  const isAccepted = query.isPart === true ? `${accept} AND s.version IS DISTINCT FROM ${BUNDLE_SEQ}` : accept;
  const state = isNew(push) ? `NULL::tid AS ${OWN.state},true` : `s.state_ctid AS ${OWN.state},${isAccepted}`;
  return (
    `SELECT ${y(OWN.block)},${y(OWN.ord)},${y(OWN.keyBytes)},${state} AS ${OWN.isAccepted},${head} AS ${OWN.head},${payload} AS ${OWN.payload},` +
    `${push.op === 'INSERT' ? '' : `${y(OWN.scope)},`}${values.join(',')} FROM (${convertedSql(m, query, direct)}) y` +
    `${isNew(push) ? '' : lookUpState(m, direct)}${goesByKey(query) ? '' : ` ORDER BY ${y(OWN.block)},${y(OWN.ord)}`}`
  );
}

/** OFFSET 0 keeps the planner from pulling the cast up, where it would run once per column instead of once per row. */
function convertedSql(m: MetadataNames, query: DirectPushShape, { table, group }: DirectGroup): string {
  const { push, isPart } = query;
  const key = quoteIdentifier(table.keyColumn);
  const isDelete = push.op === 'DELETE';
  const fields = isDelete ? `z.${key}` : table.columns.map(({ name }) => `(z.r).${quoteIdentifier(name)}`).join(',');
  const value = isDelete ? `${keyFromText(table, 'p.key_text')} AS ${key}` : `p.apply_text::${tableRef(table)} AS r`;
  // Hidden from the planner, which expects a single row of a scope that it has no statistics of.
  const scope = push.op === 'INSERT' ? '' : `,${SCOPE_ID} AS ${OWN.scope}`;
  return (
    `SELECT z.${OWN.ord}/${String(BLOCK_ROWS_MAX)} AS ${OWN.block},z.${OWN.ord},z.${OWN.keyBytes},z.${OWN.keyText},z.${OWN.base}${scope},${fields} FROM (` +
    `SELECT p.row_ordinal AS ${OWN.ord},p.key_bytes AS ${OWN.keyBytes},p.key_text AS ${OWN.keyText},p.base_row_version AS ${OWN.base},${value} FROM ${m.pushRow} p ` +
    `WHERE p.scope_pk=${SCOPE_PK} AND p.push_id=${PUSH_ID} AND p.table_id=${String(table.tableId)} AND p.op='${push.op}' ` +
    `AND p.column_set='${group.columnSet}'${isPart === true ? ` AND p.row_ordinal BETWEEN ${FIRST_ORDINAL} AND ${LAST_ORDINAL}` : ''} OFFSET 0) z ORDER BY ${goesByKey(query) ? `z.${OWN.keyBytes}` : '1,2'} OFFSET 0`
  );
}

/**
 * Versions were stored in the order of keys, and so are their index and that of the table: a part of a large push meets each of their pages
 * once. A push that is one statement finds most of them in memory anyway, and its blocks and hash need the order of ordinals.
 */
function goesByKey({ push, isPart }: DirectPushShape): boolean {
  return isPart === true && push.op !== 'INSERT';
}

/** One index look-up per key, as in `finalise.sql.ts`. */
function lookUpState(m: MetadataNames, { table }: DirectGroup): string {
  return (
    ` LEFT JOIN LATERAL (SELECT r.ctid AS state_ctid,r.version,r.deleted FROM ${m.rowState} r WHERE r.scope_pk=${SCOPE_PK} AND r.table_id=${String(table.tableId)} ` +
    `AND r.key_bytes=y.${OWN.keyBytes} OFFSET 0) s ON true`
  );
}

function applySql(push: DirectPush, { table, columns }: DirectGroup, rows: string): string {
  const key = quoteIdentifier(table.keyColumn);
  const names = columns.map(quoteIdentifier);
  if (push.op === 'INSERT') {
    return (
      `INSERT INTO ${tableRef(table)} (${[...names, quoteIdentifier(SCOPE_COLUMN)].join(',')}) ` +
      `SELECT ${names.map((name) => `x.${name}`).join(',')},${SCOPE_ID} FROM ${rows} x WHERE ${MAY_WRITE}`
    );
  }
  const matches = `t.${quoteIdentifier(SCOPE_COLUMN)}=x.${OWN.scope} AND t.${key}=x.${key} AND ${MAY_WRITE} RETURNING 1`;
  if (push.op === 'DELETE') return `DELETE FROM ${tableRef(table)} t USING ${rows} x WHERE ${matches}`;
  const assignments = names.map((name) => `${name}=x.${name}`).join(',');
  return `UPDATE ${tableRef(table)} t SET ${assignments} FROM ${rows} x WHERE ${matches}`;
}
