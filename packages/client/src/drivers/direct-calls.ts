/** What a driver does around calls that the application makes on the connection itself. */
export interface DirectCalls {
  /** Runs one statement; `native` is the call as it would have been. */
  statement<T>(sql: string, native: () => T): T;
  /** Runs a script of statements. */
  script(sql: string, native: () => void): void;
}

/** The calls of a kind of connection as it makes them by itself. */
export interface NativeCalls<S extends object, A extends unknown[]> {
  readonly exec: (sql: string) => void;
  readonly prepare: (...args: A) => S;
  readonly sourceOf: (statement: S) => string;
}

const STATEMENT_METHODS = ['run', 'get', 'all', 'iterate'] as const;

/**
 * Lets a driver know of the statements that run on its connection behind its back. Node's and better-sqlite3's connections have no hook
 * for that, so `exec` and `prepare` of this one connection object are covered; the driver itself goes on with the native methods.
 */
export function observeDirectCalls<S extends object, A extends unknown[]>(
  database: object,
  native: NativeCalls<S, A>,
  calls: DirectCalls,
): void {
  cover(database, 'exec', (sql: string): unknown => {
    calls.script(sql, () => native.exec(sql));
    return database;
  });
  cover(database, 'prepare', (...args: A): S => {
    const statement = native.prepare(...args);
    const sql = native.sourceOf(statement);
    for (const name of STATEMENT_METHODS) coverMethod(statement, name, sql, calls);
    return statement;
  });
}

function coverMethod(statement: object, name: string, sql: string, calls: DirectCalls): void {
  const native: unknown = Reflect.get(statement, name);
  if (typeof native !== 'function') return;
  cover(statement, name, (...params: unknown[]): unknown =>
    calls.statement(sql, (): unknown => Reflect.apply(native, statement, params)),
  );
}

function cover(target: object, name: string, value: (...args: never[]) => unknown): void {
  Object.defineProperty(target, name, { value, configurable: true, writable: true });
}
