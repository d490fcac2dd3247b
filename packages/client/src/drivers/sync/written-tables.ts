import type { ProgramStep, SchemaRoots } from '../../rules/touched-tables.ts';
import { replaceParameters } from '../../rules/sql-tokens.ts';
import { touchedTables } from '../../rules/touched-tables.ts';
import type { SqlValue } from '../../ports/sqlite-driver.ts';
import type { SyncConnection, SyncStatement } from './sync-connection.ts';

/** Statements whose tables are remembered; texts with literals in them would otherwise fill the memory. */
const STATEMENTS_MAX = 1000;

/** Statements that are not worth a look. WITH may begin a write. */
const NEVER_WRITES = /^(?:SELECT|EXPLAIN|PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b/i;

const WHOLE_ROLLBACK = /^ROLLBACK(?!.*\bTO\b)/i;

const TRANSACTION_CONTROL = /^(?:BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b/i;

/** Space, comments and empty statements: EXPLAIN would explain the empty statement. */
const BEFORE_STATEMENT = /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/;

/** Stands for a parameter: some bindings refuse to run a statement, even to explain it, while parameters have no values. */
const ANY_VALUE = 'random()';

const SCHEMA_ROOTS = `SELECT 0, rootpage, tbl_name FROM sqlite_schema WHERE rootpage > 0
UNION ALL SELECT 1, rootpage, tbl_name FROM sqlite_temp_schema WHERE rootpage > 0`;

const VIRTUAL_TABLES = `SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage = 0`;

/**
 * Finds out which tables the commits of one connection wrote. Not every SQLite lets an update hook be set, and the hook leaves
 * out tables without rowid, so the tables come from the programs of the statements that ran, and `total_changes()` says whether any of them
 * changed a row. Costs nothing per row.
 */
export class WrittenTables {
  readonly #connection: SyncConnection;
  readonly #tablesBySql = new Map<string, readonly string[]>();
  readonly #noted = new Set<string>();
  readonly #totalChanges: SyncStatement;
  readonly #readSchemaVersion: SyncStatement;
  #changesBefore: number;
  #schemaVersion = -1;
  /** The last statement, inside a transaction: while it is all that runs there, the schema stays what it is. */
  #repeated: string | null = null;
  #roots: SchemaRoots | null = null;

  constructor(connection: SyncConnection) {
    this.#connection = connection;
    this.#totalChanges = connection.prepare('SELECT total_changes()');
    this.#readSchemaVersion = connection.prepare('PRAGMA schema_version');
    this.#changesBefore = firstNumber(this.#totalChanges);
  }

  /** To be called before a statement runs. */
  note(sql: string): void {
    if (sql === this.#repeated) return;
    for (const table of this.tablesOf(sql)) this.#noted.add(table);
    this.#repeated = this.#connection.isTransaction && !endsTransaction(sql) ? sql : null;
  }

  /** True for the statement that was noted last, as long as the transaction goes on: noting it again adds nothing. */
  isRepeated(sql: string): boolean {
    return sql === this.#repeated;
  }

  /** The tables that a statement may write. */
  tablesOf(sql: string): readonly string[] {
    const statement = sql.replace(BEFORE_STATEMENT, '');
    if (NEVER_WRITES.test(statement)) return [];
    this.#forgetOldSchema();
    return this.#tablesOf(statement);
  }

  /** The tables written since the last call; empty when no row has changed. To be called after every commit. */
  take(): readonly string[] {
    const changes = firstNumber(this.#totalChanges);
    const hasChanged = changes !== this.#changesBefore;
    const tables = hasChanged ? [...this.#noted] : [];
    this.#changesBefore = changes;
    this.#noted.clear();
    this.#repeated = null;
    return tables;
  }

  /** A transaction was rolled back: `total_changes()` still counts what it undid. */
  forget(): void {
    this.take();
  }

  /** Root pages and triggers may have changed since a statement was looked at. */
  #forgetOldSchema(): void {
    const version = firstNumber(this.#readSchemaVersion);
    if (version === this.#schemaVersion) return;
    this.#schemaVersion = version;
    this.#tablesBySql.clear();
    this.#roots = null;
  }

  #tablesOf(sql: string): readonly string[] {
    const known = this.#tablesBySql.get(sql);
    if (known !== undefined) return known;
    if (this.#tablesBySql.size >= STATEMENTS_MAX) this.#tablesBySql.clear();
    const tables = this.#explain(sql);
    this.#tablesBySql.set(sql, tables);
    return tables;
  }

  /** A statement that cannot be explained cannot run either, or (ATTACH, VACUUM) writes no row. */
  #explain(sql: string): readonly string[] {
    try {
      const steps = this.#rows(`EXPLAIN ${replaceParameters(sql, () => ANY_VALUE)}`).map(programStep);
      return [...touchedTables(steps, (this.#roots ??= this.#loadRoots())).written];
    } catch {
      return [];
    }
  }

  #loadRoots(): SchemaRoots {
    const roots = this.#rows(SCHEMA_ROOTS).map((row) => ({
      database: Number(row[0]),
      rootPage: Number(row[1]),
      table: String(row[2]),
    }));
    return { roots, virtualTables: this.#rows(VIRTUAL_TABLES).map((row) => String(row[0])) };
  }

  /** Gives the memory of its statements back. */
  close(): void {
    this.#totalChanges.finalize?.();
    this.#readSchemaVersion.finalize?.();
  }

  #rows(sql: string): SqlValue[][] {
    const statement = this.#connection.prepare(sql);
    try {
      return statement.all([]);
    } finally {
      statement.finalize?.();
    }
  }
}

function firstNumber(statement: SyncStatement): number {
  return Number(statement.all([])[0]?.[0]);
}

/** Columns of EXPLAIN: addr, opcode, p1, p2, p3, p4, p5, comment. */
function programStep(row: readonly unknown[]): ProgramStep {
  return { opcode: String(row[1]), p1: Number(row[2]), p2: Number(row[3]), p3: Number(row[4]), p5: Number(row[6]) };
}

/** True for a ROLLBACK of the whole transaction. */
export function isRollback(sql: string): boolean {
  return WHOLE_ROLLBACK.test(sql.replace(BEFORE_STATEMENT, ''));
}

/** True for statements that begin or end a transaction. */
export function endsTransaction(sql: string): boolean {
  return TRANSACTION_CONTROL.test(sql.replace(BEFORE_STATEMENT, ''));
}
