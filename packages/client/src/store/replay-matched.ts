import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { pageFromMatchedSql } from '../rules/replay-sql.ts';
import type { MatchedRisks } from '../rules/replay-sql.ts';
import { countColumn, onlyRow } from './columns.ts';
import type { MatchedRun } from './frozen-match.ts';
import { recordMatchedOutcomes } from './outcomes.ts';
import { IS_MATCHED_TWICE, SAVE_MATCHED_STATE } from './replay.sql.ts';

/** The rows of the own bundle that were committed as they were frozen, and what is done about them (client.md 6.6). */
export class MatchedRows {
  readonly #tx: SqliteTx;
  readonly #schema: LocalSchema;
  readonly #sourceBundleId: bigint;
  readonly #runs: readonly MatchedRun[];

  constructor(tx: SqliteTx, schema: LocalSchema, sourceBundleId: bigint, runs: readonly MatchedRun[]) {
    this.#tx = tx;
    this.#schema = schema;
    this.#sourceBundleId = sourceBundleId;
    this.#runs = runs;
  }

  get rowCount(): number {
    return this.#runs.reduce((sum, run) => sum + run.last - run.first + 1, 0);
  }

  /** Puts the rows that cannot be left alone into the page, and returns the tables of all matched rows. */
  async fillPage(risks: MatchedRisks): Promise<readonly string[]> {
    for (const run of this.#runs) {
      const table = this.#schema.tablesByName.get(run.table);
      if (table === undefined) continue;
      await this.#tx.run(pageFromMatchedSql(table, run.isDelete, risks), [run.rowVersion, ...this.#place(run)]);
    }
    return [...new Set(this.#runs.map((run) => run.table))];
  }

  /** True when the page holds a matched key a second time, which no bundle may. */
  async isMatchedTwice(): Promise<boolean> {
    for (const { first, last } of this.#runs) {
      if (countColumn(onlyRow(await this.#tx.all(IS_MATCHED_TWICE, [BigInt(first), BigInt(last)])), 0) === 1) return true;
    }
    return false;
  }

  /** Row state and outcomes of the rows that the page does not hold. */
  async save(bundleSeq: bigint, outcomeLimit: number): Promise<void> {
    for (const run of this.#runs) {
      await this.#tx.run(SAVE_MATCHED_STATE, [this.#schema.name, run.rowVersion, ...this.#place(run)]);
      await recordMatchedOutcomes(this.#tx, [this.#schema.name, bundleSeq, run.rowVersion, ...this.#place(run)], outcomeLimit);
    }
  }

  #place(run: MatchedRun): readonly bigint[] {
    return [this.#sourceBundleId, BigInt(run.first), BigInt(run.last)];
  }
}
