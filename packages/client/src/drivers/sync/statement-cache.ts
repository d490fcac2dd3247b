import type { SyncConnection, SyncStatement } from './sync-connection.ts';

/** Prepared statements kept per connection; the engine uses about twenty per table, and the least recently used one is dropped. */
const STATEMENTS_MAX = 400;

/** The prepared statements of one connection, by text. */
export class StatementCache {
  readonly #connection: SyncConnection;
  readonly #statements = new Map<string, SyncStatement>();

  constructor(connection: SyncConnection) {
    this.#connection = connection;
  }

  /** Runs `work` with the statement. A statement that failed is prepared anew next time: some bindings leave it in a state of error. */
  use<T>(sql: string, work: (statement: SyncStatement) => T): T {
    const statement = this.#take(sql);
    let isKept = false;
    try {
      const result = work(statement);
      isKept = statement.isOnce !== true && !this.#statements.has(sql);
      if (isKept) this.#keep(sql, statement);
      return result;
    } finally {
      if (!isKept) statement.finalize?.();
    }
  }

  clear(): void {
    for (const statement of this.#statements.values()) statement.finalize?.();
    this.#statements.clear();
  }

  /** A statement in use is not in the map: a use within a use gets one of its own. */
  #take(sql: string): SyncStatement {
    const known = this.#statements.get(sql);
    if (known === undefined) return this.#connection.prepare(sql);
    this.#statements.delete(sql);
    return known;
  }

  #keep(sql: string, statement: SyncStatement): void {
    this.#statements.set(sql, statement);
    if (this.#statements.size <= STATEMENTS_MAX) return;
    const [oldest] = this.#statements;
    if (oldest === undefined) return;
    this.#statements.delete(oldest[0]);
    oldest[1].finalize?.();
  }
}
