import type { PgTransaction } from '../ports/postgres.ts';
import { liveColumns } from '../rules/live-columns-sql.ts';
import type { LiveColumns } from '../rules/live-columns-sql.ts';
import type { LiveRequest, LiveRow } from '../rules/rerender-rows.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** A request of a row that is one of many to be held together. */
export interface PlacedRequest extends LiveRequest {
  /** Bytes of stored text up to and including the row. */
  readonly storedBytes: number;
}

export interface LiveLookUp {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly requests: readonly PlacedRequest[];
  readonly byteCountMax: number;
}

/**
 * What the tables hold now for as many of the first requests as fit, but one at least; `undefined` for a row that is gone. One round trip.
 */
export async function loadLiveRows(
  tx: PgTransaction,
  m: MetadataNames,
  { scopePk, scopeId, requests, byteCountMax }: LiveLookUp,
): Promise<(LiveRow | undefined)[]> {
  if (requests.length === 0) return [];
  const { rows } = await tx.query(liveColumns(groupByTable(requests), m), [
    scopePk,
    scopeId,
    requests.map(({ table }) => String(table.tableId)),
    requests.map(({ keyText }) => keyText),
    requests.map(({ storedBytes }) => String(storedBytes)),
    String(byteCountMax),
  ]);
  return rows.map(([rowVersion, payloadText]) =>
    typeof rowVersion === 'string' && typeof payloadText === 'string' ? { rowVersion, payloadText } : undefined,
  );
}

/** Rows of several old shapes may miss different columns of one table: each is asked for all of them. */
function groupByTable(requests: readonly LiveRequest[]): LiveColumns[] {
  const columnsByTable = new Map<LiveRequest['table'], Set<string>>();
  for (const { table, columns } of requests) {
    const known = columnsByTable.get(table) ?? new Set<string>();
    for (const column of columns) known.add(column);
    columnsByTable.set(table, known);
  }
  return [...columnsByTable]
    .map(([table, columns]) => ({ table, columns: [...columns] }))
    .sort((left, right) => left.table.tableId - right.table.tableId);
}
