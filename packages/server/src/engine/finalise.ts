/**
 * Ends a bundle transaction (server.md 7.3 steps 6 and 7): runs deferred triggers and constraints, turns touched keys into bundle
 * rows, and advances the scope. The number of round trips does not depend on the number of rows.
 */
import { SyncError } from '@oversync/protocol';
import type { Sha256Factory } from '@oversync/protocol';

import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import type { Catalog, TableDescription } from '../rules/table-description.ts';
import { writeBundleParams, writeBundleSql } from '../store/bundle-header.sql.ts';
import { dropBlocksSql, settleConstraints, SQL_HASH_BYTES_MAX, writeRowsParams, writeRowsSql } from '../store/finalise.sql.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runStatements } from '../store/run-statements.ts';
import { hashStoredBlocks } from './hash-blocks.ts';
import type { ResolvedOptions } from './options.ts';
import { createFastSha256 } from './platform-hash.ts';

/** Options that a finalised bundle is bound by. */
export type FinaliseOptions = Pick<
  ResolvedOptions,
  | 'metadataSchema'
  | 'maxRowsPerBundle'
  | 'maxBytesPerBundle'
  | 'maxBytesPerSnapshotRow'
  | 'retainedBundlesPerScope'
  | 'retainedBundleAgeMs'
  | 'retainedBundleBytesPerScope'
  | 'retentionPruneBatchSize'
>;

export interface FinaliseEnvironment {
  readonly catalog: Catalog;
  readonly options: FinaliseOptions;
  /** Default: the platform's own SHA-256. */
  readonly createHash?: Sha256Factory;
  /** Canonical bytes up to which PostgreSQL hashes a bundle itself. */
  readonly sqlHashBytesMax?: number;
}

/** The transaction to end. Its scope row is locked by the caller, its bundle context is open with the same token. */
export interface FinaliseInput {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly captureToken: string;
  /** Head of the locked scope row; the bundle gets the next number. */
  readonly head: bigint;
  readonly sourceId: string;
  readonly sourceKind: 'client' | 'server';
  readonly sourceBundleId: bigint;
  /** Empty for a server write without one; `null` asks for the hash that a push of the bundle's rows with base version 0 has. */
  readonly canonicalRequestHash: string | null;
  /** Keeps only header and row versions of a bundle above the bundle limits, and sets the floor onto it, instead of refusing it. */
  readonly allowsHeaderOnly?: boolean;
  readonly operationHash?: string;
  /** The staged push that was applied; absent for server writes. */
  readonly push?: {
    readonly pushId: string;
    /** Tables that have rows in the push. */
    readonly tableIds: readonly number[];
    readonly rowCount: number;
    /** What capture saw, when the caller ran `settleConstraints` in a round trip of its own. */
    readonly capturedTableIds?: readonly number[];
    /** Rows that the statement has written that applied the push; nothing else was touched then. */
    readonly written?: WrittenRows;
  };
}

export interface FinalisedBundle {
  readonly bundleSeq: bigint;
  readonly rowCount: number;
  readonly bundleHash: string;
  readonly canonicalBytes: bigint;
  readonly wireBytes: bigint;
  /** RFC 3339, UTC, by the database clock. */
  readonly committedAt: string;
  readonly retainedBundleFloor: bigint;
  /** Pushed inserts and updates whose row is not there: suppressed by a trigger, or lost before. They were healed as DELETE. */
  readonly lostRowCount: number;
}

/**
 * Writes the bundle and closes the bundle context: later writes to registered tables in this transaction are refused.
 *
 * @throws SyncError `no_captured_changes` when nothing was touched; `push_commit_invalid` with `limit_exceeded` above a bundle limit,
 * or with `violation` for a JSON number that has no binary64. A value that PostgreSQL cannot render raises a `PgFault` with SQLSTATE
 * OV002, its `detail` being `ordinal:key`; faults of deferred constraints are passed on. The caller rolls back in all these cases.
 */
export async function finaliseBundle(
  tx: PgTransaction,
  environment: FinaliseEnvironment,
  input: FinaliseInput,
): Promise<FinalisedBundle> {
  const m = metadataNames(environment.options.metadataSchema);
  const bundleSeq = input.head + 1n;
  const { rows, hasNestedJson } = await writeTouchedRows(tx, m, environment, input, bundleSeq);
  checkRowBytes(environment.options, rows);
  const hashed = await hashRows(tx, m, environment, input, { rows, bundleSeq, hasNestedJson });
  const excess = findExcess(environment.options, rows.rowCount, hashed.canonicalBytes);
  if (excess !== undefined) {
    if (input.allowsHeaderOnly !== true) throw excess;
    await tx.query(dropBlocksSql(m), [input.scopePk, String(bundleSeq)]);
  }
  return writeBundle(tx, m, environment.options, input, { ...rows, ...hashed, bundleSeq, isHeaderOnly: excess !== undefined });
}

