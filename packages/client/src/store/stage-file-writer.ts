import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { STAGE_PAGE_ROWS } from '../limits.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { insertRows } from './insert-rows.ts';
import { COMPLETE_STAGE, FLUSH_STAGE, stagedRowsSql } from './stage-file.sql.ts';
import type { StagedFacts } from './stage-file.ts';

/** Writes the chunks of one snapshot into the attached stage file, a few rows at a time. */
export class StageFileWriter {
  readonly rowsMax = STAGE_PAGE_ROWS;
  readonly #driver: SqliteDriver;
  readonly #schema: LocalSchema;
  /** Rows of complete chunks by place in the table order, and with those of the chunk that is being read. */
  #complete = new Map<number, number>();
  #written = new Map<number, number>();
  #payloadBytesMax = 0;

  constructor(driver: SqliteDriver, schema: LocalSchema) {
    this.#driver = driver;
    this.#schema = schema;
  }

  /** Takes back what an attempt has written whose chunk never became complete. */
  async begin(): Promise<void> {
    const before = this.#complete;
    const excess = [...this.#written].filter(([order, count]) => count > (before.get(order) ?? 0));
    if (excess.length === 0) return;
    await this.#driver.transaction('deferred', async (tx) => {
      for (const [order] of excess) {
        await tx.run(`DELETE FROM ${stagedRowsSql(order)} WHERE ordinal > ?`, [BigInt(before.get(order) ?? 0)]);
      }
    });
    this.#written = new Map(before);
  }

  /** Rows that follow those taken before. */
  async take(rows: readonly CheckedRow[]): Promise<void> {
    if (rows.length === 0) return;
    await this.#driver.transaction('deferred', (tx) => this.#insert(tx, rows));
    this.#payloadBytesMax = largestPayload(rows, this.#payloadBytesMax);
  }

  /** The last rows of a chunk that is what it has to be. */
  async endChunk(rows: readonly CheckedRow[]): Promise<void> {
    await this.take(rows);
    this.#complete = new Map(this.#written);
  }

  /** Says that every row is there. From here on the file survives a crash, of the machine as well. */
  async complete(facts: StagedFacts): Promise<void> {
    await this.#driver.exec(FLUSH_STAGE);
    await this.#driver.transaction('deferred', async (tx) => {
      await tx.run(COMPLETE_STAGE, [facts.snapshotId, facts.rowCount, BigInt(this.#payloadBytesMax)]);
    });
  }

  async #insert(tx: SqliteTx, rows: readonly CheckedRow[]): Promise<void> {
    for (let start = 0; start < rows.length;) {
      const name = rows[start]?.table ?? '';
      let end = start + 1;
      while (rows[end]?.table === name) end += 1;
      const order = this.#schema.tablesByName.get(name)?.order ?? -1;
      const values = rows.slice(start, end).map((row) => [row.keyJson, row.rowVersion, row.payload]);
      await insertRows(tx, `INSERT INTO ${stagedRowsSql(order)}(key_json, row_version, payload)`, 3, values);
      this.#written.set(order, (this.#written.get(order) ?? 0) + values.length);
      start = end;
    }
  }
}

/** The larger of `known` and the most bytes that a payload can take: nobody counts the bytes of each for a limit that none is near. */
function largestPayload(rows: readonly CheckedRow[], known: number): number {
  let largest = known;
  for (const { payload } of rows) largest = Math.max(largest, (payload?.length ?? 0) * BYTES_PER_UNIT_MAX);
  return largest;
}

/** UTF-8 bytes that one UTF-16 unit takes at most. */
const BYTES_PER_UNIT_MAX = 3;
