import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';

/** What the driver does around calls that the application makes on the connection itself. */
export interface DirectCalls {
  /** Runs one statement; `native` is the call as it would have been. */
  statement<T>(sql: string, native: () => T): T;
  /** Runs a script of statements. */
  script(sql: string, native: () => void): void;
}

const STATEMENT_METHODS = ['run', 'get', 'all'] as const;

/**
 * Lets a driver know of the statements that run on its connection behind its back. `node:sqlite` has no hook for that, so `exec` and
 * `prepare` of this one connection object are covered; the driver itself goes on with the native methods.
 */
export function observeDirectCalls(database: DatabaseSync, calls: DirectCalls): void {
  cover(database, 'exec', (sql: string): void => calls.script(sql, () => nativeExec(database, sql)));
  cover(database, 'prepare', (...args: Parameters<DatabaseSync['prepare']>): StatementSync => {
    const statement = DatabaseSync.prototype.prepare.apply(database, args);
    const sql = statement.sourceSQL;
    for (const name of STATEMENT_METHODS) {
      const native: (...params: never[]) => unknown = statement[name];
      cover(statement, name, (...params: unknown[]): unknown =>
        calls.statement(sql, (): unknown => Reflect.apply(native, statement, params)),
      );
    }
    return statement;
  });
}

/** `exec` of the connection, not covered. */
export function nativeExec(database: DatabaseSync, sql: string): void {
  DatabaseSync.prototype.exec.call(database, sql);
}

/** `prepare` of the connection, not covered. */
export function nativePrepare(database: DatabaseSync, sql: string): StatementSync {
  return DatabaseSync.prototype.prepare.call(database, sql);
}

function cover(target: object, name: string, value: (...args: never[]) => unknown): void {
  Object.defineProperty(target, name, { value, configurable: true, writable: true });
}
