import { RowHasher, committedRowText } from '@oversync/protocol';
import type { Sha256Factory } from '@oversync/protocol';

import { MATCHED_RUNS_MAX } from '../limits.ts';
import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import type { ProofMemory } from '../rules/proof-memory.ts';
import { optionalTextColumn, textColumn } from './columns.ts';
import type { MatchedRun } from './frozen-match.ts';
import { loadFrozenRows, rowOp } from './outbox.ts';
import type { PageBounds } from './store-types.ts';

/** The frozen bundle as it would have been committed. */
export interface CommittedCandidate {
  /** `bundle_hash` of a server that changed nothing. */
  readonly hash: string;
  /** All frozen rows. */
  readonly runs: readonly MatchedRun[];
}

/** Hashes the outbox as the bundle that it becomes when the server changes nothing, page by page. */
export class CandidateHasher {
  readonly #schema: LocalSchema;
  readonly #memory: ProofMemory;
  readonly #bundleSeq: bigint;
  readonly #hasher: RowHasher;
  readonly #runs: MatchedRun[] = [];
  #isProvable = true;

  constructor(schema: LocalSchema, memory: ProofMemory, bundleSeq: bigint, sha256: Sha256Factory) {
    this.#schema = schema;
    this.#memory = memory;
    this.#bundleSeq = bundleSeq;
    this.#hasher = new RowHasher(sha256);
  }

  /** Takes the next page of frozen rows, and returns whether there may be more. */
  async takePage(tx: SqliteTx, bounds: PageBounds): Promise<boolean> {
    const rows = await loadFrozenRows(tx, this.#hasher.rowCount, bounds);
    for (const row of rows) {
      this.#take(row);
      if (!this.#isProvable) return false;
    }
    return rows.length > 0;
  }

  /** `null` when equal hashes would not prove that the rows are the same, or there are more runs than may be kept. */
  result(): CommittedCandidate | null {
    return this.#isProvable ? { hash: this.#hasher.digestHex(), runs: this.#runs } : null;
  }

  #take(row: readonly SqlValue[]): void {
    const name = textColumn(row, 1);
    const table = this.#schema.tablesByName.get(name);
    const form = table === undefined ? null : this.#memory.formOf(table);
    const op = rowOp(textColumn(row, 3));
    if (form?.isProvable !== true || !this.#extendRun(name, op === 'DELETE')) {
      this.#isProvable = false;
      return;
    }
    const payload = optionalTextColumn(row, 5);
    const text = committedRowText(
      {
        schema: textColumn(row, 0),
        table: name,
        key: textColumn(row, 2),
        op,
        row_version: this.#bundleSeq,
        payload: payload === null ? null : form.of(payload),
      },
      this.#hasher.rowCount,
    );
    this.#hasher.addRow(text);
  }

  #extendRun(table: string, isDelete: boolean): boolean {
    const ordinal = this.#hasher.rowCount;
    const run = this.#runs.at(-1);
    if (run?.table === table && run.isDelete === isDelete) {
      this.#runs[this.#runs.length - 1] = { ...run, last: ordinal };
      return true;
    }
    if (this.#runs.length >= MATCHED_RUNS_MAX) return false;
    this.#runs.push({ table, isDelete, first: ordinal, last: ordinal, rowVersion: this.#bundleSeq });
    return true;
  }
}
