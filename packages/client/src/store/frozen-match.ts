import { MATCHED_RUNS_MAX } from '../limits.ts';
import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { RowOp } from '../rules/conflict-types.ts';

/** A committed row as far as it is compared with the frozen one of the same ordinal. */
export interface ComparedRow {
  readonly table: string;
  /** Canonical text of the wire key. */
  readonly wireKey: string;
  readonly op: RowOp;
  readonly rowVersion: bigint;
  readonly payload: string | null;
}

/** Frozen rows, first to last, that the server has committed as they were sent, all with this version. */
export interface MatchedRun {
  readonly first: number;
  readonly last: number;
  readonly rowVersion: bigint;
}

/**
 * Finds the committed rows that are, letter by letter, the frozen ones of the same ordinals: the outbox holds their payloads already, so
 * a second copy would only cost disk. A server that adds, drops or rewrites rows leaves rows unmatched, never wrongly matched.
 */
export class FrozenMatch {
  readonly #runs: MatchedRun[] = [];
  #frozen: readonly (readonly SqlValue[])[] = [];

  get runs(): readonly MatchedRun[] {
    return this.#runs;
  }

  /** Reads the frozen rows that the next page is compared with. */
  async load(tx: SqliteTx, sourceBundleId: bigint, first: number, rowCount: number): Promise<void> {
    this.#frozen = await tx.all(FROZEN_ROWS, [sourceBundleId, BigInt(first), BigInt(first + rowCount - 1)]);
  }

  /** Positions in `rows` of those that are not as they were frozen. `first` is the ordinal of the first row, as it was loaded. */
  unmatched(first: number, rows: readonly ComparedRow[]): number[] {
    const others: number[] = [];
    for (const [index, row] of rows.entries()) {
      const isMatched = isAsFrozen(row, this.#frozen[index]) && this.#extend(first + index, row.rowVersion);
      if (!isMatched) others.push(index);
    }
    return others;
  }

  #extend(ordinal: number, rowVersion: bigint): boolean {
    const run = this.#runs.at(-1);
    if (run?.last === ordinal - 1 && run.rowVersion === rowVersion) {
      this.#runs[this.#runs.length - 1] = { ...run, last: ordinal };
      return true;
    }
    if (this.#runs.length >= MATCHED_RUNS_MAX) return false;
    this.#runs.push({ first: ordinal, last: ordinal, rowVersion });
    return true;
  }
}

function isAsFrozen(row: ComparedRow, frozen: readonly SqlValue[] | undefined): boolean {
  return (
    frozen !== undefined &&
    frozen[0] === row.table &&
    frozen[1] === row.wireKey &&
    frozen[2] === row.op &&
    frozen[3] === row.payload
  );
}

/** Source bundle id, first and last ordinal. Ordinals have no gaps, so the rows come at their places. */
const FROZEN_ROWS = `
SELECT table_name, wire_key_json, op, wire_payload FROM _sync_outbox_rows
WHERE source_bundle_id = ? AND row_ordinal BETWEEN ? AND ? ORDER BY row_ordinal`;
