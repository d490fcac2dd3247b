import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { localChange } from '../rules/local-change.ts';
import type { SchemaRoots } from '../rules/touched-tables.ts';
import { loadSchemaRoots, loadSchemaVersion, loadTouchedTables } from '../store/query-tables.ts';
import type { TableChanges } from './table-changes.ts';

export interface LocalWrite<T> {
  readonly driver: SqliteDriver;
  readonly changes: TableChanges;
  readonly managedTables: readonly string[];
  readonly fn: (tx: SqliteTx) => Promise<T>;
  /** Tables to announce; found from the statements when absent. */
  readonly tables: readonly string[] | undefined;
}

/**
 * Runs a write of the application in one transaction, and announces its tables after the commit where the driver does not do so itself.
 * Whatever `fn` throws passes through, and nothing is announced.
 */
export async function writeLocally<T>(write: LocalWrite<T>): Promise<T> {
  const { driver, changes, fn, managedTables } = write;
  if (driver.onCommit !== undefined) return driver.transaction('immediate', fn);
  const written = await driver.transaction('immediate', async (tx) => {
    const recorder = new RecordingTx(tx);
    const result = await fn(recorder);
    return { result, tables: write.tables ?? (await recorder.loadTables()) };
  });
  changes.announceLocal(localChange(written.tables, managedTables) ?? []);
  return written.result;
}

/** Remembers the statements of a transaction, so that their tables can be found at its end. */
class RecordingTx implements SqliteTx {
  readonly #tx: SqliteTx;
  /** By text: the parameters of its first use. */
  readonly #statements = new Map<string, readonly SqlValue[]>();
  #hasScripts = false;

  constructor(tx: SqliteTx) {
    this.#tx = tx;
  }

  exec(sql: string): Promise<void> {
    this.#hasScripts = true;
    return this.#tx.exec(sql);
  }

  run(sql: string, params: readonly SqlValue[] = []): Promise<{ readonly changes: number }> {
    this.#statements.set(sql, params);
    return this.#tx.run(sql, params);
  }

  all(sql: string, params: readonly SqlValue[] = []): Promise<SqlValue[][]> {
    this.#statements.set(sql, params);
    return this.#tx.all(sql, params);
  }

  /** A script cannot be explained: it may have touched every table. */
  async loadTables(): Promise<readonly string[]> {
    const version = await loadSchemaVersion(this.#tx);
    const schema = await loadSchemaRoots(this.#tx);
    if (this.#hasScripts) return tablesOfApplication(schema);
    const tables = new Set<string>();
    for (const [sql, params] of this.#statements) {
      for (const table of (await loadTouchedTables(this.#tx, sql, params, schema, version)).written) tables.add(table);
    }
    return [...tables];
  }
}

function tablesOfApplication(schema: SchemaRoots): readonly string[] {
  const names = [...schema.roots.map((root) => root.table), ...schema.virtualTables];
  return [...new Set(names.filter((name) => localChange([name], []) !== null))];
}
