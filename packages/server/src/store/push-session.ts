import type { PgRow } from '../ports/postgres.ts';
import { RowReader } from './row-reader.ts';

export interface PushSession {
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly plannedRowCount: number;
  readonly canonicalRequestHash: string;
  /** Present exactly for the seed of the scope. */
  readonly initializationId: string | null;
  /** Rows staged so far. */
  readonly nextRowOrdinal: number;
  /** Canonical bytes of the staged rows, commas included. */
  readonly stagedBytes: bigint;
  /** Catalog row layout of the staged row literals; `null` while nothing is staged. */
  readonly rowLayout: string | null;
  /** By the clock of the database. */
  readonly isExpired: boolean;
  /** RFC 3339, UTC. */
  readonly expiresAt: string;
}

/** Reads a row of `selectSession`. */
export function parsePushSession(row: PgRow | undefined): PushSession | null {
  if (row === undefined) return null;
  const reader = new RowReader(row);
  return {
    sourceId: reader.text(),
    sourceBundleId: reader.bigint(),
    plannedRowCount: reader.int(),
    canonicalRequestHash: reader.text(),
    initializationId: reader.optional() ?? null,
    nextRowOrdinal: reader.int(),
    stagedBytes: reader.bigint(),
    rowLayout: reader.optional() ?? null,
    isExpired: reader.flag(),
    expiresAt: reader.text(),
  };
}

/** A bundle that was committed under the tuple of a push. */
export interface CommittedTuple {
  readonly bundleSeq: bigint;
  readonly rowCount: bigint;
  readonly bundleHash: string;
  readonly canonicalRequestHash: string;
  /** Of the bundle. */
  readonly canonicalBytes: bigint;
}

/** Reads a row of `selectCommittedTuple`. */
export function parseCommittedTuple(row: PgRow | undefined): CommittedTuple | null {
  if (row === undefined) return null;
  const reader = new RowReader(row);
  return {
    bundleSeq: reader.bigint(),
    rowCount: reader.bigint(),
    bundleHash: reader.text(),
    canonicalRequestHash: reader.text(),
    canonicalBytes: reader.bigint(),
  };
}
