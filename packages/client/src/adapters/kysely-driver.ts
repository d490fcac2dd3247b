import type { CompiledQuery, DatabaseConnection, Driver, QueryResult, TransactionSettings } from 'kysely';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { OpenedTransaction } from './opened-transaction.ts';
import { fromSqlValue, toSqlValues } from './orm-values.ts';

/** Kysely's driver over the port. Calls outside a transaction share the connection; the port puts them in order. */
export class KyselyDriver implements Driver {
  readonly #driver: SqliteDriver;
  readonly #transactions = new WeakMap<DatabaseConnection, OpenedTransaction>();

  constructor(driver: SqliteDriver) {
    this.#driver = driver;
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  acquireConnection(): Promise<DatabaseConnection> {
    const connection: DatabaseConnection = {
      executeQuery: (query: CompiledQuery) => executeQuery(this.#transactions.get(connection)?.tx ?? this.#driver, query),
      streamQuery: () => {
        throw new Error('streaming is not supported: SQLite is in the same process, select pages instead');
      },
    };
    return Promise.resolve(connection);
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const mode = settings.accessMode === 'read only' ? 'deferred' : 'immediate';
    this.#transactions.set(connection, await OpenedTransaction.begin(this.#driver, mode));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#end(connection)?.commit();
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#end(connection)?.rollback();
  }

  async savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await this.#tx(connection).exec(`SAVEPOINT ${quoted(name)}`);
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await this.#tx(connection).exec(`ROLLBACK TO ${quoted(name)}`);
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await this.#tx(connection).exec(`RELEASE ${quoted(name)}`);
  }

  releaseConnection(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    return Promise.resolve();
  }

  /** A failed COMMIT has rolled back already: Kysely asks for a rollback then, and there is nothing left to end. */
  #end(connection: DatabaseConnection): OpenedTransaction | undefined {
    const transaction = this.#transactions.get(connection);
    this.#transactions.delete(connection);
    return transaction;
  }

  #tx(connection: DatabaseConnection): SqliteTx {
    const transaction = this.#transactions.get(connection);
    if (transaction === undefined) throw new Error('a savepoint needs an open transaction');
    return transaction.tx;
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Statements whose affected rows count, unless they return rows. */
const WRITES: ReadonlySet<string> = new Set(['InsertQueryNode', 'UpdateQueryNode', 'DeleteQueryNode']);

async function executeQuery<R>(tx: SqliteTx, { sql, parameters, query }: CompiledQuery): Promise<QueryResult<R>> {
  const params = toSqlValues(parameters);
  const isWrite = WRITES.has(query.kind);
  if (isWrite && !('returning' in query && query.returning !== undefined)) {
    const { changes } = await tx.run(sql, params);
    return { rows: [], numAffectedRows: BigInt(changes) };
  }
  if (tx.allNamed === undefined) throw new Error('this driver has no allNamed, which tells the names of the columns');
  const { columns, rows } = await tx.allNamed(sql, params);
  // What a row is, the schema type of the application says; nothing at run time knows it.
  const objects = rows.map((row) => toObject(columns, row.map(fromSqlValue)) as R);
  return { rows: objects, ...(isWrite ? { numAffectedRows: BigInt(rows.length) } : {}) };
}

function toObject(columns: readonly string[], values: readonly unknown[]): object {
  return Object.fromEntries(columns.map((column, index) => [column, values[index]]));
}