/** Asks PostgreSQL's hash first; reads the stored rows back where it has none or the request hash is wanted too. */
async function hashRows(
  tx: PgTransaction,
  m: MetadataNames,
  environment: FinaliseEnvironment,
  input: FinaliseInput,
  { rows, bundleSeq, hasNestedJson }: WrittenBundle & { readonly bundleSeq: bigint },
): Promise<HashedRows> {
  const { canonicalRequestHash } = input;
  if (rows.hash !== undefined && canonicalRequestHash !== null) return { ...rows.hash, canonicalRequestHash };
  const { requestHash, ...hashes } = await hashStoredBlocks(tx, m, {
    scopePk: input.scopePk,
    bundleSeq,
    pushedRowCount: input.push?.rowCount ?? 0,
    hasNestedJson,
    hashesRequest: canonicalRequestHash === null,
    createHash: environment.createHash ?? createFastSha256,
  });
  return { ...hashes, canonicalRequestHash: canonicalRequestHash ?? requestHash ?? '' };
}

async function writeTouchedRows(
  tx: PgTransaction,
  m: MetadataNames,
  environment: FinaliseEnvironment,
  input: FinaliseInput,
  bundleSeq: bigint,
): Promise<WrittenBundle> {
  const written = input.push?.written;
  const touched =
    written === undefined
      ? await loadTouchedTables(tx, m, environment.catalog, input)
      : describeTouched(environment.catalog, input, []);
  // Nested JSON is stored with the digits of the database; only the process can canonicalise its numbers for the hash.
  const hasNestedJson = [...touched.pushed, ...touched.captured].some((table) => table.hasNestedJson);
  const hashBytesMax = hasNestedJson ? 0 : (environment.sqlHashBytesMax ?? SQL_HASH_BYTES_MAX);
  return { rows: written ?? (await writeRows(tx, m, touched, input, bundleSeq, hashBytesMax)), hasNestedJson };
}

interface WrittenBundle {
  readonly rows: WrittenRows;
  readonly hasNestedJson: boolean;
}

interface TouchedTables {
  readonly pushed: readonly TableDescription[];
  readonly captured: readonly TableDescription[];
}

async function loadTouchedTables(
  tx: PgTransaction,
  m: MetadataNames,
  catalog: Catalog,
  input: FinaliseInput,
): Promise<TouchedTables> {
  const captured = input.push?.capturedTableIds ?? (await loadCapturedTableIds(tx, m, input));
  const touched = describeTouched(catalog, input, captured);
  if (touched.pushed.length + touched.captured.length === 0) throw new SyncError('no_captured_changes');
  return touched;
}

function describeTouched(catalog: Catalog, input: FinaliseInput, capturedTableIds: readonly number[]): TouchedTables {
  const describe = (tableId: number): TableDescription => {
    const table = catalog.byId.get(tableId);
    if (table === undefined) throw new TypeError(`table ${String(tableId)} was touched but is not registered`);
    return table;
  };
  return { pushed: (input.push?.tableIds ?? []).map(describe), captured: capturedTableIds.map(describe) };
}

async function loadCapturedTableIds(tx: PgTransaction, m: MetadataNames, input: FinaliseInput): Promise<readonly number[]> {
  const [, captures] = await runStatements(tx, settleConstraints(m, input.scopePk, input.captureToken));
  return (captures?.rows ?? []).map((row) => new RowReader(row).int());
}

/** What the statement tells that writes the rows of a bundle. */
export interface WrittenRows {
  readonly rowCount: number;
  readonly wireBytes: bigint;
  readonly largestRowBytes: bigint;
  readonly lostRowCount: number;
  /** Undefined where the rows have to be hashed in the process. */
  readonly hash: Omit<HashedRows, 'canonicalRequestHash'> | undefined;
}

interface HashedRows {
  readonly bundleHash: string;
  readonly canonicalBytes: bigint;
  readonly canonicalRequestHash: string;
}

