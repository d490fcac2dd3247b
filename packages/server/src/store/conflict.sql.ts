import { keyFromText, renderPayload, tableRef } from '../rules/render-sql.ts';
import type { RenderFunctions } from '../rules/render-sql.ts';
import { quoteIdentifier, quoteLiteral } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { PushRef } from './push-row.sql.ts';

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

/** All conflicts of a push in upload order, the first `limit` of them, each with the number of all. */
export function selectConflicts(m: MetadataNames, push: PushRef, floor: bigint, limit: number): string {
  const accept = createAcceptCondition({
    op: 'p.op',
    baseRowVersion: 'p.base_row_version',
    version: 's.version',
    deleted: 's.deleted',
    floor: String(floor),
  });
  return (
    `SELECT p.row_ordinal,p.table_id,p.op,p.key_text,p.base_row_version,COALESCE(s.version,0),COALESCE(s.deleted,false),count(*) OVER () ` +
    `FROM ${m.pushRow} p LEFT JOIN ${m.rowState} s ON s.scope_pk=${push.scopePk} AND s.table_id=p.table_id AND s.key_bytes=p.key_bytes ` +
    `WHERE p.scope_pk=${push.scopePk} AND p.push_id=${quoteLiteral(push.pushId)} AND NOT (${accept}) ORDER BY p.row_ordinal LIMIT ${limit}`
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
  const rows =
    `SELECT p.row_ordinal,${renderPayload(table, 't', functions)} AS payload FROM ${m.pushRow} p JOIN ${tableRef(table)} t ` +
    `ON t.${quoteIdentifier(SCOPE_COLUMN)}=${quoteLiteral(query.scopeId)} AND t.${quoteIdentifier(table.keyColumn)}=${keyFromText(table, 'p.key_text')} ` +
    `WHERE p.scope_pk=${push.scopePk} AND p.push_id=${quoteLiteral(push.pushId)} AND p.row_ordinal IN (${query.rowOrdinals.join(',')})`;
  return (
    `SELECT r.row_ordinal,r.payload FROM (SELECT r.*,sum(octet_length(r.payload)) OVER (ORDER BY r.row_ordinal) AS total FROM (${rows}) r) r ` +
    `WHERE r.total<=${query.bytesMax} OR r.row_ordinal=${query.mandatoryRowOrdinal}`
  );
}
