import { MATCHED_RUNS_MAX } from '../limits.ts';
import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { RowOp } from '../rules/conflict-types.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { SentForm } from '../rules/sent-form.ts';

/** A committed row as far as it is compared with the frozen one of the same ordinal. */
export interface ComparedRow {
  readonly table: string;
  /** Canonical text of the wire key. */
  readonly wireKey: string;
  readonly op: RowOp;
  readonly rowVersion: bigint;
  readonly payload: string | null;
}

/** Frozen rows of one table, first to last, that the server has committed as they were sent, all with this version. */
export interface MatchedRun {
  readonly table: string;
  readonly isDelete: boolean;
  readonly first: number;
  readonly last: number;
  readonly rowVersion: bigint;
}

/**
 * Finds the committed rows that hold what the frozen ones of the same ordinals hold: the outbox has their payloads already, so a second
 * copy would only cost disk. A server that adds, drops or rewrites rows leaves rows unmatched, never wrongly matched.
 */
export class FrozenMatch {
  readonly #schema: LocalSchema;
  readonly #forms = new Map<string, SentForm>();
  readonly #runs: MatchedRun[] = [];
  #frozen: readonly (readonly SqlValue[])[] = [];

  constructor(schema: LocalSchema) {
    this.#schema = schema;
  }

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
      const isMatched = this.#isAsFrozen(row, this.#frozen[index]) && this.#extend(first + index, row);
      if (!isMatched) others.push(index);
    }
    return others;
  }

  #isAsFrozen(row: ComparedRow, frozen: readonly SqlValue[] | undefined): boolean {
    if (frozen === undefined) return false;
    const [table, wireKey, op, payload = null] = frozen;
    if (table !== row.table || wireKey !== row.wireKey || op !== row.op) return false;
    return payload === row.payload || (row.payload !== null && payload === this.#sentForm(row.table, row.payload));
  }

  #sentForm(tableName: string, payload: string): string {
    const known = this.#forms.get(tableName);
    if (known !== undefined) return known.of(payload);
    const table = this.#schema.tablesByName.get(tableName);
    if (table === undefined) return payload;
    const form = new SentForm(table);
    this.#forms.set(tableName, form);
    return form.of(payload);
  }

  #extend(ordinal: number, { table, op, rowVersion }: ComparedRow): boolean {
    const run = this.#runs.at(-1);
    const isDelete = op === 'DELETE';
    const isNext = run?.last === ordinal - 1 && run.rowVersion === rowVersion;
    if (isNext && run.table === table && run.isDelete === isDelete) {
      this.#runs[this.#runs.length - 1] = { ...run, last: ordinal };
      return true;
    }
    if (this.#runs.length >= MATCHED_RUNS_MAX) return false;
    this.#runs.push({ table, isDelete, first: ordinal, last: ordinal, rowVersion });
    return true;
  }
}

/** Source bundle id, first and last ordinal. Ordinals have no gaps, so the rows come at their places. */
const FROZEN_ROWS = `
SELECT table_name, wire_key_json, op, wire_payload FROM _sync_outbox_rows
WHERE source_bundle_id = ? AND row_ordinal BETWEEN ? AND ? ORDER BY row_ordinal`;
