import type { PgStatement } from '../ports/postgres.ts';
import { bindStatement } from '../rules/bound-statement.ts';
import type { Bind } from '../rules/bound-statement.ts';
import { keyFromText, renderPayload, tableRef } from '../rules/render-sql.ts';
import type { RenderFunctions } from '../rules/render-sql.ts';
import { quoteIdentifier, quoteLiteral } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { PushRef, ScopedPush } from './push-row.sql.ts';

/** Names of the values that the table of `decideConflict` looks at, as SQL expressions. */
export interface ConflictTerms {
  readonly op: string;
  readonly baseRowVersion: string;
  /** NULL when the key is unknown. */
  readonly version: string;
  readonly deleted: string;
  readonly floor: string;
}

/** The table of `decideConflict` in SQL: true for a row that is accepted, never NULL. */
export function createAcceptCondition({ op, baseRowVersion, version, deleted, floor }: ConflictTerms): string {
  return (
    `CASE WHEN ${op}<>'INSERT' THEN COALESCE(NOT ${deleted} AND ${version}=${baseRowVersion},false) ` +
    `WHEN ${version} IS NULL THEN ${baseRowVersion}<=${floor} ` +
    `ELSE ${deleted} AND ${baseRowVersion}>0 AND ${version}=${baseRowVersion} END`
  );
}

/**
 * Whether no key of the push comes more than once and no row is in conflict. One pass over the stage with one look-up per key; which rows
 * are to blame is asked only when there are any.
 */
export function judgeStagedKeys(m: MetadataNames, push: ScopedPush): PgStatement {
  return bindStatement((bind) => {
    const { rows, accept } = stagedStatesSql(m, push, bind);
    return `SELECT COALESCE(bool_and(p.is_repeated IS NOT TRUE AND ${accept}),true) ${rows}`;
  });
}

interface StateTerms {
  readonly scopePk: string;
  /** Version of the row that `p` is about, one look-up by key. */
  readonly state: string;
  /** Whether the pushed row `p` fits its state `s`. */
  readonly accept: string;
}

function stateTerms(m: MetadataNames, push: ScopedPush, bind: Bind): StateTerms {
  const scopeId = bind('text', push.scopeId);
  const ofScope = (column: string): string => `(SELECT sc.${column} FROM ${m.scope} sc WHERE sc.scope_id=${scopeId})`;
  const accept = createAcceptCondition({
    op: 'p.op',
    baseRowVersion: 'p.base_row_version',
    version: 's.version',
    deleted: 's.deleted',
    floor: ofScope('floor'),
  });
  const state =
    `SELECT r.version,r.deleted FROM ${m.rowState} r ` +
    `WHERE r.scope_pk=${ofScope('scope_pk')} AND r.table_id=p.table_id AND r.key_bytes=p.key_bytes OFFSET 0`;
  return { scopePk: ofScope('scope_pk'), state, accept };
}

/** Every staged row with its state, the accept condition among the terms; rows come in key order, and know whether their key repeats. */
function stagedStatesSql(m: MetadataNames, push: ScopedPush, bind: Bind): { readonly rows: string; readonly accept: string } {
  const { scopePk, state, accept } = stateTerms(m, push, bind);
  const pushed =
    `SELECT r.row_ordinal,r.table_id,r.op,r.key_bytes,r.base_row_version,` +
    `r.key_bytes=lag(r.key_bytes) OVER (PARTITION BY r.table_id ORDER BY r.key_bytes) AS is_repeated FROM ${m.pushRow} r ` +
    `WHERE r.scope_pk=${scopePk} AND r.push_id=${bind('uuid', push.pushId)} OFFSET 0`;
  return { rows: `FROM (${pushed}) p LEFT JOIN LATERAL (${state}) s ON true`, accept };
}

/**
 * All conflicts of a push in upload order, the first `limit` of them, each with the number of all.
 *
 * LATERAL with OFFSET 0 makes it one index look-up per key: the planner has no statistics of a new push or a new scope, and would
 * rather compare each row with all of the scope. In key order, so that neighbouring look-ups meet the same pages.
 */
export function selectConflicts(m: MetadataNames, push: ScopedPush, limit: number): PgStatement {
  return bindStatement((bind) => conflictsSql(m, push, limit, bind));
}

function conflictsSql(m: MetadataNames, push: ScopedPush, limit: number, bind: Bind): string {
  const { scopePk, state, accept } = stateTerms(m, push, bind);
  const pushed =
    `SELECT r.row_ordinal,r.table_id,r.op,r.key_bytes,r.key_text,r.base_row_version FROM ${m.pushRow} r ` +
    `WHERE r.scope_pk=${scopePk} AND r.push_id=${bind('uuid', push.pushId)} ORDER BY r.table_id,r.key_bytes OFFSET 0`;
  return (
    `SELECT p.row_ordinal,p.table_id,p.op,p.key_text,p.base_row_version,COALESCE(s.version,0),COALESCE(s.deleted,false),count(*) OVER () ` +
    `FROM (${pushed}) p LEFT JOIN LATERAL (${state}) s ON true WHERE NOT (${accept}) ORDER BY p.row_ordinal LIMIT ${limit}`
  );
}

export interface ServerRowQuery {
  readonly scopeId: string;
  readonly table: TableDescription;
  readonly rowOrdinals: readonly number[];
  /** Rendered whatever its size. */
  readonly mandatoryRowOrdinal: number;
  /** Bytes of all other rows together. */
  readonly bytesMax: number;
}

/** Payloads of the live rows that pushed rows of one table conflict with: ordinal, text. */
export function selectServerRows(m: MetadataNames, push: PushRef, query: ServerRowQuery, functions: RenderFunctions): string {
  const { table } = query;
  const pushed =
    `SELECT r.row_ordinal,r.key_text FROM ${m.pushRow} r WHERE r.scope_pk=${push.scopePk} AND r.push_id=${quoteLiteral(push.pushId)} ` +
    `AND r.row_ordinal IN (${query.rowOrdinals.join(',')}) OFFSET 0`;
  const live =
    `SELECT * FROM ${tableRef(table)} b WHERE b.${quoteIdentifier(SCOPE_COLUMN)}=${quoteLiteral(query.scopeId)} ` +
    `AND b.${quoteIdentifier(table.keyColumn)}=${keyFromText(table, 'p.key_text')} OFFSET 0`;
  const rows = `SELECT p.row_ordinal,${renderPayload(table, 't', functions)} AS payload FROM (${pushed}) p CROSS JOIN LATERAL (${live}) t`;
  return (
    `SELECT r.row_ordinal,r.payload FROM (SELECT r.*,sum(octet_length(r.payload)) OVER (ORDER BY r.row_ordinal) AS total FROM (${rows}) r) r ` +
    `WHERE r.total<=${query.bytesMax} OR r.row_ordinal=${query.mandatoryRowOrdinal}`
  );
}