async function writeRows(
  tx: PgTransaction,
  m: MetadataNames,
  touched: TouchedTables,
  input: FinaliseInput,
  bundleSeq: bigint,
  hashBytesMax: number,
): Promise<WrittenRows> {
  const params = writeRowsParams({
    scopePk: input.scopePk,
    scopeId: input.scopeId,
    bundleSeq: String(bundleSeq),
    pushedRowCount: String(input.push?.rowCount ?? 0),
    captureToken: input.captureToken,
    pushId: input.push?.pushId ?? null,
  });
  const result = await tx.query(writeRowsSql(m, { ...touched, hashBytesMax }), params);
  return readWrittenRows(new RowReader(result.rows[0] ?? []));
}

/**
 * Reads the columns of `selectTotals`.
 *
 * @throws SyncError `no_captured_changes` when no row was written.
 */
export function readWrittenRows(row: RowReader): WrittenRows {
  const rowCount = row.int();
  if (rowCount === 0) throw new SyncError('no_captured_changes');
  const wireBytes = row.bigint();
  const canonicalBytes = row.bigint();
  const largestRowBytes = BigInt(row.optional() ?? '0');
  const lostRowCount = row.int();
  const bundleHash = row.optional();
  return {
    rowCount,
    wireBytes,
    largestRowBytes,
    lostRowCount,
    hash: bundleHash === undefined ? undefined : { bundleHash, canonicalBytes },
  };
}

/** No snapshot could carry such a row, so it is refused whatever the bundle is. */
function checkRowBytes(options: FinaliseOptions, rows: WrittenRows): void {
  if (rows.largestRowBytes > BigInt(options.maxBytesPerSnapshotRow)) {
    throw limitExceeded('maxBytesPerSnapshotRow', options.maxBytesPerSnapshotRow, rows.largestRowBytes);
  }
}

function findExcess(options: FinaliseOptions, rowCount: number, canonicalBytes: bigint): SyncError | undefined {
  const { maxRowsPerBundle, maxBytesPerBundle } = options;
  if (maxRowsPerBundle !== null && rowCount > maxRowsPerBundle) {
    return limitExceeded('maxRowsPerBundle', maxRowsPerBundle, BigInt(rowCount));
  }
  if (maxBytesPerBundle !== null && canonicalBytes > BigInt(maxBytesPerBundle)) {
    return limitExceeded('maxBytesPerBundle', maxBytesPerBundle, canonicalBytes);
  }
  return undefined;
}

function limitExceeded(name: keyof FinaliseOptions, limit: number, actual: bigint): SyncError {
  return new SyncError('push_commit_invalid', {
    message: `the bundle exceeds ${name}`,
    details: { limit_exceeded: { name, limit, actual: Number(actual) } },
  });
}

async function writeBundle(
  tx: PgTransaction,
  m: MetadataNames,
  options: FinaliseOptions,
  input: FinaliseInput,
  bundle: WrittenRows & HashedRows & { readonly bundleSeq: bigint; readonly isHeaderOnly: boolean },
): Promise<FinalisedBundle> {
  const text = (value: number | null): string | null => (value === null ? null : String(value));
  const { rows } = await tx.query(
    writeBundleSql(m),
    writeBundleParams({
      scopePk: input.scopePk,
      bundleSeq: String(bundle.bundleSeq),
      sourceId: input.sourceId,
      sourceBundleId: String(input.sourceBundleId),
      rowCount: String(bundle.rowCount),
      bundleHash: bundle.bundleHash,
      canonicalRequestHash: bundle.canonicalRequestHash,
      operationHash: input.operationHash ?? null,
      canonicalBytes: String(bundle.canonicalBytes),
      wireBytes: String(bundle.wireBytes),
      sourceKind: input.sourceKind,
      pushId: input.push?.pushId ?? null,
      captureToken: input.captureToken,
      retainedBundles: text(options.retainedBundlesPerScope),
      retainedAgeMs: text(options.retainedBundleAgeMs),
      retainedBytes: text(options.retainedBundleBytesPerScope),
      pruneBatch: String(options.retentionPruneBatchSize),
      isHeaderOnly: bundle.isHeaderOnly,
    }),
  );
  // Another attempt sees what has changed and refuses with the right code.
  if (rows[0] === undefined) throw new PgFault('scope or source changed under the bundle', { sqlState: '40001' });
  const row = new RowReader(rows[0]);
  const retainedBundleFloor = row.bigint();
  return {
    bundleSeq: bundle.bundleSeq,
    rowCount: bundle.rowCount,
    bundleHash: bundle.bundleHash,
    canonicalBytes: bundle.canonicalBytes,
    wireBytes: bundle.wireBytes,
    committedAt: row.text(),
    retainedBundleFloor,
    lostRowCount: bundle.lostRowCount,
  };
}
