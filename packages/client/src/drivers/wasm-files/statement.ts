import type { Database, Statement } from 'node-sqlite3-wasm';

import type { SqlValue } from '../../ports/sqlite-driver.ts';
import { replaceParameters } from '../../rules/sql-tokens.ts';
import { misuse } from '../sync/driver-fault.ts';
import type { SyncStatement } from '../sync/sync-connection.ts';

/** `SELECT *` and the like: the package asks for the columns before SQLite notices that a table has changed. */
const ALL_COLUMNS = /(?:\bselect\s+|\bdistinct\s+|\ball\s+|,\s*|\.\s*)\*/i;

/** The statement with text in the places of its integral numbers. */
interface Variant {
  /** The places, as text. */
  readonly places: string;
  readonly statement: PreparedStatement;
}

/**
 * One statement of node-sqlite3-wasm. The package binds an integral number as INTEGER, so such a number travels as text under a CAST, and
 * the statement is prepared once more for it.
 */
export class WasmFileStatement implements SyncStatement {
  readonly isOnce: boolean;
  readonly #database: Database;
  readonly #sql: string;
  readonly #plain: PreparedStatement;
  #variant: Variant | null = null;

  constructor(database: Database, sql: string) {
    this.#database = database;
    this.#sql = sql;
    this.#plain = new PreparedStatement(database, sql);
    this.isOnce = ALL_COLUMNS.test(sql);
  }

  run(params: readonly SqlValue[]): number {
    return this.#for(params).run(params.map(boundValue));
  }

  all(params: readonly SqlValue[]): SqlValue[][] {
    return this.#for(params).all(params.map(boundValue));
  }

  columnNames(): readonly string[] {
    return this.#plain.columnNames;
  }

  finalize(): void {
    this.#plain.finalize();
    this.#variant?.statement.finalize();
  }

  #for(params: readonly SqlValue[]): PreparedStatement {
    const integral = new Set(params.flatMap((value, index) => (isBoundAsInteger(value) ? [index] : [])));
    if (integral.size === 0) return this.#plain;
    const places = [...integral].join();
    if (this.#variant?.places === places) return this.#variant.statement;
    this.#variant?.statement.finalize();
    const sql = replaceParameters(this.#sql, (parameter, index) => {
      const position = parameter === '?' ? index : Number(parameter.slice(1)) - 1;
      return integral.has(position) ? `CAST(${parameter} AS REAL)` : parameter;
    });
    const statement = new PreparedStatement(this.#database, sql);
    this.#variant = { places, statement };
    return statement;
  }
}

function isBoundAsInteger(value: SqlValue): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

function boundValue(value: SqlValue): SqlValue {
  if (typeof value === 'string' && value.includes('\0')) throw misuse('this SQLite ends a text at U+0000');
  if (!isBoundAsInteger(value)) return value;
  return Object.is(value, -0) ? '-0.0' : String(value);
}

/** A statement of the package, whose rows are read as arrays. */
class PreparedStatement {
  readonly columnNames: readonly string[];
  readonly #database: Database;
  readonly #statement: Statement;

  constructor(database: Database, sql: string) {
    this.#database = database;
    this.#statement = database.prepare(sql);
    this.columnNames = nameColumnsApart(this.#statement);
  }

  run(params: SqlValue[]): number {
    if (this.columnNames.length === 0) return this.#statement.run(params).changes;
    this.#statement.all(params);
    return Number(this.#database.get('SELECT changes() AS n')?.['n']);
  }

  all(params: SqlValue[]): SqlValue[][] {
    if (this.columnNames.length > 0) return this.#statement.all(params).map(rowValues);
    this.#statement.run(params);
    return [];
  }

  /** A failed statement fails again when it is finalized. */
  finalize(): void {
    try {
      if (!this.#statement.isFinalized && this.#database.isOpen) this.#statement.finalize();
    } catch {
      return;
    }
  }
}

/**
 * The package makes an object of each row, which loses columns of equal names and reorders those that are numbers. Names that are all
 * different keep every column in its place. Returns the real names.
 */
function nameColumnsApart(statement: Statement): readonly string[] {
  const native: unknown = Reflect.get(statement, '_getColumnNames');
  if (typeof native !== 'function') throw new Error('this version of node-sqlite3-wasm is not supported');
  const found: unknown = Reflect.apply(native, statement, []);
  const names = Array.isArray(found) ? found.map(String) : [];
  const places = names.map((_, index) => `c${index}`);
  Object.defineProperty(statement, '_getColumnNames', { value: () => places });
  return names;
}

function rowValues(row: object): SqlValue[] {
  return Object.values(row).filter(isSqlValue);
}

function isSqlValue(value: unknown): value is SqlValue {
  return (
    value === null ||
    typeof value === 'string' ||
    typeof value === 'number' ||
    typeof value === 'bigint' ||
    value instanceof Uint8Array
  );
}
