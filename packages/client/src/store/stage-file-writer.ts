import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { STAGE_PAGE_ROWS } from '../limits.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import { columnTextNames } from '../rules/column-text-sql.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { insertRows } from './insert-rows.ts';
import { COMPLETE_STAGE, FLUSH_STAGE, stagedRowsSql, stagedValuesSql } from './stage-file.sql.ts';
import type { StagedFacts } from './stage-file.ts';

/** Writes the chunks of one snapshot into the attached stage file, a few rows at a time. */
export class StageFileWriter {
  readonly rowsMax = STAGE_PAGE_ROWS;
  readonly #driver: SqliteDriver;
  readonly #schema: LocalSchema;
  /** Rows of complete chunks by table of the stage, and with those of the chunk that is being read. */
  #complete = new Map<string, number>();
  #written = new Map<string, number>();
  #payloadBytesMax = 0;

  constructor(driver: SqliteDriver, schema: LocalSchema) {
    this.#driver = driver;
    this.#schema = schema;
  }

  /** Takes back what an attempt has written whose chunk never became complete. */
  async begin(): Promise<void> {
    const before = this.#complete;
    const excess = [...this.#written].filter(([table, count]) => count > (before.get(table) ?? 0));
    if (excess.length === 0) return;
    await this.#driver.transaction('deferred', async (tx) => {
      for (const [table] of excess) await tx.run(`DELETE FROM ${table} WHERE ordinal > ?`, [BigInt(before.get(table) ?? 0)]);
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
      const end = endOfAlike(rows, start);
      const { name, columns, values } = this.#staged(rows.slice(start, end));
      await insertRows(tx, `INSERT INTO ${name}(${columns.join(', ')})`, columns.length, values);
      this.#written.set(name, (this.#written.get(name) ?? 0) + values.length);
      start = end;
    }
  }

  /** Where rows of one table and form go. */
  #staged(rows: readonly CheckedRow[]): StagedRows {
    const [first] = rows;
    const table = this.#schema.tablesByName.get(first?.table ?? '');
    if (table === undefined) throw new TypeError('a checked row is of a managed table');
    if (first?.values === undefined) {
      const values = rows.map((row) => [row.keyJson, row.rowVersion, row.payload]);
      return { name: stagedRowsSql(table.order), columns: ['key_json', 'row_version', 'payload'], values };
    }
    const values = rows.map((row) => [row.rowVersion, ...(row.values ?? [])]);
    return { name: stagedValuesSql(table.order), columns: ['row_version', ...columnTextNames(table)], values };
  }
}

interface StagedRows {
  readonly name: string;
  readonly columns: readonly string[];
  readonly values: readonly (readonly SqlValue[])[];
}

/** Index after the rows that go to the same table of the stage as the one at `start`. */
function endOfAlike(rows: readonly CheckedRow[], start: number): number {
  const first = rows[start];
  const isAlike = (row: CheckedRow | undefined): boolean =>
    row?.table === first?.table && (row?.values === undefined) === (first?.values === undefined);
  let end = start + 1;
  while (end < rows.length && isAlike(rows[end])) end += 1;
  return end;
}

/** The larger of `known` and the most bytes that a payload can take: nobody counts the bytes of each for a limit that none is near. */
function largestPayload(rows: readonly CheckedRow[], known: number): number {
  let largest = known;
  for (const { payload } of rows) largest = Math.max(largest, (payload?.length ?? 0) * BYTES_PER_UNIT_MAX);
  return largest;
}

/** UTF-8 bytes that one UTF-16 unit takes at most. */
const BYTES_PER_UNIT_MAX = 3;
