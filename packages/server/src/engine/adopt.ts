/** Runs the adoption of populated tables (server.md 4.5): one transaction per scope, resumable, before the server accepts operations. */
import type { PgTransaction } from '../ports/postgres.ts';
import type { Catalog, TableDescription } from '../rules/table-description.ts';
import {
  adoptionCursorSql,
  adoptionScopesSql,
  captureScopeSql,
  ensureScopeSql,
  lockAdoptedScopeSql,
  lockTablesBehindSql,
  saveAdoptionCursorSql,
} from '../store/adoption.sql.ts';
import { bundleContextSettings } from '../store/capture.sql.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import { markAdopted } from '../store/registrations.ts';
import { RowReader } from '../store/row-reader.ts';
import { finaliseBundle } from './finalise.ts';
import type { FinaliseOptions } from './finalise.ts';
import type { ResolvedOptions } from './options.ts';
import { retryTransient } from './retry-transient.ts';
import { formatPinnedSettings } from './transaction.ts';

/** Scopes looked up at once, each of them a transaction of its own. A look-up reads the scope column of whole tables, so few are made. */
const SCOPES_PER_LOOK_UP = 10_000;

/** Scopes after which the progress is told. */
const SCOPES_PER_REPORT = 100;

/** Source ids with this prefix are refused to clients. */
const ADOPTION_SOURCE_PREFIX = 'oversync-adoption:';

export type AdoptionOptions = FinaliseOptions &
  Pick<ResolvedOptions, 'database' | 'retry' | 'lockTimeoutMs' | 'bulkStatementTimeoutMs'> & {
    /** Hears what this call has adopted so far, now and then and at the end. */
    readonly onAdoptionProgress?: (report: AdoptionReport) => void;
  };

export interface AdoptionReport {
  readonly scopes: number;
  readonly rows: number;
}

/**
 * Writes a baseline bundle for every scope that holds rows of `tables`, then marks the tables adopted. Several processes may call it at
 * once: each scope is adopted by one of them.
 */
export async function adoptTables(
  options: AdoptionOptions,
  catalog: Catalog,
  tables: readonly TableDescription[],
): Promise<AdoptionReport> {
  const m = metadataNames(options.metadataSchema);
  let scopes = 0;
  let rows = 0;
  let cursor = await loadCursor(options, m);
  for (;;) {
    const params = [cursor, String(SCOPES_PER_LOOK_UP)];
    const found = await inTransaction(options, undefined, (tx) => tx.query(adoptionScopesSql(m, tables), params));
    const scopeIds = found.rows.map((row) => new RowReader(row).text());
    for (const scopeId of scopeIds) {
      const adopted = await adoptScope(options, catalog, scopeId);
      scopes += adopted === undefined ? 0 : 1;
      rows += adopted ?? 0;
      if (adopted !== undefined && scopes % SCOPES_PER_REPORT === 0) options.onAdoptionProgress?.({ scopes, rows });
    }
    cursor = scopeIds.at(-1) ?? cursor;
    if (scopeIds.length < SCOPES_PER_LOOK_UP) break;
  }
  await inTransaction(options, undefined, (tx) =>
    markAdopted(
      tx,
      m,
      tables.map((table) => table.tableId),
    ),
  );
  if (scopes % SCOPES_PER_REPORT > 0) options.onAdoptionProgress?.({ scopes, rows });
  return { scopes, rows };
}

async function loadCursor(options: AdoptionOptions, m: MetadataNames): Promise<string | null> {
  const { rows } = await inTransaction(options, undefined, (tx) => tx.query(adoptionCursorSql(m)));
  return rows[0]?.[0] ?? null;
}

/** Rows of the baseline; `undefined` when another process has adopted the scope meanwhile. */
async function adoptScope(options: AdoptionOptions, catalog: Catalog, scopeId: string): Promise<number | undefined> {
  const m = metadataNames(options.metadataSchema);
  const captureToken = crypto.randomUUID();
  return inTransaction(options, bundleContextSettings({ scopeId, captureToken }), async (tx) => {
    const tables = await lockTablesBehind(tx, m, catalog, scopeId);
    if (tables.length === 0) return undefined;
    await tx.query(ensureScopeSql(m), [scopeId]);
    const { scopePk, head } = await lockScope(tx, m, scopeId);
    await tx.query(captureScopeSql(m, tables), [scopePk, scopeId, captureToken]);
    const bundle = await finaliseBundle(
      tx,
      { catalog, options },
      {
        scopePk,
        scopeId,
        captureToken,
        head,
        sourceId: `${ADOPTION_SOURCE_PREFIX}${crypto.randomUUID()}`,
        sourceKind: 'server',
        sourceBundleId: 1n,
        canonicalRequestHash: null,
        allowsHeaderOnly: true,
      },
    );
    await tx.query(saveAdoptionCursorSql(m), [scopeId, tables.map((table) => String(table.tableId))]);
    return bundle.rowCount;
  });
}

async function lockTablesBehind(
  tx: PgTransaction,
  m: MetadataNames,
  catalog: Catalog,
  scopeId: string,
): Promise<readonly TableDescription[]> {
  const { rows } = await tx.query(lockTablesBehindSql(m), [scopeId]);
  return rows.flatMap((row) => catalog.byId.get(new RowReader(row).int()) ?? []);
}

async function lockScope(tx: PgTransaction, m: MetadataNames, scopeId: string): Promise<{ scopePk: string; head: bigint }> {
  const { rows } = await tx.query(lockAdoptedScopeSql(m), [scopeId]);
  const row = new RowReader(rows[0] ?? []);
  return { scopePk: row.text(), head: row.bigint() };
}

function inTransaction<T>(
  options: AdoptionOptions,
  context: string | undefined,
  fn: (tx: PgTransaction) => Promise<T>,
): Promise<T> {
  const pinned = formatPinnedSettings({
    // Another process may be adopting a large scope: waiting for it is the normal case, not a fault.
    lockTimeoutMs: options.bulkStatementTimeoutMs,
    statementTimeoutMs: options.bulkStatementTimeoutMs,
    isBulk: true,
  });
  const settings = context === undefined ? pinned : `${pinned};${context}`;
  return retryTransient(options.retry, () => options.database.transaction({ isolation: 'read committed', settings }, fn));
}
