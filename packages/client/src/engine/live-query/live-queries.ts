import { SyncError } from '@oversync/protocol';

import type { Clock } from '../../ports/clock.ts';
import type { SqliteDriver, SqlValue } from '../../ports/sqlite-driver.ts';
import type { SchemaRoots, TouchedTables } from '../../rules/touched-tables.ts';
import { loadSchemaRoots, loadSchemaVersion, loadTouchedTables } from '../../store/query-tables.ts';
import type { TableChange, TableChanges } from '../table-changes.ts';
import type { QueryRows } from './query-watch.ts';

/** A query that wants to hear of changes. `tables` is `null` for one that any change may concern. */
export interface RegisteredQuery {
  tables: ReadonlySet<string> | null;
  readonly changed: () => void;
}

/** Statements whose tables are remembered. */
const STATEMENTS_MAX = 1000;

/** A change of this table may change what every query means. */
const SCHEMA_TABLE = 'sqlite_schema';

/** All live queries of one client, found by table, so that a write reaches only those that read what it wrote. */
export class LiveQueries {
  readonly #driver: SqliteDriver;
  readonly #changes: TableChanges;
  readonly clock: Clock;
  readonly #byTable = new Map<string, Set<RegisteredQuery>>();
  readonly #byAnything = new Set<RegisteredQuery>();
  readonly #closeListeners = new Set<() => void>();
  readonly #touchedBySql = new Map<string, TouchedTables>();
  #schemaVersion = -1;
  #roots: Promise<SchemaRoots> | null = null;
  #queryCount = 0;
  #endChanges: (() => void) | null = null;
  #isClosed = false;

  constructor(driver: SqliteDriver, changes: TableChanges, clock: Clock) {
    this.#driver = driver;
    this.#changes = changes;
    this.clock = clock;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Calls `listener` when the client closes. Returns the function that ends it. */
  onClose(listener: () => void): () => void {
    this.#closeListeners.add(listener);
    return () => {
      this.#closeListeners.delete(listener);
    };
  }

  close(): void {
    this.#isClosed = true;
    for (const listener of this.#closeListeners) listener();
    this.#closeListeners.clear();
  }

  add(query: RegisteredQuery): void {
    this.#queryCount += 1;
    this.#endChanges ??= this.#changes.subscribe((change) => this.#changed(change));
    this.#index(query);
  }

  remove(query: RegisteredQuery): void {
    this.#queryCount -= 1;
    this.#unindex(query);
    if (this.#queryCount > 0) return;
    this.#endChanges?.();
    this.#endChanges = null;
  }

  /** Runs a query on committed data, after making sure that its tables are the ones it is registered for. */
  async load(query: RegisteredQuery, sql: string, params: readonly SqlValue[], findsTables: boolean): Promise<QueryRows> {
    if (findsTables) await this.#findTables(query, sql, params);
    return this.#driver.all(sql, params);
  }

  /** While the tables cannot be found, because one does not exist yet, any change may be the one that brings them. */
  async #findTables(query: RegisteredQuery, sql: string, params: readonly SqlValue[]): Promise<void> {
    let touched: TouchedTables | null = null;
    try {
      touched = await this.#touched(sql, params);
    } finally {
      this.#reindex(query, touched?.read ?? null);
    }
    if (touched.written.size > 0) throw new SyncError('invalid_argument', { details: { argument: 'sql' } });
  }

  async #touched(sql: string, params: readonly SqlValue[]): Promise<TouchedTables> {
    const version = await loadSchemaVersion(this.#driver);
    if (version !== this.#schemaVersion) {
      this.#touchedBySql.clear();
      this.#roots = null;
      this.#schemaVersion = version;
    }
    const known = this.#touchedBySql.get(sql);
    if (known !== undefined) return known;
    this.#roots ??= loadSchemaRoots(this.#driver);
    const touched = await loadTouchedTables(this.#driver, sql, params, await this.#roots, version);
    if (this.#touchedBySql.size >= STATEMENTS_MAX) this.#touchedBySql.clear();
    if (version === this.#schemaVersion) this.#touchedBySql.set(sql, touched);
    return touched;
  }

  #changed(change: TableChange): void {
    const concerned = new Set<RegisteredQuery>(this.#byAnything);
    for (const table of change.tables) for (const query of this.#readersOf(table)) concerned.add(query);
    for (const query of concerned) query.changed();
  }

  #readersOf(table: string): Iterable<RegisteredQuery> {
    if (table !== SCHEMA_TABLE) return this.#byTable.get(table) ?? [];
    return [...this.#byTable.values()].flatMap((queries) => [...queries]);
  }

  #reindex(query: RegisteredQuery, tables: ReadonlySet<string> | null): void {
    if (query.tables === tables) return;
    if (!this.#unindex(query)) return;
    query.tables = tables;
    this.#index(query);
  }

  #index(query: RegisteredQuery): void {
    if (query.tables === null) this.#byAnything.add(query);
    for (const table of query.tables ?? []) {
      const readers = this.#byTable.get(table) ?? new Set();
      readers.add(query);
      this.#byTable.set(table, readers);
    }
  }

  /** False for a query that is not there any more. */
  #unindex(query: RegisteredQuery): boolean {
    let wasThere = this.#byAnything.delete(query);
    for (const table of query.tables ?? []) {
      const readers = this.#byTable.get(table);
      if (readers?.delete(query) === true) wasThere = true;
      if (readers?.size === 0) this.#byTable.delete(table);
    }
    return wasThere;
  }
}
