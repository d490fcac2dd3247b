import type { NamedRows, SqlValue } from '../../ports/sqlite-driver.ts';
import { splitStatements } from '../../rules/split-statements.ts';
import { translating } from './driver-fault.ts';
import { GROUP_ROWS, groupedInsert } from './grouped-insert.ts';
import { StatementCache } from './statement-cache.ts';
import type { SyncConnection, SyncStatement } from './sync-connection.ts';
import type { WrittenTables } from './written-tables.ts';

/** The calls of the port as a synchronous SQLite makes them: faults translated, statements prepared once, written tables noted. */
export class SyncCalls {
  readonly #connection: SyncConnection;
  readonly #statements: StatementCache;
  readonly #variablesMax: number;
  /** Set while somebody listens to commits. */
  writes: WrittenTables | null = null;

  constructor(connection: SyncConnection, variablesMax: number) {
    this.#connection = connection;
    this.#statements = new StatementCache(connection);
    this.#variablesMax = variablesMax;
  }

  exec(sql: string): void {
    translating(this.#connection, () => {
      if (this.writes === null) this.#connection.exec(sql);
      else this.#execNoting(this.writes, sql);
    });
  }

  run(sql: string, params: readonly SqlValue[]): { readonly changes: number } {
    return this.#use(sql, (statement) => ({ changes: statement.run(params) }));
  }

  all(sql: string, params: readonly SqlValue[]): SqlValue[][] {
    return this.#use(sql, (statement) => statement.all(params));
  }

  allNamed(sql: string, params: readonly SqlValue[]): NamedRows {
    return this.#use(sql, (statement) => {
      const rows = statement.all(params);
      return { columns: statement.columnNames(), rows };
    });
  }

  runMany(sql: string, rows: readonly (readonly SqlValue[])[]): void {
    const width = rows[0]?.length ?? 0;
    const isGroupable = rows.length >= GROUP_ROWS && width * GROUP_ROWS <= this.#variablesMax;
    const grouped = isGroupable ? groupedInsert(sql) : null;
    const groupEnd = grouped === null ? 0 : rows.length - (rows.length % GROUP_ROWS);
    for (let start = 0; grouped !== null && start < groupEnd; start += GROUP_ROWS) {
      this.run(grouped, flattened(rows, start, width));
    }
    if (groupEnd === rows.length) return;
    this.#use(sql, (statement) => {
      for (let index = groupEnd; index < rows.length; index += 1) statement.run(rows[index] ?? []);
    });
  }

  /** Gives the prepared statements back. */
  close(): void {
    this.#statements.clear();
    this.writes?.close();
    this.writes = null;
  }

  #use<T>(sql: string, work: (statement: SyncStatement) => T): T {
    return translating(this.#connection, () => {
      this.writes?.note(sql);
      return this.#statements.use(sql, work);
    });
  }

  /** One by one, because a statement may create what the next one uses. */
  #execNoting(writes: WrittenTables, sql: string): void {
    for (const statement of splitStatements(sql)) {
      writes.note(statement);
      this.#connection.exec(statement);
    }
  }
}

/** The values of one group of rows. A loop, because it runs once per row of everything that is written in bulk. */
function flattened(rows: readonly (readonly SqlValue[])[], start: number, width: number): SqlValue[] {
  const values: SqlValue[] = [];
  for (let index = start; index < start + GROUP_ROWS; index += 1) {
    const row = rows[index] ?? [];
    for (let column = 0; column < width; column += 1) values.push(row[column] ?? null);
  }
  return values;
}
